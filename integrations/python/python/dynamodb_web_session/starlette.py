"""Sessions for Starlette and FastAPI::

    from dynamodb_web_session.starlette import SessionMiddleware

    app = Starlette(routes=..., middleware=[Middleware(SessionMiddleware)])

``request.session`` works as it does with Starlette's own middleware, changes inside of a value included. The session is loaded
when a request has the cookie, and stored when the response starts, if it was changed: a visitor without a session costs no
request to DynamoDB.

The cookie is ``HttpOnly``, ``Secure`` and ``SameSite=Lax``. Browsers send it to ``http://localhost`` too; for a test client on
another plain URL say ``https_only=False``.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ._core import AsyncSessionManager, Session
from .exceptions import NotFoundError, UnavailableError

__all__ = ["RequestSession", "SessionMiddleware", "log_in", "log_out_everywhere", "renew"]


class RequestSession(dict[str, Any]):
    """The session of a request: a ``dict``."""

    accessed = False
    has_failed = False
    """A login or a renewal has failed: the session stays as it was before this request."""

    def __init__(self, sessions: AsyncSessionManager, record: Session | None) -> None:
        self._stored = "{}" if record is None else record.json
        super().__init__({} if record is None else record.data)
        self.sessions = sessions
        self.record = record
        """The session in the table. ``None`` if it was not loaded, or does not exist."""
        self.id_of_cookie = None if record is None else record.id

    def mark_accessed(self) -> None:
        self.accessed = True  # Starlette calls it

    async def log_in(self, subject: str, changes: dict[str, Any]) -> None:
        self.has_failed = True  # until it has succeeded: then nothing of this request is stored
        new = None if self.record is None else changes
        data = {**self, **changes}
        self._took(await self.sessions.log_in(self.record, subject, data=data, data_if_new=new))

    async def renew(self) -> None:
        if self.record is not None:
            self.has_failed = True
            renewed = await self.sessions.renew(self.record, data=dict(self))
            if renewed is None:
                raise NotFoundError("the session has ended")
            self._took(renewed)

    def _took(self, record: Session) -> None:
        self.record, self._stored, self.has_failed = record, record.json, False
        self.clear()
        self.update(record.data)

    async def store(self) -> None:
        """Stores what has changed. Raises ``NotFoundError`` when the session has ended meanwhile."""
        if self.has_failed:
            return
        if self.record is None:
            if self:
                self.record = await self.sessions.create(self)
            return
        self.record.data = self
        if self.record.json == self._stored:
            return
        if self:
            await self.sessions.save(self.record)
        else:
            await self.sessions.clear(self.record)
            self.record = None


class SessionMiddleware:
    """Adds ``request.session``. Without ``sessions`` the settings are those of the environment."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        session_id = HTTPConnection(scope).cookies.get(self.name)
        try:
            record = await self.sessions.load(session_id) if session_id else None
        except UnavailableError:
            return await _refuse(scope, receive, send, 503, "The session store is unavailable.")
        session = scope["session"] = RequestSession(self.sessions, record)
        is_refused = False

        async def send_with_cookie(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start":
                try:
                    await session.store()
                except NotFoundError:
                    # A new cookie may be on its way in another response, so this one leaves the cookie alone.
                    is_refused = True
                    text = "The session has ended before the request was completed."
                    await _refuse(scope, receive, send, 400, text)
                except UnavailableError:
                    is_refused = True
                    await _refuse(scope, receive, send, 503, "The session store is unavailable.")
                else:
                    self._add_headers(message, session)
            if not is_refused:
                await send(message)

        await self.app(scope, receive, send_with_cookie)

    def _add_headers(self, message: Message, session: RequestSession) -> None:
        headers = MutableHeaders(scope=message)
        response = Response()
        record = session.record
        if record is None:
            if session.id_of_cookie is not None:
                response.delete_cookie(self.name, **self.cookie)
        elif record.id != session.id_of_cookie or self.max_age is not None:
            response.set_cookie(self.name, record.id, max_age=self.max_age, **self.cookie)
        if (cookie := response.headers.get("set-cookie")) is not None:
            headers.append("set-cookie", cookie)
        if session.accessed or session.id_of_cookie is not None or cookie is not None:
            headers.add_vary_header("Cookie")


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose(1013)(scope, receive, send)  # "try again later"
        return
    headers = {"Retry-After": "1"} if status == 503 else None
    await PlainTextResponse(text, status, headers)(scope, receive, send)


async def log_in(connection: HTTPConnection, user: str, /, **changes: Any) -> None:
    """Logs a user in: the session gets a new ID and the changes, and is the user's from then on, all in one transaction. Call it
    when the user was authenticated.

    When it raises, such as ``TooManySessionsError``, nothing of this request is stored: the user is not logged in.
    """
    await cast(RequestSession, connection.session).log_in(user, changes)


async def renew(connection: HTTPConnection) -> None:
    """Gives the session of a request a new ID. Call it when privileges change; for a login there is ``log_in``. Raises
    ``NotFoundError`` when the session has ended meanwhile."""
    await cast(RequestSession, connection.session).renew()


async def log_out_everywhere(connection: HTTPConnection, user: str, except_: dict[str, Any] | None = None) -> None:
    """Ends all sessions of a user, or all but this one, such as ``request.session``."""
    session = cast(RequestSession, connection.session)
    await session.sessions.revoke_all(user, except_=None if except_ is None else cast(RequestSession, except_).record)
