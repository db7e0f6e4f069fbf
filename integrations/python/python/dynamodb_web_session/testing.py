"""pytest fixtures for applications: an empty session table for each test, and a clock that the test moves.

In ``conftest.py``::

    pytest_plugins = ["dynamodb_web_session.testing"]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import pytest

from ._core import ManualClock
from .embedded import EmbeddedDynamoDb

__all__ = ["SessionTable", "session_table"]


@dataclass(frozen=True)
class SessionTable:
    """A session table on this machine. The environment leads to it as long as the test runs."""

    url: str
    """The ``endpoint_url``."""
    clock: ManualClock
    """Pass it to what makes the sessions, as ``clock``. freezegun and time_machine do not move a session's time: it is not
    Python's."""


@lru_cache(maxsize=1)
def _dynamodb() -> EmbeddedDynamoDb:
    """One for all tests of a process: an application that is made once stays connected to it."""
    return EmbeddedDynamoDb()


@pytest.fixture
def session_table(monkeypatch: pytest.MonkeyPatch) -> SessionTable:
    """An empty table ``app_session``, and a :class:`ManualClock`."""
    dynamodb = _dynamodb()
    dynamodb.empty()
    environment = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "SESSION_TABLE_NAME": "app_session",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    return SessionTable(dynamodb.url, ManualClock())
