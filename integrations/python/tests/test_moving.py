"""Sessions of Flask's signed cookies and of Flask-Session move, until an end date."""

from __future__ import annotations

import string
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cachelib.file import FileSystemCache
from flask import Flask, session
from flask.testing import FlaskClient
from flask_session import Session  # type: ignore[import-untyped]

from conftest import Table
from dynamodb_web_session.flask import DynamoDbSessions, log_in, log_out, log_out_everywhere

SOON = datetime.now(timezone.utc) + timedelta(days=60)


def routes(app: Flask, is_new: bool) -> None:
    app.secret_key = "a secret of the application"
    app.config["SESSION_COOKIE_SECURE"] = False

    @app.get("/")
    def page() -> dict[str, Any]:
        return {"user": session.get("user"), "cart": session.get("cart")}

    @app.post("/cart")
    def cart() -> str:
        session["cart"] = ["apple"]
        return ""

    @app.post("/login/<user>")
    def login(user: str) -> str:
        if is_new:
            log_in(session, user, user=user)
        else:
            session["user"] = user
        return ""

    @app.post("/logout")
    def logout() -> str:
        log_out(session)
        return ""

    @app.post("/clear")
    def clear() -> str:
        session.clear()
        return ""

    @app.post("/everywhere")
    def everywhere() -> str:
        log_out_everywhere(session["user"])
        return ""


def old_app() -> Flask:
    app = Flask("old")
    routes(app, is_new=False)
    return app


def new_app(table: Table, former: Any = None, until: datetime = SOON) -> Flask:
    app = Flask("new")
    routes(app, is_new=True)
    if former is not None:
        former(app)
    DynamoDbSessions(app, move_until=until, move_user=lambda data: data.get("user"), **table.settings())
    return app


def old_cookie(app: Flask, *paths: str) -> str:
    client = app.test_client()
    for path in paths:
        client.post(path)
    cookie = client.get_cookie("session")
    assert cookie is not None
    return cookie.value


def with_cookie(app: Flask, value: str) -> FlaskClient:
    client = app.test_client()
    client.set_cookie("session", value)
    return client


def user(client: FlaskClient) -> Any:
    answer: Any = client.get("/").json
    return answer["user"]


def test_a_signed_cookie_moves_once_with_its_user(table: Table) -> None:
    old, new = old_app(), new_app(table)
    text = old_cookie(old, "/cart", "/login/ada")
    client = with_cookie(new, text)
    assert client.get("/").json == {"user": "ada", "cart": ["apple"]}
    moved = client.get_cookie("session")
    assert moved is not None and moved.value != text
    assert client.get("/").json == {"user": "ada", "cart": ["apple"]}
    interface: Any = new.session_interface
    assert len(interface.sessions.sessions_of("ada")) == 1
    assert user(with_cookie(new, text)) is None, "a copy of it"
    client.post("/everywhere")
    assert user(client) is None and user(with_cookie(new, text)) is None


@pytest.mark.parametrize("way_out", ["/logout", "/clear", "/everywhere"])
def test_no_older_cookie_of_a_user_who_has_logged_out(table: Table, way_out: str) -> None:
    old, new = old_app(), new_app(table)
    name = f"bob{way_out.strip('/')}"
    laptop, phone = (old_cookie(old, first, f"/login/{name}") for first in ("/cart", "/login/x"))
    client = with_cookie(new, laptop)
    assert user(client) == name
    client.post(way_out)
    assert user(client) is None
    assert user(with_cookie(new, phone)) is None
    stranger = old_cookie(old, f"/login/eve{name}")
    assert user(with_cookie(new, stranger)) == f"eve{name}", "another user is not concerned"


def test_a_signature_in_another_spelling_is_the_same_cookie(table: Table) -> None:
    old, new = old_app(), new_app(table)
    text = old_cookie(old, "/login/grace")
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    other = text[:-1] + letters[letters.index(text[-1]) ^ 1]  # the last two bits of the 27 letters say nothing
    assert user(with_cookie(old, other)) == "grace"
    assert user(with_cookie(new, text)) == "grace"
    assert user(with_cookie(new, other)) is None


def test_no_older_cookie_of_a_user_who_has_logged_in(table: Table) -> None:
    old, new = old_app(), new_app(table)
    text = old_cookie(old, "/login/carol")
    new.test_client().post("/login/carol")
    assert user(with_cookie(new, text)) is None


def test_a_cart_moves_without_a_user(table: Table) -> None:
    client = with_cookie(new_app(table), old_cookie(old_app(), "/cart"))
    assert client.get("/").json == {"user": None, "cart": ["apple"]}
    client.post("/login/dan")
    assert client.get("/").json == {"user": "dan", "cart": ["apple"]}


def test_a_bad_or_old_cookie_is_no_session_and_neither_is_one_after_the_end(table: Table) -> None:
    old, new = old_app(), new_app(table)
    text = old_cookie(old, "/login/frank")
    signed, _, signature = text.rpartition(".")
    forged = f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    for bad in ("nonsense", forged, "." * 3):
        assert user(with_cookie(new, bad)) is None
    new.permanent_session_lifetime = timedelta(seconds=-1)
    assert user(with_cookie(new, text)) is None
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    assert user(with_cookie(new_app(table, until=yesterday), text)) is None
    assert user(with_cookie(new_app(table), text)) == "frank", "none of these has used it up"


def test_a_session_of_flask_session_moves_and_is_deleted_there(table: Table, tmp_path: Path) -> None:
    def flask_session(app: Flask) -> None:
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(tmp_path)))
        Session(app)

    old = Flask("old")
    routes(old, is_new=False)
    flask_session(old)
    text = old_cookie(old, "/cart", "/login/grace")
    new = new_app(table, former=flask_session)
    client = with_cookie(new, text)
    assert client.get("/").json == {"user": "grace", "cart": ["apple"]}
    assert user(client) == "grace"
    assert user(with_cookie(old, text)) is None, "deleted where it was"
    assert user(with_cookie(new, text)) is None
    assert user(with_cookie(new, "made-up")) is None
