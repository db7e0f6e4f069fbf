"""Where a user is logged in: labels, the end of one session, and how long ago the login was. Django's are in ``test_django.py``."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request
from flask import Flask, request, session
from starlette.testclient import TestClient

from conftest import Table
from dynamodb_web_session import AsyncSessionManager, ManualClock, NotFoundError, SessionManager
from dynamodb_web_session import flask as on_flask
from dynamodb_web_session import starlette as on_starlette

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Mobile/15E148 Safari/604.1"
)


def test_the_verbs_carry_labels_and_the_time_of_the_login(make: Callable[..., Any], clock: ManualClock) -> None:
    sessions = make()
    sessions.revoke_all("ann")
    context = {"country": "NZ", "n": [1, None]}
    created = sessions.create({"a": 1}, subject="ann", label="<b>\n", context=context)
    assert (created.label, created.context) == ("<b>\n", context)
    assert created.authenticated_at == created.created
    loaded = sessions.load(created.id)
    assert (loaded.label, loaded.context, loaded.authenticated_at) == ("<b>\n", context, created.created)
    clock.advance(60)
    again = sessions.log_in(created, "ann", label="laptop")
    assert (again.label, again.context) == ("laptop", context)
    assert again.authenticated_at > created.created
    sessions.update(again, label="", context="")
    assert (sessions.load(again).label, sessions.load(again).context) == (None, None)
    sessions.update(again, label="phone")
    other = sessions.create(subject="ann")
    listed = {entry.name: entry for entry in sessions.sessions_of("ann", current=again)}
    assert [(entry.label, entry.is_current) for entry in listed.values() if entry.label] == [("phone", True)]
    [name] = [entry.name for entry in listed.values() if entry.loggable_id == other.loggable_id]
    assert sessions.revoke_named("bob", name) is False
    assert sessions.revoke_named("ann", name) is True
    assert sessions.revoke_named("ann", "no name") is False
    assert sessions.load(other) is None and sessions.load(again) is not None
    clock.advance(601)
    assert not sessions.is_logged_in_within(again, 10)
    sessions.confirm_login(again)
    assert sessions.is_logged_in_within(sessions.load(again), 10)
    assert not sessions.is_logged_in_within(None, 10)
    with pytest.raises(NotFoundError):
        sessions.confirm_login(other)


@pytest.mark.parametrize(
    "bad", [{"label": "a" * 65}, {"context": "a" * 127}, {"context": {"a": "b" * 130}}, {"label": "é" * 33}]
)
def test_what_is_too_long_is_refused(make: Callable[..., Any], bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at most"):
        make().create(subject="ann", **bad)


def test_a_label_key_hides_them_from_the_table(table: Table) -> None:
    sessions = SessionManager(**table.settings(), label_key="k" * 32)
    session = sessions.create(subject="hidden", label="Wellington")
    items = str(table.dynamodb().scan(TableName=table.name)["Items"])
    assert session.loggable_id in items and "Wellington" not in items
    assert [entry.label for entry in sessions.sessions_of("hidden")] == ["Wellington"]


@pytest.fixture
def flask_app(table: Table, clock: ManualClock) -> Flask:
    app = Flask(__name__)
    on_flask.DynamoDbSessions(app, **table.settings(), clock=clock)

    @app.post("/login/<user>")
    def login(user: str) -> str:
        on_flask.log_in(session, user, user=user)
        return ""

    @app.post("/password")
    def password() -> str:
        on_flask.confirm_login(session)
        return ""

    @app.get("/devices")
    def devices() -> Any:
        return [
            {"name": each.name, "label": each.label, "context": each.context, "this": each.is_current}
            for each in on_flask.sessions_of(session["user"])
        ]

    @app.post("/end/<name>")
    def end(name: str) -> Any:
        return {"ended": on_flask.revoke(session["user"], name)}

    @app.get("/page")
    def page() -> str:
        return "".join(f"<li>{html.escape(each.label or '')}</li>" for each in on_flask.sessions_of(session["user"]))

    @app.post("/serious")
    @on_flask.requires_login_within(10, login_url="/again")
    def serious() -> str:
        return "done"

    @app.post("/api/serious")
    @on_flask.requires_login_within(10)
    def api() -> str:
        return request.path

    return app


def test_flask(flask_app: Flask, clock: ManualClock) -> None:
    laptop, phone, stranger = (flask_app.test_client() for _ in range(3))
    laptop.post("/login/ada", headers={"User-Agent": FIREFOX}, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    clock.advance(1)
    phone.post("/login/ada", headers={"User-Agent": PHONE}, environ_base={"REMOTE_ADDR": "2001:db8:1:2:3::4"})
    stranger.post("/login/eve", headers={"User-Agent": "<script>"})
    devices: Any = laptop.get("/devices").json
    assert [{key: value for key, value in each.items() if key != "name"} for each in devices] == [
        {"label": "Safari on iPhone", "context": {"address": "2001:db8:1:2::/64"}, "this": False},
        {"label": "Firefox on Linux", "context": {"address": "192.0.2.1"}, "this": True},
    ]
    name = devices[0]["name"]
    assert stranger.post(f"/end/{name}").json == {"ended": False}
    assert phone.get("/devices").status_code == 200
    assert laptop.post(f"/end/{name}").json == {"ended": True}
    assert phone.get("/devices").status_code == 500  # it has no user any more
    left: Any = laptop.get("/devices").json
    assert [each["label"] for each in left] == ["Firefox on Linux"]


def test_flask_asks_for_the_password_again(flask_app: Flask, clock: ManualClock) -> None:
    client = flask_app.test_client()
    assert client.post("/api/serious").status_code == 401
    client.post("/login/ada")
    assert client.post("/serious").text == "done"
    clock.advance(601)
    answer = client.post("/serious?a=1&b=2")
    assert (answer.status_code, answer.location) == (302, "/again?next=%2Fserious%3Fa%3D1%26b%3D2")
    assert client.post("/api/serious").status_code == 401
    client.post("/password")
    assert client.post("/serious").text == "done"


def test_labels_can_be_turned_off(table: Table) -> None:
    app = Flask(__name__)
    interface = on_flask.DynamoDbSessions(app, **table.settings(), labels=False)

    @app.post("/")
    def login() -> str:
        on_flask.log_in(session, "nameless")
        return ""

    app.test_client().post("/", headers={"User-Agent": FIREFOX})
    assert [(each.label, each.context) for each in interface.sessions.sessions_of("nameless")] == [(None, None)]


def test_starlette(table: Table, clock: ManualClock) -> None:
    app = FastAPI()
    manager = AsyncSessionManager(**table.settings(), clock=clock)
    app.add_middleware(on_starlette.SessionMiddleware, sessions=manager)

    @app.post("/login/{user}")
    async def login(request: Request, user: str) -> None:
        await on_starlette.log_in(request, user, user=user)

    @app.post("/password")
    def password(request: Request) -> None:
        on_starlette.confirm_login(request)

    @app.get("/devices")
    async def devices(request: Request) -> Any:
        return [
            (each.name, each.label, each.is_current)
            for each in await on_starlette.sessions_of(request, request.session["user"])
        ]

    @app.post("/end/{name}")
    async def end(request: Request, name: str) -> bool:
        return await on_starlette.revoke(request, request.session["user"], name)

    @app.post("/serious", dependencies=[Depends(on_starlette.requires_login_within(10))])
    def serious() -> str:
        return "done"

    def browser(agent: str, **hints: str) -> TestClient:
        return TestClient(app, base_url="https://testserver", headers={"User-Agent": agent, **hints})

    laptop = browser(FIREFOX)
    phone = browser(PHONE, **{"Sec-CH-UA": '"Brave";v="1"', "Sec-CH-UA-Platform": '"iOS"'})
    for client in (laptop, phone):
        client.post("/login/grace").raise_for_status()
        clock.advance(1)
    [first, second] = laptop.get("/devices").json()
    assert (first[1:], second[1:]) == (["Brave on iOS", False], ["Firefox on Linux", True])
    assert laptop.post("/serious").json() == "done"
    clock.advance(601)
    assert laptop.post("/serious").status_code == 401
    laptop.post("/password").raise_for_status()
    assert laptop.post("/serious").status_code == 200
    assert laptop.post(f"/end/{first[0]}").json() is True
    assert phone.post("/serious").status_code == 401
    assert laptop.post("/serious").status_code == 200
