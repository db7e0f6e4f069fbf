"""Requests at once, sync handlers, WebSockets and errors in Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from conftest import AT_ONCE, Proxy, Table, changes
from dynamodb_web_session import AsyncSessionManager, ManualClock, SessionManager, UnavailableError
from dynamodb_web_session.starlette import (
    RequestSession,
    SessionMiddleware,
    log_in,
    log_out,
    log_out_everywhere,
    renew,
    revoke,
    sessions_of,
)


class Browser:
    """An application, and a client of it that can have two requests under way."""

    def __init__(self, settings: dict[str, Any], **options: Any) -> None:
        self.app = app = FastAPI()
        app.add_middleware(SessionMiddleware, sessions=AsyncSessionManager(**settings), **options)
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

        async def wait() -> None:
            if (meanwhile := self.meanwhile) is not None:
                self.meanwhile = None
                await meanwhile()

        @app.get("/all")
        async def everything(request: Request) -> Any:
            return request.session

        @app.post("/set/{key}/{value}")
        async def set_key(request: Request, key: str, value: str) -> None:
            request.session[key] = value
            await wait()

        @app.post("/change")
        async def change(request: Request, changes: str) -> None:
            given = json.loads(changes)
            request.session.update(given.get("set", {}))
            for key in given.get("remove", []):
                request.session.pop(key, None)
            await wait()

        @app.post("/pop/{key}")
        async def pop_key(request: Request, key: str) -> None:
            request.session.pop(key, None)
            await wait()

        @app.post("/login/{user}")
        async def login(request: Request, user: str, max_age: int | None = None) -> None:
            request.session["user"] = user
            if max_age is not None:
                request.session.max_age = max_age  # type: ignore[attr-defined]
            await wait()
            await log_in(request, user, user=user)

        @app.post("/login-in-a-thread/{user}")
        def login_in_a_thread(request: Request, user: str) -> None:
            log_in(request, user, user=user)

        @app.post("/end-others-in-a-thread")
        def end_others_in_a_thread(request: Request) -> list[str]:
            ended: Any = sessions_of(request, request.session["user"])
            return [
                each.name
                for each in ended
                if not each.is_current and revoke(request, request.session["user"], each.name)
            ]

        @app.post("/renew-in-a-thread")
        def renew_in_a_thread(request: Request) -> None:
            renew(request)

        @app.post("/login-not-awaited")
        async def login_not_awaited(request: Request) -> None:
            log_in(request, "alice", user="alice")

        @app.post("/login-then/{what}")
        async def login_then(request: Request, what: str) -> None:
            await log_in(request, what, user=what)
            request.session["seen"] = object() if what == "no JSON" else 1
            await wait()
            if what == "another call fails":
                await log_out_everywhere(request, "somebody")

        @app.post("/logout")
        async def logout(request: Request) -> None:
            request.session.clear()
            await wait()

        @app.post("/log-out")
        async def leave(request: Request) -> None:
            await log_out(request)

        @app.post("/everywhere/{user}")
        async def everywhere(request: Request, user: str) -> None:
            await log_out_everywhere(request, user)

        @app.post("/renew-and-fail")
        async def renew_and_fail(request: Request) -> None:
            await renew(request)
            raise RuntimeError("after the renewal")

        @app.get("/poll")
        async def poll(request: Request) -> Any:
            request.session.keep_alive(False)  # type: ignore[attr-defined]
            return request.session

        @app.get("/static/a.css")
        async def static() -> None:
            pass

        @app.get("/no-session")
        async def no_session() -> None:
            pass

        @app.websocket("/socket/{what}")
        async def socket(websocket: WebSocket, what: str) -> None:
            if what == "login-before":
                await log_in(websocket, "alice", user="alice")
            await websocket.accept()
            if what == "login-after":
                await log_in(websocket, "alice", user="alice")
            websocket.session["socket"] = what
            if what == "until-the-end":
                await websocket.receive_text()
            await websocket.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
            yield client

    async def during(
        self, client: httpx.AsyncClient, path: str, meanwhile: Callable[[], Awaitable[Any]], **options: Any
    ) -> httpx.Response:
        """The answer to a request during which the browser makes another one."""
        self.meanwhile = meanwhile
        return await client.post(path, **options)

    def test_client(self) -> TestClient:
        return TestClient(self.app, base_url="https://test", raise_server_exceptions=False)


@pytest.fixture
def settings(proxy: Proxy, table: Table, clock: ManualClock) -> dict[str, Any]:
    return table.settings() | {"clock": clock, "endpoint_url": proxy.url}


@pytest.fixture
def browser(settings: dict[str, Any]) -> Browser:
    return Browser(settings, excluded_paths=["/static/"])


def test_the_cases_of_requests_at_once(browser: Browser) -> None:
    async def main() -> None:
        for case in AT_ONCE:
            async with browser.open() as client:
                await client.post("/change", params=changes({"set": case["stored"]}))

                async def meanwhile(client: Any = client, case: Any = case) -> None:
                    await client.post("/change", params=changes(case["meanwhile"]))

                await browser.during(client, "/change", meanwhile, params=changes(case["request"]))
                assert (await client.get("/all")).json() == case["left"], case["rule"]

    asyncio.run(main())


def test_requests_at_once_do_not_lose_each_others_changes(browser: Browser) -> None:
    async def main() -> None:
        async with browser.open() as client:
            await client.post("/set/x/0")
            await browser.during(client, "/set/a/1", lambda: client.post("/set/b/2"))
            assert (await client.get("/all")).json() == {"x": "0", "a": "1", "b": "2"}
            await browser.during(client, "/pop/x", lambda: client.post("/set/c/3"))
            assert (await client.get("/all")).json() == {"a": "1", "b": "2", "c": "3"}
            for key in "ab":
                await client.post(f"/pop/{key}")
            await browser.during(client, "/pop/c", lambda: client.post("/set/d/4"))
            assert (await client.get("/all")).json() == {"d": "4"}, "the last key goes beside another change"

    asyncio.run(main())


@pytest.mark.parametrize("max_age", [None, 86400])
def test_a_slow_and_a_late_request_leave_the_cookie_of_a_login(
    settings: dict[str, Any], clock: ManualClock, max_age: int | None
) -> None:
    browser = Browser(settings, max_age=max_age)

    async def main() -> None:
        async with browser.open() as client:
            await client.post("/set/x/0")
            old = client.cookies["session"]
            clock.advance(3600)
            for path, status in (("/pop/nothing", 200), ("/set/y/1", 400)):
                answer = await browser.during(client, path, lambda: client.post("/login/alice"))
                assert answer.status_code == status and "set-cookie" not in answer.headers
                assert (await client.get("/all")).json() == {"x": "0", "user": "alice"}
            late = {"cookie": f"session={old}"}
            transport = httpx.ASGITransport(browser.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://test", headers=late) as other:
                for path, status in (("/pop/nothing", 200), ("/set/y/1", 400)):
                    answer = await other.post(path)
                    assert answer.status_code == status and "set-cookie" not in answer.headers
            answer = await browser.during(client, "/login/alice", lambda: client.post("/login/alice"))
            assert answer.status_code == 200 and (await client.get("/all")).json()["user"] == "alice", "a double click"

    asyncio.run(main())


def test_cookie_and_record_live_equally_long(settings: dict[str, Any], clock: ManualClock, table: Table) -> None:
    manager = SessionManager(**table.settings(), clock=clock)

    async def main() -> None:
        for browser, path in (
            (Browser(settings, max_age=14 * 86400), "/login/alice"),
            (Browser(settings), f"/login/alice?max_age={14 * 86400}"),
        ):
            async with browser.open() as client:
                await client.post("/set/x/0")
                answer = await client.post(path)
                for _ in range(3):
                    found = next(cookie for cookie in client.cookies.jar if cookie.name == "session")
                    record = manager.peek(found.value or "")
                    assert record is not None and record.idle_timeout_seconds == 14 * 86400
                    left = int((record.expires - clock.now()).total_seconds())
                    assert f"Max-Age={left}" in answer.headers["set-cookie"]
                    clock.advance(86400)
                    answer = await client.get("/all")

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_handlers_that_are_no_coroutines(browser: Browser, table: Table) -> None:
    client = browser.test_client()
    client.post("/set/x/0")
    planted = client.cookies["session"]
    assert client.post("/login-in-a-thread/alice").status_code == 200
    assert client.cookies["session"] != planted
    assert client.get("/all").json() == {"x": "0", "user": "alice"}
    before = client.cookies["session"]
    assert client.post("/renew-in-a-thread").status_code == 200
    assert client.cookies["session"] != before
    before = client.cookies["session"]
    assert client.post("/login-not-awaited").status_code == 500, "it never does nothing"
    assert client.cookies["session"] == before
    phone = browser.test_client()
    phone.post("/login/alice")
    assert client.post("/end-others-in-a-thread").json() != []
    assert phone.get("/all").json() == {} and client.post("/end-others-in-a-thread").json() == []


def test_a_failure_after_a_renewal_keeps_the_session(browser: Browser) -> None:
    client = browser.test_client()
    client.post("/login/alice")
    before = client.cookies["session"]
    assert client.post("/renew-and-fail").status_code == 500
    assert client.cookies["session"] != before and client.get("/all").json() == {"user": "alice"}


def test_logouts(browser: Browser, table: Table) -> None:
    manager = SessionManager(**table.settings())

    async def main() -> None:
        async with browser.open() as client:
            await client.post("/login/olga")
            await browser.during(client, "/logout", lambda: client.post("/set/b/2"))
            assert "session" not in client.cookies and manager.sessions_of("olga") == []
            await client.post("/login/olga")
            await client.post("/log-out")
            assert "session" not in client.cookies and manager.sessions_of("olga") == []

    asyncio.run(main())


def test_a_refused_login_stores_nothing(settings: dict[str, Any]) -> None:
    browser = Browser(settings | {"max_per_subject": 1, "at_max_per_subject": "refuse"})
    first, second = browser.test_client(), browser.test_client()
    first.post("/login/rita")
    second.post("/set/cart/apple")
    before = second.cookies["session"]
    answer = second.post("/login/rita")
    assert answer.status_code == 409 and "set-cookie" not in answer.headers
    assert second.cookies["session"] == before and second.get("/all").json() == {"cart": "apple"}
    visitor = browser.test_client()
    assert visitor.post("/login/rita").status_code == 409 and "session" not in visitor.cookies


def test_an_outage_is_503_where_the_session_is_used(browser: Browser, proxy: Proxy) -> None:
    client = browser.test_client()
    client.post("/login/alice")
    before = client.cookies["session"]
    with proxy.outage():
        for path in ("/set/a/1", "/login/alice", "/login-in-a-thread/alice", "/log-out", "/everywhere/alice"):
            answer = client.post(path)
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1", path
            assert "set-cookie" not in answer.headers
        assert client.get("/no-session").status_code == 200
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("wss://test/socket/any") as socket:
            socket.receive_text()
        assert closed.value.code == 1013
        visitor = browser.test_client()
        assert visitor.post("/set/a/1").status_code == 503 and "session" not in visitor.cookies
    assert client.cookies["session"] == before and client.get("/all").json() == {"user": "alice"}


def test_a_login_stays_when_the_rest_of_its_request_cannot_be_stored(browser: Browser, proxy: Proxy) -> None:
    async def begin_outage() -> None:
        proxy.is_outage = True

    for what, status in (("the save fails", 503), ("another call fails", 503), ("no JSON", 500)):
        client = browser.test_client()
        client.post("/set/cart/apple")
        browser.meanwhile = begin_outage if status == 503 else None
        assert client.post(f"/login-then/{what}").status_code == status
        proxy.is_outage = False
        assert client.get("/all").json() == {"cart": "apple", "user": what}


def test_a_session_that_could_not_be_loaded_raises_at_its_first_use(settings: dict[str, Any], proxy: Proxy) -> None:
    """Also with a version of Starlette that tells nobody of the use."""
    manager = SessionManager(**settings)
    session_id = manager.create({"n": 1}).id

    connection = HTTPConnection({"type": "http", "path": "/", "headers": []})

    async def main() -> None:
        session = RequestSession(AsyncSessionManager(**settings), session_id, connection, None)
        with proxy.outage():
            await session.open()
        uses: list[Callable[[], Any]] = [
            lambda: session["n"],
            lambda: session.get("n"),
            lambda: "n" in session,
            lambda: dict(session),
            lambda: session.update(a=1),
            lambda: len(session),
            lambda: session.clear(),
        ]
        for use in uses:
            with pytest.raises(UnavailableError):
                use()
        assert await session.finish() is None

    asyncio.run(main())


def test_what_a_request_costs(browser: Browser, proxy: Proxy, clock: ManualClock) -> None:
    client = browser.test_client()
    assert proxy.of(lambda: client.get("/all")) == []
    assert proxy.of(lambda: client.post("/set/a/1")) == ["PutItem"]
    assert proxy.of(lambda: client.post("/set/a/1")) == ["GetItem"]
    assert proxy.of(lambda: client.post("/set/a/2")) == ["GetItem", "UpdateItem"]
    assert proxy.of(lambda: client.get("/static/a.css")) == [], "it was left out"
    clock.advance(600)
    assert proxy.of(lambda: client.get("/poll")) == ["GetItem"], "it does not keep the session alive"
    assert proxy.of(lambda: client.get("/all")) == ["GetItem", "UpdateItem"]


def test_a_websocket_stores_its_changes_and_logs_in_before_its_accept_only(browser: Browser) -> None:
    client = browser.test_client()
    client.post("/set/x/0")
    before = client.cookies["session"]
    with client.websocket_connect("wss://test/socket/any") as socket, pytest.raises(WebSocketDisconnect):
        socket.receive_text()
    assert client.get("/all").json() == {"x": "0", "socket": "any"}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("wss://test/socket/until-the-end"):
        pass  # the client goes away
    assert client.get("/all").json() == {"x": "0", "socket": "until-the-end"}
    with pytest.raises(RuntimeError, match="log_in needs a cookie"):
        with client.websocket_connect("wss://test/socket/login-after"):
            pass
    assert client.cookies["session"] == before and "user" not in client.get("/all").json()
    with client.websocket_connect("wss://test/socket/login-before") as socket, pytest.raises(WebSocketDisconnect):
        headers: dict[bytes, bytes] = dict(socket.extra_headers or [])
        socket.receive_text()
    value = headers[b"set-cookie"].decode().split(";")[0].split("=", 1)[1]
    other = browser.test_client()
    other.cookies.set("session", value)
    assert other.get("/all").json() == {"x": "0", "user": "alice", "socket": "login-before"}
    with pytest.raises(RuntimeError, match="a new session needs a cookie"):
        with browser.test_client().websocket_connect("wss://test/socket/any"):
            pass


def test_users_are_texts_integers_and_uuids(settings: dict[str, Any]) -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, sessions=AsyncSessionManager(**settings), https_only=False)

    @app.post("/login")
    async def login(request: Request) -> list[int]:
        found = []
        for user in ("text", 7, UUID(int=1)):
            await log_in(request, user)
            found.append(len(await sessions_of(request, user)))
        return found

    @app.post("/nobody")
    async def nobody(request: Request) -> None:
        user: Any = None
        await log_in(request, user, user="x")

    client = TestClient(app, raise_server_exceptions=False)
    assert client.post("/login").json() == [1, 1, 1]
    visitor = TestClient(app, raise_server_exceptions=False)
    assert visitor.post("/nobody").status_code == 500 and "session" not in visitor.cookies
