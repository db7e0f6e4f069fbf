"""Sessions in Flask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, session
from flask.testing import FlaskClient

from conftest import Table
from dynamodb_web_session import ManualClock, NotFoundError, SessionManager, TooManySessionsError
from dynamodb_web_session.flask import DynamoDbSessions, log_in, log_out_everywhere, renew

VALUES = {
    "when": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "id": UUID(int=5),
    "pair": (1, "é"),
    "bytes": b"\x00",
    "n": 10**30,
}


class Counted:
    """A session manager that counts its calls."""

    def __init__(self, sessions: SessionManager) -> None:
        self._sessions, self.calls = sessions, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._sessions, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            return value(*arguments, **named)

        return call

    def of(self, act: Callable[[], Any]) -> list[str]:
        self.calls.clear()
        act()
        return self.calls


@pytest.fixture
def app(table: Table, clock: ManualClock) -> Flask:
    app = Flask(__name__)
    app.config.update(DYNAMODB_SESSION_TABLE_NAME=table.name, DYNAMODB_SESSION_ENDPOINT_URL=table.url, TESTING=True)
    sessions = DynamoDbSessions(app, clock=clock)
    sessions._sessions = Counted(sessions.sessions)  # type: ignore[assignment]

    @app.get("/static-page")
    def static_page() -> str:
        return "no session"

    @app.get("/")
    def page() -> dict[str, Any]:
        return {"user": session.get("user"), "visits": session.get("visits", 0), "permanent": session.permanent}

    @app.post("/visit")
    def visit() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return "counted"

    @app.post("/remember")
    def remember() -> str:
        session.permanent = True
        return ""

    @app.post("/values")
    def store() -> str:
        session.update(VALUES)
        return ""

    @app.get("/values")
    def values() -> str:
        assert {key: session[key] for key in VALUES} == VALUES
        return ""

    @app.post("/login/<user>")
    def login(user: str) -> tuple[str, int]:
        session["user"] = user  # as applications did before log_in took the changes
        try:
            log_in(session, user, user=user)
        except TooManySessionsError:
            return "too many", 409
        return "in", 200

    @app.post("/logout")
    def logout() -> str:
        session.clear()
        return "out"

    @app.post("/everywhere/<user>")
    def everywhere(user: str) -> str:
        log_out_everywhere(user)
        return "out"

    @app.post("/password/<user>")
    def password(user: str) -> str:
        renew(session)
        log_out_everywhere(user, except_=session)
        return "changed"

    @app.post("/slow")
    def slow() -> str:
        session["visits"] = -1
        app.config["MEANWHILE"]()
        return "secret of the user"

    return app


@pytest.fixture
def sessions(app: Flask) -> Any:
    return app.extensions["dynamodb_web_session"].sessions


def body(response: Any) -> Any:
    return response.json


def cookie(client: FlaskClient) -> str | None:
    found = client.get_cookie("session")
    return None if found is None else found.value


def with_cookie(app: Flask, value: str) -> FlaskClient:
    client = app.test_client()
    client.set_cookie("session", value)
    return client


def test_what_a_request_costs(app: Flask, sessions: Any) -> None:
    client = app.test_client()
    assert sessions.of(lambda: client.get("/")) == [], "a visitor without a session"
    assert sessions.of(lambda: client.post("/visit")) == ["create"]
    assert sessions.of(lambda: client.get("/")) == ["load"], "a session that is not changed"
    assert sessions.of(lambda: client.get("/static-page")) == [], "a session that is not used"
    assert sessions.of(lambda: client.post("/visit")) == ["load", "save"]
    assert sessions.of(lambda: client.post("/login/alice")) == ["load", "log_in"]
    assert sessions.of(lambda: client.post("/logout")) == ["load", "clear"]
    assert sessions.of(lambda: client.get("/")) == []
    assert sessions.of(lambda: client.post("/login/alice")) == ["log_in"]


def test_a_session_lives_from_request_to_request(app: Flask) -> None:
    client = app.test_client()
    for visits in range(3):
        assert client.get("/").json == {"user": None, "visits": visits, "permanent": False}
        client.post("/visit")
    client.post("/values")
    assert client.get("/values").status_code == 200


def test_a_login_gives_a_new_id_and_a_logout_ends_the_session(app: Flask) -> None:
    client = app.test_client()
    client.post("/visit")
    planted = cookie(client)
    client.post("/login/alice")
    assert cookie(client) not in (None, planted)
    assert body(client.get("/"))["user"] == "alice" and body(client.get("/"))["visits"] == 1
    assert body(with_cookie(app, planted or "").get("/"))["user"] is None
    stolen = cookie(client)
    client.post("/logout")
    assert cookie(client) is None
    assert body(with_cookie(app, stolen or "").get("/"))["user"] is None


def test_log_out_everywhere_and_a_password_change(app: Flask) -> None:
    phone, laptop = app.test_client(), app.test_client()
    for client in (phone, laptop):
        client.post("/login/bob")
    laptop.post("/password/bob")
    assert body(laptop.get("/"))["user"] == "bob" and body(phone.get("/"))["user"] is None
    phone.post("/everywhere/bob")
    assert body(laptop.get("/"))["user"] is None


def test_a_request_does_not_bring_back_a_session_that_was_logged_out(app: Flask, sessions: Any) -> None:
    client = app.test_client()
    client.post("/login/carol")
    value = cookie(client) or ""
    app.config["MEANWHILE"] = lambda: sessions.clear(value)
    response = client.post("/slow")
    assert response.status_code == 400 and "secret" not in response.text and "set-cookie" not in response.headers
    assert sessions.load(value) is None


def test_a_slow_request_does_not_take_the_cookie_of_a_login(app: Flask, sessions: Any) -> None:
    client = app.test_client()
    client.post("/visit")
    app.config["MEANWHILE"] = lambda: with_cookie(app, cookie(client) or "").post("/login/dave")
    response = client.post("/slow")
    assert response.status_code == 400 and "set-cookie" not in response.headers


def test_a_renewal_of_a_session_that_has_ended_starts_without_its_data(app: Flask, sessions: Any) -> None:
    with app.test_request_context("/"):
        session["cart"] = ["apple"]
        log_in(session, "erin", user="erin")
        own: Any = session
        assert dict(session) == {"cart": ["apple"], "user": "erin"}
        sessions.clear(own.record)
        log_in(session, "erin", user="erin")
        assert dict(session) == {"user": "erin"} and own.record.subject == "erin"
        sessions.clear(own.record)
        with pytest.raises(NotFoundError):
            renew(session)


def test_the_cookie_obeys_the_settings_of_flask(app: Flask) -> None:
    app.config.update(SESSION_COOKIE_NAME="__Host-id", SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Strict")
    response = app.test_client().post("/visit")
    attributes = set(response.headers["set-cookie"].split("; ")[1:])
    assert response.headers["set-cookie"].startswith("__Host-id=")
    assert attributes == {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"}


def test_vary(app: Flask) -> None:
    client = app.test_client()
    assert "Cookie" in client.get("/").headers.get("vary", "")
    assert "Cookie" in client.post("/visit").headers["vary"]
    assert "Cookie" in client.get("/").headers["vary"]
    assert "vary" not in client.get("/static-page").headers


def test_timeouts(app: Flask, clock: ManualClock) -> None:
    client = app.test_client()
    client.post("/visit")
    clock.advance(7199)
    assert body(client.get("/"))["visits"] == 1
    clock.advance(7200)
    assert body(client.get("/"))["visits"] == 0
    client = app.test_client()
    app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(days=7)
    client.post("/visit")
    client.post("/remember")
    clock.advance(6 * 86400)
    assert body(client.get("/"))["permanent"]
    clock.advance(2 * 86400)
    assert not body(client.get("/"))["permanent"]


@pytest.mark.parametrize("value", ["nonsense", "A" * 43, "é", ""])
def test_a_cookie_that_was_never_issued(app: Flask, value: str) -> None:
    client = with_cookie(app, value)
    assert client.get("/").status_code == 200
    client.post("/visit")
    assert cookie(client) not in (None, value)


def test_an_outage_is_no_logout(app: Flask, table: Table) -> None:
    client = app.test_client()
    client.post("/login/frank")
    extension = app.extensions["dynamodb_web_session"]
    working = extension._sessions
    extension._sessions = SessionManager(endpoint_url="http://127.0.0.1:9", table_name=table.name)
    response = client.get("/")
    assert response.status_code == 503 and response.headers["retry-after"] == "1"
    assert "set-cookie" not in response.headers
    extension._sessions = working
    assert body(client.get("/"))["user"] == "frank"


def test_too_many_sessions_of_a_user(app: Flask, table: Table, clock: ManualClock) -> None:
    extension = app.extensions["dynamodb_web_session"]
    extension._sessions = SessionManager(
        **table.settings(), clock=clock, max_per_subject=1, at_max_per_subject="refuse"
    )
    first, second = app.test_client(), app.test_client()
    assert first.post("/login/grace").status_code == 200
    second.post("/visit")
    before = cookie(second)
    response = second.post("/login/grace")
    assert response.status_code == 409 and "set-cookie" not in response.headers
    assert cookie(second) == before
    assert body(second.get("/")) == {"user": None, "visits": 1, "permanent": False}, "as it was"
    assert body(first.get("/"))["user"] == "grace"


def test_the_interface_can_be_assigned(table: Table) -> None:
    app = Flask(__name__)
    app.session_interface = DynamoDbSessions(**table.settings())

    @app.post("/")
    def visit() -> dict[str, Any]:
        session["n"] = session.get("n", 0) + 1
        return dict(session)

    client = app.test_client()
    client.post("/")
    assert client.post("/").json == {"n": 2}
