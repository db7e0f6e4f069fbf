"""Sessions for Flask::

    from dynamodb_web_session.flask import DynamoDbSessions

    app = Flask(__name__)
    DynamoDbSessions(app)

``flask.session`` works as it does with Flask's own signed cookies, and the cookie obeys Flask's ``SESSION_COOKIE_*``
settings. The session is loaded when it is first used: a request that does not use it costs no request to DynamoDB, and
neither does a visitor without a session. A session that is not changed costs no write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SessionInterface, SessionMixin

from ._core import RawJson, Session, SessionManager
from .exceptions import NotFoundError, UnavailableError

__all__ = ["DynamoDbSession", "DynamoDbSessions", "log_out_everywhere", "renew"]

_serializer = TaggedJSONSerializer()
"""Flask's own: dates, tuples, bytes and UUIDs survive."""


class DynamoDbSession(SessionMixin):
    """The session of a request. As with Flask's own, set ``modified`` after a change inside of a value."""

    modified = False

    def __init__(self, sessions: SessionManager, session_id: str | None) -> None:
        self.sessions = sessions
        self._session_id = session_id
        self._record: Session | None = None
        self._data: dict[str, Any] | None = None
        self.has_new_id = False

    @property
    def is_loaded(self) -> bool:
        return self._data is not None

    @property
    def record(self) -> Session | None:
        """The session in the table. ``None``: there is none, or none yet."""
        self._load()
        return self._record

    def _load(self) -> dict[str, Any]:
        if self._data is None:
            self._record = self.sessions.load(self._session_id) if self._session_id else None
            self._data = {} if self._record is None else _serializer.loads(self._record.json)
            self.new = self._record is None
        return self._data

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
        self._load().clear()
        self.modified = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._record!r}>"

    def renew(self, subject: str | None) -> None:
        data = RawJson(_serializer.dumps(self._load()))
        renewed = None if self._record is None else self.sessions.renew(self._record, data=data, subject=subject)
        if renewed is None:
            if self._record is not None:  # it has ended meanwhile, and what it held with it
                self._data, data = {}, RawJson("{}")
            renewed = self.sessions.create(data, subject=subject)
        self._record, self.has_new_id, self.modified = renewed, True, False

    def save(self, lifetime_seconds: int) -> None:
        """Stores what has changed. Raises ``NotFoundError`` when the session has ended meanwhile."""
        data = RawJson(_serializer.dumps(self._load()))
        timeouts: dict[str, Any] = {}
        if self.permanent:
            longest = self.sessions.max_timeout_seconds
            timeouts = {
                "idle_timeout_seconds": min(lifetime_seconds, longest),
                "absolute_timeout_seconds": min(max(lifetime_seconds, self.sessions.absolute_timeout_seconds), longest),
            }
        if self._record is None:
            self._record = self.sessions.create(data, **timeouts)
            return
        self._record.data = data
        for name, seconds in timeouts.items():
            setattr(self._record, name, seconds)
        self.sessions.save(self._record)

    def end(self) -> None:
        if self._record is not None:
            self.sessions.clear(self._record)


class DynamoDbSessions(SessionInterface):
    """A Flask extension, and a session interface. Settings are keyword arguments, or ``DYNAMODB_SESSION_TABLE_NAME`` and so
    on in the application's configuration."""

    def __init__(self, app: flask.Flask | None = None, **settings: Any) -> None:
        self._settings = settings
        self._sessions: SessionManager | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        self._settings = app.config.get_namespace("DYNAMODB_SESSION_") | self._settings
        app.session_interface = self
        app.extensions["dynamodb_web_session"] = self
        app.register_error_handler(UnavailableError, _unavailable)

    @property
    def sessions(self) -> SessionManager:
        """The session manager, for calls that concern no request."""
        if self._sessions is None:
            self._sessions = SessionManager(**self._settings)
        return self._sessions

    def open_session(self, app: flask.Flask, request: flask.Request) -> DynamoDbSession:
        return DynamoDbSession(self.sessions, request.cookies.get(self.get_cookie_name(app)))

    def save_session(self, app: flask.Flask, session: SessionMixin, response: flask.Response) -> None:
        session = cast(DynamoDbSession, session)
        if session.accessed or session.is_loaded:
            response.vary.add("Cookie")
        if not session.is_loaded:
            return
        cookie: dict[str, Any] = {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
        }
        if hasattr(self, "get_cookie_partitioned"):  # since Flask 3.1
            cookie["partitioned"] = self.get_cookie_partitioned(app)
        name = self.get_cookie_name(app)
        if not session and session.modified:
            session.end()
            response.delete_cookie(name, **cookie)
            return
        if session.modified:
            try:
                session.save(int(app.permanent_session_lifetime.total_seconds()))
            except NotFoundError:
                # A new cookie may be on its way in another response, so this one leaves the cookie alone.
                response.status_code = 400
                response.set_data("The session has ended before the request was completed.")
                response.content_type = "text/plain; charset=utf-8"
                return
        record = session.record
        if record is not None and (session.has_new_id or self.should_set_cookie(app, session)):
            response.set_cookie(name, record.id, expires=self.get_expiration_time(app, session), **cookie)


def renew(session: SessionMixin, subject: str | None = None) -> None:
    """Gives the session a new ID. Call it at a login, with the user's ID as the ``subject``, and whenever privileges change.

    Raises ``TooManySessionsError`` when the subject has reached its maximum.
    """
    cast(DynamoDbSession, session).renew(subject)


def log_out_everywhere(subject: str, except_: SessionMixin | None = None) -> None:
    """Ends all sessions of a subject, or all but this one."""
    extension: DynamoDbSessions = flask.current_app.extensions["dynamodb_web_session"]
    record = None if except_ is None else cast(DynamoDbSession, except_).record
    extension.sessions.revoke_all(subject, except_=record)


def _unavailable(_: Exception) -> tuple[str, int, dict[str, str]]:
    return "The session store is unavailable.", 503, {"Retry-After": "1"}
