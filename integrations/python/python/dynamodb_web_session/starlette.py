"""Sessions for Starlette and FastAPI::

    from dynamodb_web_session.starlette import SessionMiddleware, log_in, log_out

    app = Starlette(routes=..., middleware=[Middleware(SessionMiddleware)])

``request.session`` works as it does with Starlette's own middleware, changes inside of a value included. The session is loaded
when a request has the cookie, and stored when the response starts, if it was changed: a visitor without a session costs no
request to DynamoDB, and neither do paths such as static files that are left out with ``excluded_paths``.

The cookie is ``HttpOnly``, ``Secure`` and ``SameSite=Lax``. Browsers send it to ``http://localhost`` too; for a test client on
another plain URL say ``https_only=False``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

import anyio
import anyio.from_thread
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose, WebSocketDisconnect

from ._core import AsyncSessionManager, Lifetime, ListedSession, Session
from ._core import RequestSession as CoreSession
from ._responses import ANSWERED, CLIENT_HEADERS, answer
from .exceptions import SessionError

Result = TypeVar("Result")

__all__ = [
    "RequestSession",
    "SessionMiddleware",
    "confirm_login",
    "log_in",
    "log_out",
    "log_out_everywhere",
    "renew",
    "requires_login_within",
    "revoke",
    "sessions_of",
]


class RequestSession(dict[str, Any]):
    """The session of a request: a ``dict``."""

    accessed = False

    def __init__(
        self, sessions: AsyncSessionManager, cookie: str | None, connection: HTTPConnection, max_age: int | None
    ) -> None:
        super().__init__()
        self.sessions = sessions
        self._request = CoreSession(sessions, cookie, connection.scope["path"])
        address = None if connection.client is None else connection.client.host
        self._request.came_from(address, *(connection.headers.get(name) for name in CLIENT_HEADERS))
        self._lifetime: Lifetime | None = None
        self._is_kept: bool | None = None
        if max_age is not None:
            self.max_age = max_age
        self._failure: SessionError | None = None
        self._has_failed = False
        self._waits_for: str | None = None
        self.can_set_cookie = True
        """Whether the response has not begun."""

    @property
    def record(self) -> Session | None:
        """The session in the table. ``None`` if it does not exist."""
        return self._request.session

    @property
    def is_kept(self) -> bool:
        """Whether the cookie outlives the browser."""
        if self._is_kept is None:
            return self.record is not None and self.record.idle_timeout_seconds != self.sessions.idle_timeout_seconds
        return self._is_kept

    @property
    def max_age(self) -> int | None:
        """The seconds that session and cookie live without use, if they outlive the browser. Set it for "remember me", before or
        after ``log_in``; ``None``: as long as the settings say, and the cookie as long as the browser."""
        return self.record.idle_timeout_seconds if self.record is not None and self.is_kept else None

    @max_age.setter
    def max_age(self, seconds: int | None) -> None:
        self._is_kept = seconds is not None
        self._lifetime = Lifetime.default() if seconds is None else Lifetime.seconds(seconds)

    def mark_accessed(self) -> None:
        """Starlette calls it. Raises what the load has raised."""
        self.accessed = True
        if self._failure is not None:
            raise self._failure

    def clear(self) -> None:
        """Removes everything. A session that stays empty ends, and one of a user ends in any case."""
        super().clear()
        self._request.cleared()

    def keep_alive(self, keeps_alive: bool) -> None:
        """Whether this request counts as a use of the session. A poll should not."""
        self._request.keep_alive(keeps_alive)

    async def open(self) -> None:
        try:
            self._took(await self._request.open())
        except SessionError as error:
            self._failure = error
            self.__class__ = _FailedSession

    def _took(self, session: Session | None) -> None:
        super().clear()
        if session is not None:
            self.update(session.data)

    async def log_in(self, user: str | int | UUID, changes: dict[str, Any]) -> None:
        try:
            self._require_cookie("log_in")
            await self._request.log_in(user, dict(self), changes, self._lifetime)
        finally:  # when it fails, the session is as it was before the request
            self._took(self.record)

    async def renew(self) -> None:
        self._require_cookie("renew")
        if self.record is not None:
            try:
                await self._request.renew(dict(self))
            finally:
                self._took(self.record)

    async def confirm_login(self) -> None:
        await self._request.confirm_login()

    async def log_out(self) -> None:
        await self._request.log_out()
        self._took(None)

    def _require_cookie(self, call: str) -> None:
        if not self.can_set_cookie:
            raise RuntimeError(
                f"{call} needs a cookie, and the response has begun: a WebSocket sends it with its accept"
            )

    async def finish(self) -> Any:
        """Stores what has changed, and returns what happens to the cookie. Called again after an error, it stores nothing: what
        it returns is the cookie of a login that this request has made before."""
        if self._has_failed:
            self._request.refuse()
            return await self._request.finish({})
        self._has_failed = True
        cookie = await self._finish()
        self._has_failed = False
        return cookie

    def refuse(self) -> None:
        """The request has failed: it stores nothing more."""
        self._has_failed = True

    async def _finish(self) -> Any:
        if self._waits_for is not None:
            raise RuntimeError(f"{self._waits_for} was called and not awaited")
        if self._failure is not None:
            return None
        if self and self.record is None:
            self._require_cookie("a new session")
        return await self._request.finish(dict(self), self._lifetime, "on-use" if self.is_kept else "never")

    def run(self, name: str, work: Coroutine[Any, Any, Result]) -> Awaitable[Result]:
        """Runs a call to its end in a handler that is no coroutine, or returns it to be awaited."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return _Done(anyio.from_thread.run(lambda: work))
        self._waits_for = name
        return self._awaited(work)

    async def _awaited(self, work: Coroutine[Any, Any, Result]) -> Result:
        self._waits_for = None
        return await work


class _FailedSession(RequestSession):
    """A session that could not be loaded: its first use raises why. Starlette before 1.0 does not call ``mark_accessed``."""

    def _raise(self, *_: Any, **__: Any) -> Any:
        raise cast(SessionError, self._failure)

    __getitem__ = __setitem__ = __delitem__ = __iter__ = __len__ = __contains__ = _raise
    get = setdefault = pop = popitem = update = keys = values = items = copy = clear = _raise


class _Done(Awaitable[Result]):
    """The result of a call that has ended. What it is, a handler that is no coroutine can see without ``await``."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, Result]:
        return self._result
        yield

    def __bool__(self) -> bool:
        return bool(self._result)

    def __iter__(self) -> Iterator[Any]:
        return iter(cast(Iterable[Any], self._result))


class SessionMiddleware:
    """Adds ``request.session``. Without ``sessions`` the settings are those of the environment.

    ``max_age``: session and cookie live so many seconds without use, and outlive the browser. ``excluded_paths`` have no session;
    one that ends in ``/`` stands for all below it.
    """

    def __init__(
        self,
        app: ASGIApp,
        sessions: AsyncSessionManager | None = None,
        *,
        session_cookie: str = "session",
        max_age: int | None = None,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = True,
        domain: str | None = None,
        excluded_paths: Sequence[str] = (),
    ) -> None:
        self.app = app
        self.sessions = AsyncSessionManager() if sessions is None else sessions
        self.name = session_cookie
        self.cookie: dict[str, Any] = {
            "path": path,
            "domain": domain,
            "secure": https_only,
            "httponly": True,
            "samesite": same_site,
        }
        self.max_age = max_age
        self.excluded_paths = excluded_paths

    def _is_excluded(self, path: str) -> bool:
        return any(
            path == excluded or (excluded.endswith("/") and path.startswith(excluded))
            for excluded in self.excluded_paths
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self._is_excluded(scope["path"]):
            return await self.app(scope, receive, send)
        connection = HTTPConnection(scope)
        cookie = connection.cookies.get(self.name)
        session = scope["session"] = RequestSession(self.sessions, cookie, connection, self.max_age)
        await session.open()
        is_refused = is_closed = False

        async def refuse(error: SessionError) -> None:
            nonlocal is_refused
            session.refuse()
            cookie = await session.finish() if session.can_set_cookie else None
            is_refused, session.can_set_cookie = True, False
            status, text, headers = answer(error)
            if scope["type"] == "websocket":
                await WebSocketClose(1013)(scope, receive, send)  # "try again later"
            else:
                response = PlainTextResponse(text, status, headers)
                self._set_cookie(response, session, cookie)
                await response(scope, receive, send)

        async def send_with_cookie(message: Message) -> None:
            nonlocal is_closed
            is_closed |= message["type"] == "websocket.close"
            if message["type"] in ("http.response.start", "websocket.accept") and session.can_set_cookie:
                try:
                    self._add_headers(message, session, await session.finish())
                except ANSWERED as error:
                    await refuse(error)
                session.can_set_cookie = False
            elif is_closed and not session.can_set_cookie:
                try:
                    await session.finish()  # who sees the end sees what was stored
                except ANSWERED as error:
                    await refuse(error)
            if not is_refused:
                await send(message)

        try:
            await self.app(scope, receive, send_with_cookie)
            if scope["type"] == "websocket" and not session.can_set_cookie and not is_closed:
                await session.finish()
        except ANSWERED as error:
            if not session.can_set_cookie and (scope["type"] == "http" or is_closed):
                raise
            await refuse(error)
        except WebSocketDisconnect:
            with anyio.CancelScope(shield=True):  # the server may give the handler up
                await session.finish()
            raise
        except Exception:
            if (
                session.can_set_cookie
                and session.record is not None
                and session.record.id != cookie
                and scope["type"] == "http"
            ):
                # The ID in the browser is dead, and the answer to the error is sent outside of this middleware.
                await PlainTextResponse("Internal Server Error", 500)(scope, receive, send_with_cookie)
            raise

    def _set_cookie(self, response: Response, session: RequestSession, cookie: Any) -> None:
        if cookie is None:
            return
        if cookie.value is None:
            response.delete_cookie(self.name, **self.cookie)
        else:
            max_age = cookie.max_age if session.is_kept else None
            response.set_cookie(self.name, cookie.value, max_age=max_age, **self.cookie)

    def _add_headers(self, message: Message, session: RequestSession, cookie: Any) -> None:
        headers = MutableHeaders(scope=message)
        if cookie is not None:
            response = Response()
            self._set_cookie(response, session, cookie)
            headers.append("set-cookie", response.headers["set-cookie"])
        if session.accessed or session.record is not None or cookie is not None:
            headers.add_vary_header("Cookie")


def _session(connection: HTTPConnection) -> RequestSession:
    return cast(RequestSession, connection.session)


def log_in(connection: HTTPConnection, user: str | int | UUID, /, **changes: Any) -> Awaitable[None]:
    """Logs a user in: the session gets a new ID and the changes, and is the user's from then on, all in one transaction. Call it
    when the user was authenticated. What this request has put into the session before is a part of it, ``max_age`` too.

    Await it in a handler that is a coroutine; in one that is not, such as FastAPI's ``def``, it returns when it is done.

    When it raises, such as ``TooManySessionsError``, nothing of this request is stored: the user is not logged in. If the
    exception is not caught, the answer is 409 or 503.
    """
    session = _session(connection)
    return session.run("log_in", session.log_in(user, changes))


def log_out(connection: HTTPConnection) -> Awaitable[None]:
    """Ends the session at once, and deletes its cookie. ``request.session.clear()`` does so too, when the response starts."""
    session = _session(connection)
    return session.run("log_out", session.log_out())


def renew(connection: HTTPConnection) -> Awaitable[None]:
    """Gives the session of a request a new ID. Call it when privileges change; for a login there is ``log_in``. Raises
    ``NotFoundError`` when the session has ended meanwhile."""
    session = _session(connection)
    return session.run("renew", session.renew())


def confirm_login(connection: HTTPConnection) -> Awaitable[None]:
    """Notes that the user has proved once more who they are, for example with the password: see ``requires_login_within``. The
    session keeps its ID."""
    session = _session(connection)
    return session.run("confirm_login", session.confirm_login())


def requires_login_within(minutes: float) -> Callable[[HTTPConnection], None]:
    """A check before something serious: the user must have logged in within so many minutes, or the answer is 401. A dependency of
    FastAPI, ``Depends(requires_login_within(10))``; elsewhere call what it returns with the request."""

    def check(connection: HTTPConnection) -> None:
        session = _session(connection)
        if not session.sessions.is_logged_in_within(session.record, minutes):
            raise HTTPException(401, "Log in again.")

    return check


def sessions_of(connection: HTTPConnection, user: str | int | UUID) -> Awaitable[list[ListedSession]]:
    """The live sessions of a user, the last used first. That of this request has ``is_current``. A handler that is no coroutine
    iterates over them without ``await``."""
    session = _session(connection)
    return session.run("sessions_of", session.sessions.sessions_of(user, current=session.record))


def revoke(connection: HTTPConnection, user: str | int | UUID, name: str) -> Awaitable[bool]:
    """Ends one session of a user, by its name in the list. Returns whether this call has ended it. The user must be the one who is
    logged in, and not what the request says."""
    session = _session(connection)
    return session.run("revoke", session.sessions.revoke_named(user, name))


def log_out_everywhere(
    connection: HTTPConnection, user: str | int | UUID, except_: dict[str, Any] | None = None
) -> Awaitable[None]:
    """Ends all sessions of a user, or all but this one, such as ``request.session``."""
    session = _session(connection)
    record = None if except_ is None else cast(RequestSession, except_).record
    return session.run("log_out_everywhere", session.sessions.revoke_all(user, except_=record))
