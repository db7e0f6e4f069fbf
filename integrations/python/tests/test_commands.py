"""``python -m dynamodb_web_session``, and the pytest fixture."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from flask import Flask, session

from conftest import Table
from dynamodb_web_session import SessionManager
from dynamodb_web_session.flask import DynamoDbSessions, log_in
from dynamodb_web_session.testing import SessionTable, session_table

__all__ = ["session_table"]


def command(table: Table, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "dynamodb_web_session", *arguments]
    environment = table.environment()
    return subprocess.run(program, input=typed, env=environment, capture_output=True, text=True, timeout=60)


def test_a_table_is_created_looked_at_and_used(table: Table) -> None:
    name = f"{table.name}-new"
    for _ in range(2):
        created = command(table, "create-table", "--table", name)
        assert (created.returncode, created.stdout) == (0, f"The table {name} is there.\n"), created.stderr
    checked = command(table, "check", "--table", name, "--json")
    assert checked.returncode == 0, checked.stdout
    states = {check["name"]: check["state"] for check in json.loads(checked.stdout)["checks"]}
    assert states["key"] == states["TTL"] == states["GetItem"] == states["UpdateItem"] == "ok"
    sessions = SessionManager(**table.settings() | {"table_name": name})
    created_session = sessions.log_in(None, "alice")
    listed = json.loads(command(table, "sessions", "--subject", "alice", "--table", name, "--json").stdout)
    assert [each["loggable_session_id"] for each in listed["sessions"]] == [created_session.loggable_id]
    shown = command(table, "show", "--table", name, typed=created_session.id)
    assert shown.returncode == 0 and "alice" in shown.stdout and created_session.id not in shown.stdout
    assert command(table, "revoke", "--subject", "alice", "--table", name).returncode == 0
    assert sessions.load(created_session.id) is None


def test_wrong_arguments_are_explained(table: Table) -> None:
    helped = command(table, "--help")
    assert helped.returncode == 0 and "Usage: python -m dynamodb_web_session" in helped.stdout
    assert command(table, "revoke").returncode == 2
    refused = command(table, "check", "--table", "no-such-table")
    assert refused.returncode == 1 and refused.stdout.startswith("wrong     table")


def test_the_fixture_leads_an_application_to_a_table_and_a_clock(session_table: SessionTable) -> None:
    app = Flask(__name__)
    DynamoDbSessions(app, clock=session_table.clock)

    @app.post("/login")
    def login() -> str:
        log_in(session, "alice", user="alice")
        return "welcome"

    @app.get("/")
    def index() -> str:
        return str(session.get("user", "no user"))

    client = app.test_client()
    client.post("/login", base_url="https://localhost")
    assert client.get("/", base_url="https://localhost").text == "alice"
    session_table.clock.advance(7200)
    assert client.get("/", base_url="https://localhost").text == "no user"


made_once = SessionManager()  # as an application in a module is; the environment of its first call leads to the table


@pytest.mark.parametrize("n", [1, 2])
def test_each_test_has_an_empty_table_for_an_application_that_is_made_once(session_table: SessionTable, n: int) -> None:
    assert made_once.sessions_of("alice") == SessionManager().sessions_of("alice") == []
    made_once.create(subject="alice")


def test_an_application_can_ask_what_is_wrong(table: Table) -> None:
    found = {finding["name"]: finding["state"] for finding in SessionManager(**table.settings()).check()}
    assert found["table"] == found["key"] == found["PutItem"] == "ok"
    missing = SessionManager(**table.settings() | {"table_name": "no-such-table"}).check()
    assert [(finding["name"], finding["state"]) for finding in missing] == [("table", "wrong")]


SYSTEM_CHECKS = """
import sys
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    INSTALLED_APPS=["dynamodb_web_session"],
    SESSION_ENGINE="dynamodb_web_session.django",
    DYNAMODB_SESSION=eval(sys.argv[1]),
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
call_command("check", *sys.argv[2:])
"""


def system_checks(table: Table, settings: dict[str, object], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", SYSTEM_CHECKS, repr(settings), *arguments]
    return subprocess.run(program, env=table.environment(), capture_output=True, text=True, timeout=60)


def test_djangos_system_checks_look_at_the_settings_and_if_asked_at_the_table(table: Table) -> None:
    name = f"{table.name}-checked"
    assert command(table, "create-table", "--table", name).returncode == 0
    good: dict[str, object] = {"table_name": name}
    absent = good | {"table_name": "no-such-table"}
    assert system_checks(table, good, "--database", "default").returncode == 0
    wrong = system_checks(table, good | {"idle_timeout_seconds": 0})
    assert wrong.returncode == 1 and "E001" in wrong.stderr and "SESSION_IDLE_TIMEOUT_SECONDS" in wrong.stderr
    assert system_checks(table, absent).returncode == 0
    wrong = system_checks(table, absent, "--database", "default")
    assert wrong.returncode == 1 and "E002" in wrong.stderr and "no-such-table" in wrong.stderr
