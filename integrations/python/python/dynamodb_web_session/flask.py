"""Sessions for Flask::

    from dynamodb_web_session.flask import DynamoDbSessions, log_in, log_out

    app = Flask(__name__)
    DynamoDbSessions(app)

``flask.session`` works as it does with Flask's own signed cookies, and the cookie obeys Flask's ``SESSION_COOKIE_*``
settings. The session is loaded when it is first used: a request that does not use it costs no request to DynamoDB, and
neither does a visitor without a session. What did not change is not written.

Two requests that change different keys at the same time both last. A request with an ID from before a login or a renewal
stores nothing, and leaves the cookie alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

import flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SessionInterface, SessionMixin

from ._core import Lifetime, ListedSession, RawJson, RequestSession, Session, SessionManager
from ._flask_moving import Moving, User
from ._responses import ANSWERED, CLIENT_HEADERS, answer
from .exceptions import InvalidDataError, SessionError, UnavailableError

__all__ = [
    "DynamoDbSession",
    "DynamoDbSessions",
    "confirm_login",
    "log_in",
    "log_out",
    "log_out_everywhere",
    "renew",
    "requires_login_within",
    "revoke",
    "sessions_of",
]

View = TypeVar("View", bound=Callable[..., Any])

_serializer = TaggedJSONSerializer()
"""Flask's own: dates, tuples, bytes and UUIDs survive."""


def _text(data: dict[str, Any]) -> RawJson:
    try:
        return RawJson(_serializer.dumps(data))
    except Exception as error:
        for key, value in data.items():
            try:
                RawJson(_serializer.dumps({key: value}))
            except Exception as cause:
                raise InvalidDataError(f"the value of {key!r} cannot be stored: {cause}") from cause
        raise InvalidDataError(f"the data cannot be stored: {error}") from error


class DynamoDbSession(SessionMixin):
    """The session of a request. As with Flask's own, set ``modified`` after a change inside of a value."""

    modified = False

    def __init__(self, request: RequestSession, lifetime_seconds: int, moving: Moving | None = None) -> None:
        self._request = request
        self._moving = moving
        self._lifetime_seconds = lifetime_seconds
        self._data: dict[str, Any] | None = None
        self._was_permanent = False
        self._has_failed = False
        self.failure: SessionError | None = None
        """Why the session could not be loaded."""

    @property
    def is_loaded(self) -> bool:
        return self._data is not None

    @property
    def record(self) -> Session | None:
        """The session in the table. ``None`` if it does not exist."""
        self._load()
        return self._request.session

    def _load(self) -> dict[str, Any]:
        if self._data is None:
            try:
                self._took(self._request.open())
                if self._moving is not None and self.new and not self._request.is_superseded:
                    self._move(self._moving)
            except SessionError as error:
                self.failure = error
                raise
        return cast("dict[str, Any]", self._data)

    def _move(self, moving: Moving) -> None:
        taken = moving.take(flask.current_app, flask.request)
        if taken is None:
            return
        data, user = taken
        if user is None:
            self._data, self.modified = data, True
        else:
            self._took(self._request.log_in(user, _text(data), RawJson("{}"), self._lifetime(data)))

    def _note(self, user: User | None) -> None:
        """A user has logged in or out."""
        if self._moving is not None and user is not None:
            self._moving.note(flask.current_app, user)

    def _took(self, session: Session | None) -> None:
        self._data = {} if session is None else _serializer.loads(session.json)
        self._was_permanent = self.permanent
        self.new = session is None
        self.modified = False

    def __getitem__(self, key: str) -> Any:
        return self._load()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._load()[key] = value
        self.modified = True

    def __delitem__(self, key: str) -> None:
        del self._load()[key]
        self.modified = True

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def __contains__(self, key: object) -> bool:
        return key in self._load()

    def clear(self) -> None:
        """Removes everything. A session that stays empty ends, and one of a user ends in any case."""
        self._load().clear()
        self._request.cleared()
        if self._request.session is not None:
            self._note(self._request.session.subject)
        self.modified = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._request.session!r}>"

    def keep_alive(self, keeps_alive: bool) -> None:
        """Whether this request counts as a use of the session. A poll should not."""
        self._request.keep_alive(keeps_alive)

    def log_in(self, user: str | int | UUID, changes: dict[str, Any]) -> None:
        data = self._data or {}
        lifetime = self._lifetime({**data, **changes})
        self._data = None  # when it fails, the session is as it was before the request
        try:
            texts = _text(data), _text(changes)
        except InvalidDataError:
            self._request.refuse()
            raise
        self._took(self._request.log_in(user, *texts, lifetime))
        self._note(user)

    def confirm_login(self) -> None:
        self._request.confirm_login()

    def renew(self) -> None:
        text = _text(self._load())
        if self._request.session is not None:
            self._data = None
            self._took(self._request.renew(text))

    def log_out(self) -> None:
        user = None
        if self._moving is not None and (record := self.record) is not None:
            user = record.subject
        self._request.log_out()
        self._took(None)
        self._note(user)

    def _lifetime(self, data: dict[str, Any]) -> Lifetime | None:
        if data.get("_permanent"):
            return Lifetime.seconds(self._lifetime_seconds)
        return Lifetime.default() if self._was_permanent else None

    def finish(self, refreshes: bool) -> Any:
        """Stores what has changed, and returns what happens to the cookie. Called again after an error, it stores nothing: what
        it returns is the cookie of a login that this request has made before."""
        if self._has_failed:
            self._request.refuse()
            return self._request.finish(RawJson("{}"))
        self._has_failed = True
        cookie = self._finish(refreshes)
        self._has_failed = False
        return cookie

    def _finish(self, refreshes: bool) -> Any:
        data = self._load()
        record = self._request.session
        if self.modified or record is None:
            # A visitor whose session would hold nothing else than Flask's mark of a permanent one needs none.
            text = _text(data) if data.keys() - {"_permanent"} else RawJson("{}")
        else:
            text = RawJson(record.json)
        refresh = "never" if not self.permanent else "on-use" if refreshes else "on-save"
        return self._request.finish(text, self._lifetime(data), cast(Any, refresh))


class DynamoDbSessions(SessionInterface):
    """A Flask extension, and a session interface. Settings are keyword arguments, or ``DYNAMODB_SESSION_TABLE_NAME`` and so
    on in the application's configuration. A setting that is not accepted stops the start.

    ``move_until``: until then the sessions move here that the application had before, in Flask's signed cookies or, if
    ``Session(app)`` was called before, in Flask-Session. ``move_user`` returns the user in the data of such a session, or ``None``.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        move_until: datetime | None = None,
        move_user: Callable[[dict[str, Any]], User | None] = lambda data: None,
        **settings: Any,
    ) -> None:
        self._settings = settings
        self._sessions: SessionManager | None = None
        self._move_until, self._move_user = move_until, move_user
        self.moving: Moving | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        self._sessions = SessionManager(**(app.config.get_namespace("DYNAMODB_SESSION_") | self._settings))
        if self._move_until is not None:
            self.moving = Moving(app.session_interface, self.sessions, self._move_until, self._move_user)
        app.session_interface = self
        app.extensions["dynamodb_web_session"] = self
        for error in ANSWERED:
            app.register_error_handler(error, _answer)

    @property
    def sessions(self) -> SessionManager:
        """The session manager, for calls that concern no request."""
        if self._sessions is None:  # the interface was assigned, without an application
            self._sessions = SessionManager(**self._settings)
        return self._sessions

    def open_session(self, app: flask.Flask, request: flask.Request) -> DynamoDbSession:
        lifetime_seconds = int(app.permanent_session_lifetime.total_seconds())
        cookie = request.cookies.get(self.get_cookie_name(app))
        opened = RequestSession(self.sessions, cookie, request.path)
        hints = [request.headers.get(name) for name in CLIENT_HEADERS]
        opened.came_from(request.remote_addr, *hints)
        return DynamoDbSession(opened, lifetime_seconds, self.moving)

    def save_session(self, app: flask.Flask, session: SessionMixin, response: flask.Response) -> None:
        session = cast(DynamoDbSession, session)
        if session.accessed or session.is_loaded:
            response.vary.add("Cookie")
        if isinstance(session.failure, UnavailableError) and response.status_code == 500:
            return _replace(response, session.failure)  # an error page that wanted to read the session
        if not session.is_loaded:
            return
        refreshes = app.config["SESSION_REFRESH_EACH_REQUEST"]
        try:
            cookie = session.finish(refreshes)
        except ANSWERED as error:
            _replace(response, error)
            cookie = session.finish(refreshes)
        if cookie is None:
            return
        attributes: dict[str, Any] = {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
        }
        if hasattr(self, "get_cookie_partitioned"):  # since Flask 3.1
            attributes["partitioned"] = self.get_cookie_partitioned(app)
        name = self.get_cookie_name(app)
        response.vary.add("Cookie")
        if cookie.value is None:
            response.delete_cookie(name, **attributes)
        else:
            max_age = cookie.max_age if session.permanent else None
            response.set_cookie(name, cookie.value, max_age=max_age, **attributes)


def _answer(error: SessionError) -> tuple[str, int, dict[str, str]]:
    status, text, headers = answer(error)
    return text, status, headers


def _replace(response: flask.Response, error: SessionError) -> None:
    status, text, headers = answer(error)
    response.headers.clear()  # a cookie of the handler may say that the user is logged in
    response.headers.update(headers)
    response.content_type = "text/plain; charset=utf-8"
    response.vary.add("Cookie")
    response.status_code = status
    response.set_data(text)


def _extension() -> DynamoDbSessions:
    return cast(DynamoDbSessions, flask.current_app.extensions["dynamodb_web_session"])


def log_in(session: SessionMixin, user: str | int | UUID, /, **changes: Any) -> None:
    """Logs a user in: the session gets a new ID and the changes, and is the user's from then on, all in one transaction. Call it
    when the user was authenticated. What this request has put into the session before is a part of it, ``permanent`` too.

    When it raises, such as ``TooManySessionsError``, nothing of this request is stored: the user is not logged in. If the
    exception is not caught, the answer is 409 or 503.
    """
    cast(DynamoDbSession, session).log_in(user, changes)


def log_out(session: SessionMixin) -> None:
    """Ends the session at once, and deletes its cookie. ``session.clear()`` does so too, at the end of the request."""
    cast(DynamoDbSession, session).log_out()


def renew(session: SessionMixin) -> None:
    """Gives the session a new ID. Call it when privileges change; for a login there is ``log_in``. Raises ``NotFoundError`` when
    the session has ended meanwhile."""
    cast(DynamoDbSession, session).renew()


def confirm_login(session: SessionMixin) -> None:
    """Notes that the user has proved once more who they are, for example with the password: see ``requires_login_within``. The
    session keeps its ID."""
    cast(DynamoDbSession, session).confirm_login()


def requires_login_within(minutes: float, login_url: str | None = None) -> Callable[[View], View]:
    """A decorator for a view that does something serious: the user must have logged in within so many minutes. Otherwise the
    request is redirected to ``login_url``, with ``next``, or without one answered with 401."""

    def decorated(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            record = cast(DynamoDbSession, flask.session._get_current_object()).record  # type: ignore[attr-defined]
            if _extension().sessions.is_logged_in_within(record, minutes):
                return flask.current_app.ensure_sync(view)(*args, **kwargs)
            if login_url is None:
                return flask.Response("Log in again.", 401, content_type="text/plain; charset=utf-8")
            return flask.redirect(f"{login_url}?{urlencode({'next': flask.request.full_path.rstrip('?')})}")

        return cast(View, checked)

    return decorated


def sessions_of(user: str | int | UUID) -> list[ListedSession]:
    """The live sessions of a user, the last used first. That of this request has ``is_current``."""
    record = flask.session.record if flask.has_request_context() else None  # type: ignore[attr-defined]
    return _extension().sessions.sessions_of(user, current=record)


def revoke(user: str | int | UUID, name: str) -> bool:
    """Ends one session of a user, by its name in the list. Returns whether this call has ended it. The user must be the one who is
    logged in, and not what the request says."""
    return _extension().sessions.revoke_named(user, name)


def log_out_everywhere(user: str | int | UUID, except_: SessionMixin | None = None) -> None:
    """Ends all sessions of a user, or all but this one, such as ``flask.session``."""
    record = None if except_ is None else cast(DynamoDbSession, except_).record
    extension = _extension()
    if extension.moving is not None:
        extension.moving.note(flask.current_app, user)
    extension.sessions.revoke_all(user, except_=record)
