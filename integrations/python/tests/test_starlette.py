"""Sessions in Starlette, and in FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from conftest import Table
from dynamodb_web_session import AsyncSessionManager, ManualClock, SessionManager, TooManySessionsError
from dynamodb_web_session.starlette import SessionMiddleware, log_in, log_out_everywhere

Act = Callable[[Any], Awaitable[None]]


async def nothing(_: Any) -> None:
    pass


class App:
    """An application, and what one of its routes does during a request."""

    def __init__(self, settings: dict[str, Any], **options: Any) -> None:
        self.meanwhile: Act = nothing

        async def page(request: Request) -> Response:
            return JSONResponse(request.session)

        async def static(request: Request) -> Response:
            return PlainTextResponse("no session")

        async def visit(request: Request) -> Response:
            request.session.setdefault("pages", []).append(len(request.session["pages"]))
            return StreamingResponse(iter(["a", "b"]))

        async def login(request: Request) -> Response:
            user = request.path_params["user"]
            try:
                await log_in(request, user, user=user)
            except TooManySessionsError:
                return Response(status_code=409)
            return Response()

        async def logout(request: Request) -> Response:
            request.session.clear()
            return Response()

        async def everywhere(request: Request) -> Response:
            keep = request.session if request.query_params.get("keep") == "this" else None
            await log_out_everywhere(request, request.path_params["user"], except_=keep)
            return Response()

        async def slow(request: Request) -> Response:
            request.session["slow"] = True
            await self.meanwhile(request)
            return PlainTextResponse("secret of the user")

        async def socket(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_json(websocket.session)
            await websocket.close()

        routes = [
            Route("/", page),
            Route("/static", static),
            Route("/visit", visit, methods=["POST"]),
            Route("/login/{user}", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/everywhere/{user}", everywhere, methods=["POST"]),
            Route("/slow", slow, methods=["POST"]),
            WebSocketRoute("/socket", socket),
        ]
        self.app = Starlette(
            routes=routes, middleware=[Middleware(SessionMiddleware, AsyncSessionManager(**settings), **options)]
        )

    def client(self, session_id: str | None = None) -> TestClient:
        client = TestClient(self.app, base_url="https://testserver")
        if session_id is not None:
            client.cookies.set("session", session_id)
        return client


@pytest.fixture
def settings(table: Table, clock: ManualClock) -> dict[str, Any]:
    return table.settings() | {"clock": clock}


@pytest.fixture
def app(settings: dict[str, Any]) -> App:
    return App(settings)


@pytest.fixture
def manager(settings: dict[str, Any]) -> SessionManager:
    return SessionManager(**settings)


def test_a_session_lives_from_request_to_request(app: App, table: Table) -> None:
    client = app.client()
    before = table.records()
    assert client.get("/").json() == {} and table.records() == before
    for n in range(3):
        assert client.post("/visit").text == "ab"
        assert client.get("/").json() == {"pages": list(range(n + 1))}, "a change inside of a value is stored"
    assert table.records() == before + 1


def test_a_session_that_is_not_changed_is_not_written(app: App, manager: SessionManager) -> None:
    client = app.client()
    client.post("/visit")
    peeked = manager.peek(client.cookies["session"])
    assert peeked is not None
    manager.update(peeked, data={"by": "another"})
    response = client.get("/static")
    assert "set-cookie" not in response.headers
    assert client.get("/").json() == {"by": "another"}


def test_a_login_gives_a_new_id_and_a_logout_ends_the_session(app: App) -> None:
    client = app.client()
    client.post("/visit")
    planted = client.cookies["session"]
    client.post("/login/alice")
    assert client.cookies["session"] != planted
    assert client.get("/").json() == {"pages": [0], "user": "alice"}
    assert app.client(planted).get("/").json() == {}
    stolen = client.cookies["session"]
    client.post("/logout")
    assert "session" not in client.cookies and app.client(stolen).get("/").json() == {}


def test_log_out_everywhere(app: App) -> None:
    laptop, phone = app.client(), app.client()
    for client in (laptop, phone):
        client.post("/login/bob")
    laptop.post("/everywhere/bob?keep=this")
    assert laptop.get("/").json() == {"user": "bob"} and phone.get("/").json() == {}
    phone.post("/everywhere/bob")
    assert laptop.get("/").json() == {}


def test_a_request_does_not_bring_back_a_session_that_was_logged_out(app: App, manager: SessionManager) -> None:
    client = app.client()
    client.post("/login/carol")
    value = client.cookies["session"]

    async def log_out(request: Any) -> None:
        await request.session.sessions.clear(value)

    app.meanwhile = log_out
    response = client.post("/slow")
    assert response.status_code == 400 and "secret" not in response.text and "set-cookie" not in response.headers
    assert manager.load(value) is None


def test_a_renewal_of_a_session_that_has_ended_starts_without_its_data(app: App, manager: SessionManager) -> None:
    client = app.client()
    client.post("/visit")

    async def log_out_and_in(request: Any) -> None:
        await request.session.sessions.clear(request.session.record)
        await log_in(request, "dave", user="dave")

    app.meanwhile = log_out_and_in
    assert client.post("/slow").status_code == 200
    assert client.get("/").json() == {"user": "dave", "slow": True}, "what this request has set itself stays"
    assert manager.load(client.cookies["session"]).subject == "dave"  # type: ignore[union-attr]


def test_a_refused_login_leaves_the_session_as_it_was(settings: dict[str, Any]) -> None:
    app = App(settings | {"max_per_subject": 1, "at_max_per_subject": "refuse"})
    first, second = app.client(), app.client()
    assert first.post("/login/frank").status_code == 200
    second.post("/visit")
    before = second.cookies["session"]
    response = second.post("/login/frank")
    assert response.status_code == 409 and "set-cookie" not in response.headers
    assert second.cookies["session"] == before and second.get("/").json() == {"pages": [0]}
    assert first.get("/").json() == {"user": "frank"}


def test_the_cookie(settings: dict[str, Any]) -> None:
    response = App(settings).client().post("/visit")
    assert set(response.headers["set-cookie"].split("; ")[1:]) == {"HttpOnly", "Path=/", "SameSite=lax", "Secure"}
    app = App(
        settings, session_cookie="id", max_age=60, https_only=False, same_site="strict", path="/a", domain="x.test"
    )
    attributes = app.client().post("/visit").headers["set-cookie"].split("; ")
    assert attributes[0].startswith("id=")
    assert set(attributes[1:]) == {"HttpOnly", "Path=/a", "SameSite=strict", "Max-Age=60", "Domain=x.test"}


def test_vary(app: App) -> None:
    client = app.client()
    assert "vary" not in client.get("/static").headers
    assert client.get("/").headers["vary"] == "Cookie"
    assert client.post("/visit").headers["vary"] == "Cookie"
    assert client.get("/static").headers["vary"] == "Cookie"


def test_timeouts(app: App, clock: ManualClock) -> None:
    client = app.client()
    client.post("/visit")
    clock.advance(7199)
    assert client.get("/").json() == {"pages": [0]}
    clock.advance(7200)
    assert client.get("/").json() == {}


@pytest.mark.parametrize("value", ["nonsense", "A" * 43])
def test_a_cookie_that_was_never_issued(app: App, value: str) -> None:
    client = app.client(value)
    assert client.get("/").json() == {}
    response = client.post("/visit")
    assert response.cookies["session"] != value


def test_an_outage_is_no_logout(settings: dict[str, Any]) -> None:
    down = App(settings | {"endpoint_url": "http://127.0.0.1:9"})
    for response in (down.client("A" * 43).get("/"), down.client().post("/visit")):
        assert response.status_code == 503 and response.headers["retry-after"] == "1"
        assert "set-cookie" not in response.headers


def test_a_websocket_reads_the_session(app: App) -> None:
    client = app.client()
    client.post("/login/erin")
    with client.websocket_connect("/socket", headers={"cookie": f"session={client.cookies['session']}"}) as socket:
        assert socket.receive_json() == {"user": "erin"}


def test_fastapi(settings: dict[str, Any]) -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, AsyncSessionManager(**settings))

    @app.post("/")
    async def visit(request: Request) -> dict[str, Any]:
        request.session["n"] = request.session.get("n", 0) + 1
        return request.session

    client = TestClient(app, base_url="https://testserver")
    client.post("/")
    assert client.post("/").json() == {"n": 2}
