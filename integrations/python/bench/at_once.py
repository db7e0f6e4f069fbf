"""Two requests of one session at once, which change different keys: which of the changes are there afterwards?

    python3 at_once.py

For each library the second request runs, with the same cookie, during the first. Prints the table of docs/integrations.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from typing import Any

import django
import flask
from cachelib.file import FileSystemCache
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import path
from flask_session import Session

from dynamodb_web_session.embedded import EmbeddedDynamoDb
from dynamodb_web_session.flask import DynamoDbSessions

TABLE = EmbeddedDynamoDb()
OURS: dict[str, Any] = {"endpoint_url": TABLE.url, "region": "us-east-1", "table_name": "app_session"}


def on_flask(interface: Callable[[flask.Flask], Any]) -> list[str]:
    app = flask.Flask("app")
    app.secret_key = "secret"
    interface(app)
    client, during = app.test_client(), []

    @app.post("/<key>")
    def set_key(key: str) -> str:
        flask.session[key] = True
        if during:
            during.pop()()
        return ""

    @app.get("/")
    def page() -> list[str]:
        return sorted(flask.session)

    client.post("/first")
    cookie = client.get_cookie("session")

    def other() -> None:
        second = app.test_client()
        second.set_cookie("session", cookie.value)
        second.post("/b")

    during.append(other)
    client.post("/a")
    return list(client.get("/").json)


during: list[Callable[[], Any]] = []


def set_key(request: Any, key: str) -> HttpResponse:
    request.session[key] = True
    if during:
        during.pop()()
    return HttpResponse()


def page(request: Any) -> JsonResponse:
    return JsonResponse(sorted(request.session.keys()), safe=False)


urlpatterns = [path("", page), path("<key>", set_key)]


def on_django(engine: str) -> list[str]:
    with override_settings(SESSION_ENGINE=engine):
        client = Client()
        client.get("/first")
        second = Client()
        second.cookies["sessionid"] = client.cookies["sessionid"].value
        during.append(lambda: second.get("/b"))
        client.get("/a")
        return list(client.get("/").json())


def cachelib(app: flask.Flask) -> None:
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(tempfile.mkdtemp()))
    Session(app)


def main() -> None:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tempfile.mkstemp()[1]}},
        INSTALLED_APPS=["django.contrib.sessions"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        ROOT_URLCONF="__main__",
        SECRET_KEY="secret",
        DYNAMODB_SESSION=OURS,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    rows = [
        ("Flask's signed cookies", on_flask(lambda app: None)),
        ("Flask-Session", on_flask(cachelib)),
        ("Flask, this package", on_flask(lambda app: DynamoDbSessions(app, **OURS))),
        ("Django, database", on_django("django.contrib.sessions.backends.db")),
        ("Django, cache", on_django("django.contrib.sessions.backends.cache")),
        ("Django, this package", on_django("dynamodb_web_session.django")),
    ]
    print("| | kept of the changes `a` and `b` |\n| --- | --- |")
    for name, keys in rows:
        print(f"| {name} | {', '.join(key for key in keys if key in 'ab')} |")
    sys.exit(0 if all({"a", "b"} <= set(keys) for name, keys in rows if "this package" in name) else 1)


if __name__ == "__main__":
    main()
