"""Sessions in Flask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import flask
import pytest
from flask import Flask, request, session
from flask.testing import FlaskClient

import dynamodb_web_session
from conftest import AT_ONCE, Proxy, Table, changes, source
from dynamodb_web_session import (
    ConfigurationError,
    InvalidDataError,
    ManualClock,
    NotFoundError,
    SessionManager,
    TooManySessionsError,
)
from dynamodb_web_session.flask import DynamoDbSessions, log_in, log_out, log_out_everywhere, renew, sessions_of

VALUES = {
    "when": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "id": UUID(int=5),
    "pair": (1, "é"),
    "bytes": b"\x00",
    "n": 10**30,
}


@pytest.fixture
def app(table: Table, proxy: Proxy, clock: ManualClock) -> Flask:
    app = Flask(__name__)
    app.config.update(DYNAMODB_SESSION_TABLE_NAME=table.name, DYNAMODB_SESSION_ENDPOINT_URL=proxy.url)
    DynamoDbSessions(app, clock=clock)

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

    @app.post("/same")
    def same() -> str:
        session["visits"] = session["visits"]
        session.setdefault("visits", 5)
        return ""

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

    @app.post("/login-of-tutorials/<user>")
    def login_of_tutorials(user: str) -> str:
        session.permanent = "permanent" in app.config
        log_in(session, user, user=user)
        return "in"

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


def test_what_a_request_costs(app: Flask, proxy: Proxy, clock: ManualClock) -> None:
    client = app.test_client()
    assert proxy.of(lambda: client.get("/")) == [], "a visitor without a session"
    assert proxy.of(lambda: client.post("/remember")) == [], "a visitor whose session would be permanent"
    assert proxy.of(lambda: client.post("/visit")) == ["PutItem"]
    assert proxy.of(lambda: client.get("/")) == ["GetItem"], "a session that is not changed"
    assert proxy.of(lambda: client.post("/same")) == ["GetItem"], "nor is it by an equal value"
    assert proxy.of(lambda: client.get("/static-page")) == [], "a session that is not used"
    assert proxy.of(lambda: client.post("/visit")) == ["GetItem", "UpdateItem"]
    clock.advance(60)
    assert proxy.of(lambda: client.get("/")) == ["GetItem", "UpdateItem"], "its deadline slides"
    assert proxy.of(lambda: client.post("/login/alice")) == ["GetItem", "GetItem", "TransactWriteItems"]
    assert proxy.of(lambda: client.post("/logout"))[:2] == ["GetItem", "UpdateItem"]
    assert proxy.of(lambda: client.get("/")) == []
    assert proxy.of(lambda: client.post("/login/alice")) == ["TransactWriteItems"]


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
        session["own"] = 1
        log_in(session, "erin", user="erin")
        assert dict(session) == {"user": "erin", "own": 1}, "what this request has set itself stays"
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


def test_an_outage_is_no_logout(app: Flask, proxy: Proxy) -> None:
    @app.errorhandler(404)
    def not_found(_: Exception) -> tuple[str, int]:
        return f"{session.get('user')}, there is no such page", 404

    client, visitor = app.test_client(), app.test_client()
    client.post("/login/frank")
    before = cookie(client)
    with proxy.outage():
        for answered in (
            client.get("/"),
            client.post("/login/frank"),
            client.post("/everywhere/frank"),
            client.get("/nowhere"),
            visitor.post("/visit"),
            visitor.post("/login/frank"),
        ):
            assert answered.status_code == 503 and answered.headers["retry-after"] == "1", answered.request.path
            assert "set-cookie" not in answered.headers
        assert client.get("/static-page").status_code == 200
    assert cookie(client) == before and cookie(visitor) is None
    assert body(client.get("/"))["user"] == "frank"


def test_a_login_stays_when_the_rest_of_its_request_cannot_be_stored(app: Flask, proxy: Proxy) -> None:
    @app.post("/then/<what>")
    def login_then(what: str) -> str:
        log_in(session, what, user=what)
        session["seen"] = object() if what == "no-json" else 1
        proxy.is_outage = what == "outage"
        return "in"

    for what, status in (("outage", 503), ("no-json", 500)):
        client = app.test_client()
        client.post("/visit")
        app.config["PROPAGATE_EXCEPTIONS"] = False
        assert client.post(f"/then/{what}").status_code == status
        proxy.is_outage = False
        assert body(client.get("/"))["user"] == what
        assert body(client.get("/"))["visits"] == 1


def test_too_many_sessions_of_a_user(app: Flask, table: Table, clock: ManualClock) -> None:
    extension = app.extensions["dynamodb_web_session"]
    extension._sessions = SessionManager(
        **table.settings(), clock=clock, max_per_subject=1, at_max_per_subject="refuse"
    )
    first, second = app.test_client(), app.test_client()
    assert first.post("/login/grace").status_code == 200
    second.post("/visit")
    before = cookie(second)
    for login in ("/login/grace", "/login-of-tutorials/grace"):
        response = second.post(login)
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


def during(app: Flask, client: FlaskClient, path: str, meanwhile: Callable[[FlaskClient], Any], **options: Any) -> Any:
    """The answer to a request of a browser during which the browser makes another one."""
    app.config["DURING"] = (path, client, meanwhile)
    return client.post(path, **options)


def wait() -> None:
    path, client, meanwhile = flask.current_app.config.get("DURING", (None, None, None))
    if request.path != path:
        return
    del flask.current_app.config["DURING"]
    bool(session)  # it is loaded
    other = flask.current_app.test_client()
    if (value := cookie(client)) is not None:
        other.set_cookie("session", value)
    meanwhile(other)
    if (value := cookie(other)) is not None:
        client.set_cookie("session", value)
    else:
        client.delete_cookie("session")


@pytest.fixture
def keys(app: Flask) -> Flask:
    app.before_request(wait)

    @app.post("/set/<key>/<value>")
    def set_key(key: str, value: str) -> str:
        session[key] = value
        return ""

    @app.post("/pop/<key>")
    def pop_key(key: str) -> str:
        session.pop(key, None)
        return ""

    @app.post("/change")
    def change() -> str:
        given = flask.json.loads(request.args["changes"])
        session.update(given.get("set", {}))
        for key in given.get("remove", []):
            session.pop(key, None)
        return ""

    @app.get("/all")
    def everything() -> dict[str, Any]:
        return dict(session)

    return app


def test_the_cases_of_requests_at_once(keys: Flask) -> None:
    for case in AT_ONCE:
        client = keys.test_client()
        client.post("/change", query_string=changes({"set": case["stored"]}))

        def meanwhile(other: FlaskClient, case: Any = case) -> None:
            other.post("/change", query_string=changes(case["meanwhile"]))

        during(keys, client, "/change", meanwhile, query_string=changes(case["request"]))
        assert client.get("/all").json == case["left"], case["rule"]


def test_requests_at_once_do_not_lose_each_others_changes(keys: Flask) -> None:
    client = keys.test_client()
    client.post("/set/x/0")
    during(keys, client, "/set/a/1", lambda other: other.post("/set/b/2"))
    assert client.get("/all").json == {"x": "0", "a": "1", "b": "2"}
    during(keys, client, "/pop/x", lambda other: other.post("/set/c/3"))
    assert client.get("/all").json == {"a": "1", "b": "2", "c": "3"}


def test_the_last_key_goes_beside_another_change(keys: Flask) -> None:
    client = keys.test_client()
    client.post("/set/x/0")
    during(keys, client, "/pop/x", lambda other: other.post("/set/b/2"))
    assert client.get("/all").json == {"b": "2"}


@pytest.mark.parametrize("is_permanent", [False, True])
def test_a_slow_request_never_sends_an_old_id_again(keys: Flask, clock: ManualClock, is_permanent: bool) -> None:
    client = keys.test_client()
    client.post("/set/x/0")
    if is_permanent:
        client.post("/remember")
    clock.advance(3600)
    for path in ("/pop/nothing", "/set/y/1"):
        answered = during(keys, client, path, lambda other: other.post("/login/alice"))
        assert "set-cookie" not in answered.headers and answered.status_code == (200 if "pop" in path else 400)
        assert body(client.get("/"))["user"] == "alice"


def test_a_late_request_leaves_the_cookie_of_a_login(keys: Flask) -> None:
    client = keys.test_client()
    client.post("/set/x/0")
    late = with_cookie(keys, cookie(client) or "")
    client.post("/login/alice")
    for path, status in (("/pop/nothing", 200), ("/set/y/1", 400), ("/remember", 200)):
        answered = late.post(path)
        assert answered.status_code == status and "set-cookie" not in answered.headers, path
    dead = with_cookie(keys, cookie(client) or "")
    client.post("/logout")
    client.post("/login/alice")
    for path in ("/pop/nothing", "/logout"):
        assert "set-cookie" not in dead.post(path).headers


def test_a_double_click_on_log_in(keys: Flask) -> None:
    client = keys.test_client()
    client.post("/set/cart/apple")
    answered = during(keys, client, "/login-of-tutorials/alice", lambda other: other.post("/login/alice"))
    assert answered.status_code == 200
    assert body(client.get("/"))["user"] == "alice"


def test_permanent_before_a_login_holds_in_cookie_and_table(app: Flask, sessions: Any) -> None:
    app.config.update(PERMANENT_SESSION_LIFETIME=timedelta(days=7), permanent=True)
    for begins_anonymous in (False, True):
        client = app.test_client()
        if begins_anonymous:
            client.post("/visit")
        client.post("/login-of-tutorials/alice")
        record = sessions.peek(cookie(client))
        assert record.idle_timeout_seconds == record.absolute_timeout_seconds == 7 * 86400
        found = client.get_cookie("session")
        assert found is not None and found.max_age == 7 * 86400
    del app.config["permanent"]
    client.post("/login-of-tutorials/alice")
    record = sessions.peek(cookie(client))
    assert (record.idle_timeout_seconds, record.absolute_timeout_seconds) == (7200, 43200), "not remembered any more"
    assert client.get_cookie("session").max_age is None  # type: ignore[union-attr]


def test_cookie_and_record_live_equally_long(app: Flask, sessions: Any, clock: ManualClock) -> None:
    client = app.test_client()
    client.post("/visit")
    client.post("/remember")
    for _ in range(3):
        clock.advance(86400)
        answered = client.get("/")
        found = client.get_cookie("session")
        assert found is not None and "set-cookie" in answered.headers
        left = sessions.peek(found.value).expires - clock.now()
        assert left.total_seconds() == found.max_age
    assert "set-cookie" not in client.get("/").headers, "nothing has slid"


def test_a_logout_that_says_good_bye(keys: Flask, sessions: Any) -> None:
    @keys.post("/goodbye")
    def goodbye() -> str:
        session.clear()
        flask.flash("Good bye")
        return ""

    @keys.post("/log-out")
    def leave() -> str:
        log_out(session)
        return ""

    client = keys.test_client()
    sessions.revoke_all("alice")
    client.post("/login/alice")
    stolen = cookie(client)
    during(keys, client, "/goodbye", lambda other: other.post("/set/b/2"))
    assert sessions.load(stolen) is None and sessions.sessions_of("alice") == []
    assert cookie(client) not in (None, stolen) and list(body(client.get("/all"))) == ["_flashes"]
    client.post("/login/alice")
    assert client.post("/log-out").status_code == 200
    assert cookie(client) is None and sessions.sessions_of("alice") == []


def test_users_are_texts_integers_and_uuids(app: Flask, sessions: Any) -> None:
    with app.test_request_context("/"):
        for user, subject in (("a", "a"), (7, "7"), (UUID(int=1), str(UUID(int=1)))):
            log_in(session, user, user="x")
            own: Any = session
            assert own.record.subject == subject and len(sessions_of(user)) == 1
            log_out_everywhere(user)
            assert sessions_of(user) == []


def test_a_login_of_nobody_stores_nothing(app: Flask) -> None:
    @app.post("/nobody")
    def nobody() -> str:
        session["user"] = "x"
        user: Any = {"none": None, "empty": "", "truth": True}[request.args["kind"]]
        log_in(session, user, user="x")
        return ""

    for kind in ("none", "empty", "truth"):
        client = app.test_client()
        assert client.post(f"/nobody?kind={kind}").status_code == 500
        assert cookie(client) is None


def test_an_error_in_the_data_names_the_key(app: Flask) -> None:
    with app.test_request_context("/"):
        for value in (float("nan"), object()):
            with pytest.raises(InvalidDataError, match="'bad'"):
                log_in(session, "a", good=1, bad=value)


def test_a_poll_does_not_keep_the_session_alive(app: Flask, table: Table, clock: ManualClock) -> None:
    extension = app.extensions["dynamodb_web_session"]
    extension._sessions = SessionManager(**table.settings(), clock=clock, passive_paths=["/poll", "/quiet/"])

    @app.get("/poll")
    @app.get("/quiet/poll")
    @app.get("/by-hand")
    def poll() -> str:
        own: Any = session
        if request.path == "/by-hand":
            own.keep_alive(False)
        return str(session["visits"])

    client = app.test_client()
    client.post("/visit")
    clock.advance(3600)
    for path in ("/poll", "/quiet/poll", "/by-hand"):
        assert client.get(path).text == "1"
    clock.advance(3600)
    assert body(client.get("/"))["visits"] == 0


def test_a_wrong_setting_stops_the_start() -> None:
    for settings in ({"tabel_name": "x"}, {"idle_timeout_seconds": 0}):
        with pytest.raises(ConfigurationError):
            DynamoDbSessions(Flask("app"), **settings)


def test_the_two_changes_of_one_key(keys: Flask, table: Table) -> None:
    client = keys.test_client()
    client.post("/set/x/0")
    during(keys, client, "/set/x/1", lambda other: other.post("/set/x/2"))
    assert client.get("/all").json == {"x": "1"}, "the later save"
    keys.extensions["dynamodb_web_session"]._sessions = SessionManager(**table.settings(), merge=False)
    client = keys.test_client()
    client.post("/set/x/0")
    during(keys, client, "/set/a/1", lambda other: other.post("/set/b/2"))
    assert client.get("/all").json == {"x": "0", "a": "1"}, "merging was turned off"


DIFFERENCES = {
    # No secret key is needed.
    "test_missing_session",
    "test_session_transactions_no_null_sessions",
    "test_session_secret_key_fallbacks",
    # An equal value is no change, and sends no cookie.
    "test_session_using_samesite_attribute",
    # The cookie of a permanent session is set again whenever the life of the session was extended, about once a minute.
    "test_session_cookie_setting",
    "test_session_refresh_vary",
    # It fails with Flask's own sessions too.
    "test_bad_environ_raises_bad_request",
}


@pytest.mark.skipif("AWS_ENDPOINT_URL_DYNAMODB" in os.environ, reason="once is enough")
def test_flasks_own_tests(table: Table, tmp_path: Path) -> None:
    python = tmp_path / "environment/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "environment"], check=True)
    # Flask's tests of this version do not run with pytest 9.
    packages = ["pytest==8.4.2", "flask==3.1.3", "asgiref", "python-dotenv", "typing_extensions"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
    (tmp_path / "with_dynamodb.py").write_text(
        "from flask import Flask\n"
        "from dynamodb_web_session.flask import DynamoDbSessions\n"
        "Flask.session_interface = DynamoDbSessions(max_timeout_seconds=31536000)\n"
    )
    (tmp_path / "dynamodb_web_session").symlink_to(Path(dynamodb_web_session.__file__).parent)
    ended = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "with_dynamodb", "-p", "no:cacheprovider", "tests"],
        cwd=source("Flask", "3.1.3"),
        env=table.environment() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    failed = set(re.findall(r"^FAILED tests/\w+\.py::(\w+)", ended.stdout, re.M))
    assert failed == DIFFERENCES, ended.stdout
    assert re.search(r"48\d passed", ended.stdout), ended.stdout
