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

__all__ = ["DynamoDbSession", "DynamoDbSessions", "log_in", "log_out_everywhere", "renew"]

_serializer = TaggedJSONSerializer()
"""Flask's own: dates, tuples, bytes and UUIDs survive."""


class DynamoDbSession(SessionMixin):
    """The session of a request. As with Flask's own, set ``modified`` after a change inside of a value."""

    modified = False

    def __init__(self, sessions: SessionManager, session_id: str | None, lifetime_seconds: int) -> None:
        self.sessions = sessions
        self.lifetime_seconds = lifetime_seconds
        self._session_id = session_id
        self._record: Session | None = None
        self._data: dict[str, Any] | None = None
        self.has_new_id = False
        self.has_failed = False
        """A login or a renewal has failed: the session stays as it was before this request."""

    @property
    def is_loaded(self) -> bool:
        return self._data is not None

    @property
    def record(self) -> Session | None:
        """The session in the table. ``None`` if it was not loaded, or does not exist."""
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

    def log_in(self, subject: str, changes: dict[str, Any]) -> None:
        loaded = self._load()
        self.has_failed = True  # until it has succeeded: then nothing of this request is stored
        self._took(
            self.sessions.log_in(
                self._record,
                subject,
                data=RawJson(_serializer.dumps({**loaded, **changes})),
                data_if_new=None if self._record is None else RawJson(_serializer.dumps(changes)),
                **self._timeouts(),
            )
        )

    def renew(self) -> None:
        data = RawJson(_serializer.dumps(self._load()))
        if self._record is not None:
            self.has_failed = True
            renewed = self.sessions.renew(self._record, data=data)
            if renewed is None:
                raise NotFoundError("the session has ended")
            self._took(renewed)

    def _took(self, record: Session) -> None:
        self._record, self._data = record, _serializer.loads(record.json)
        self.has_new_id, self.modified, self.has_failed = True, False, False

    def _timeouts(self) -> dict[str, Any]:
        if not self.permanent:
            return {}
        lifetime, longest = self.lifetime_seconds, self.sessions.max_timeout_seconds
        return {
            "idle_timeout_seconds": min(lifetime, longest),
            "absolute_timeout_seconds": min(max(lifetime, self.sessions.absolute_timeout_seconds), longest),
        }

    def save(self) -> None:
        """Stores what has changed. Raises ``NotFoundError`` when the session has ended meanwhile."""
        data = RawJson(_serializer.dumps(self._load()))
        if self._record is None:
            self._record = self.sessions.create(data, **self._timeouts())
            return
        self._record.data = data
        for name, seconds in self._timeouts().items():
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
        lifetime_seconds = int(app.permanent_session_lifetime.total_seconds())
        return DynamoDbSession(self.sessions, request.cookies.get(self.get_cookie_name(app)), lifetime_seconds)

    def save_session(self, app: flask.Flask, session: SessionMixin, response: flask.Response) -> None:
        session = cast(DynamoDbSession, session)
        if session.accessed or session.is_loaded:
            response.vary.add("Cookie")
        if not session.is_loaded or session.has_failed:
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
                session.save()
            except NotFoundError:
                # A new cookie may be on its way in another response, so this one leaves the cookie alone.
                response.status_code = 400
                response.set_data("The session has ended before the request was completed.")
                response.content_type = "text/plain; charset=utf-8"
                return
        record = session.record
        if record is not None and (session.has_new_id or self.should_set_cookie(app, session)):
            response.set_cookie(name, record.id, expires=self.get_expiration_time(app, session), **cookie)


def log_in(session: SessionMixin, user: str, /, **changes: Any) -> None:
    """Logs a user in: the session gets a new ID and the changes, and is the user's from then on, all in one transaction. Call it
    when the user was authenticated.

    When it raises, such as ``TooManySessionsError``, nothing of this request is stored: the user is not logged in.
    """
    cast(DynamoDbSession, session).log_in(user, changes)


def renew(session: SessionMixin) -> None:
    """Gives the session a new ID. Call it when privileges change; for a login there is ``log_in``. Raises ``NotFoundError`` when
    the session has ended meanwhile."""
    cast(DynamoDbSession, session).renew()


def log_out_everywhere(subject: str, except_: SessionMixin | None = None) -> None:
    """Ends all sessions of a subject, or all but this one."""
    extension: DynamoDbSessions = flask.current_app.extensions["dynamodb_web_session"]
    record = None if except_ is None else cast(DynamoDbSession, except_).record
    extension.sessions.revoke_all(subject, except_=record)


def _unavailable(_: Exception) -> tuple[str, int, dict[str, str]]:
    return "The session store is unavailable.", 503, {"Retry-After": "1"}
