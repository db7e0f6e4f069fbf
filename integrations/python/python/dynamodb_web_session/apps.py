"""``INSTALLED_APPS = [..., "dynamodb_web_session"]`` adds the package to Django's system checks.

``manage.py check`` then looks at the settings, and ``manage.py check --database default`` at the table and at what the credentials
may do; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, register

from .exceptions import ConfigurationError

ENGINE = "dynamodb_web_session.django"


class DynamoDbWebSessionConfig(AppConfig):
    name = "dynamodb_web_session"
    verbose_name = "Sessions in DynamoDB"

    def ready(self) -> None:
        register(check_settings, Tags.security)
        register(check_table, Tags.database)


def check_settings(**_: Any) -> list[CheckMessage]:
    if settings.SESSION_ENGINE != ENGINE:
        hint = f'Set SESSION_ENGINE = "{ENGINE}", or take the app out of INSTALLED_APPS.'
        return [Info("The sessions are not in DynamoDB.", hint=hint, id="dynamodb_web_session.I001")]
    from .django import sessions

    try:
        sessions()
    except (ConfigurationError, TypeError) as error:
        hint = "See DYNAMODB_SESSION and the environment variables SESSION_…"
        return [Error(str(error), hint=hint, id="dynamodb_web_session.E001")]
    return []


def check_table(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    if not databases or settings.SESSION_ENGINE != ENGINE or check_settings():
        return []
    from .django import sessions

    return [
        Error(f"{finding['name']}: {finding['detail']}", id="dynamodb_web_session.E002")
        for finding in sessions().check()
        if finding["state"] == "wrong"
    ]
