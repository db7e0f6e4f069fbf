"""Sessions that Flask had before: in signed cookies, or those of Flask-Session."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import flask
from flask.sessions import SecureCookieSessionInterface, SessionInterface, SessionMixin

from ._core import SessionManager

User = str | int | UUID

log = logging.getLogger("dynamodb_web_session")


class Moving:
    """Moves sessions of the interface that the application had before, until an end date.

    There is no record behind a signed cookie, so a copy of one could bring a user back after a logout. Each is therefore taken
    once, and none of a user who has logged in or out since. Both are noted in the table, as sessions of nobody under IDs that only the
    application's secret yields, for as long as a cookie is accepted.
    """

    def __init__(
        self,
        former: SessionInterface,
        sessions: SessionManager,
        until: datetime,
        user: Callable[[dict[str, Any]], User | None],
    ) -> None:
        self._former, self._sessions, self._user = former, sessions, user
        self._until = until.astimezone(timezone.utc)

    def take(self, app: flask.Flask, request: flask.Request) -> tuple[dict[str, Any], User | None] | None:
        """The data of the former session that a request has, and its user."""
        text = request.cookies.get(self._former.get_cookie_name(app))
        if not text or datetime.now(timezone.utc) >= self._until:
            return None
        try:
            former = self._open(app, request, text)
        except Exception as error:  # a bad cookie is no session
            log.warning("a session from before could not be read: %s", type(error).__name__)
            return None
        if not former:
            return None
        data = dict(former)
        user = self._user(data)
        if user is not None and self._sessions.peek(self._id(app, "user", str(user))) is not None:
            return None
        # Of a signature in base64 there are other spellings; of what it signs there are none.
        once = text.rpartition(".")[0] if self._is_signed else text
        if not self._sessions._claim(self._id(app, "text", once)):
            return None
        if not self._is_signed:
            former.clear()  # what is deleted there cannot come back
            former.modified = True
            self._former.save_session(app, former, flask.Response())
        return data, user

    def note(self, app: flask.Flask, user: User) -> None:
        """A user has logged in or out: no older cookie of theirs is taken from now on."""
        if self._is_signed and datetime.now(timezone.utc) < self._until:
            self._sessions._claim(self._id(app, "user", str(user)))

    @property
    def _is_signed(self) -> bool:
        return isinstance(self._former, SecureCookieSessionInterface)

    def _open(self, app: flask.Flask, request: flask.Request, text: str) -> SessionMixin | None:
        if not isinstance(self._former, SecureCookieSessionInterface):
            return self._former.open_session(app, request)
        serializer = self._former.get_signing_serializer(app)
        if serializer is None:
            return None
        # A note lives no longer than a session may.
        age = min(int(app.permanent_session_lifetime.total_seconds()), self._sessions.max_timeout_seconds)
        return self._former.session_class(serializer.loads(text, max_age=age))

    def _id(self, app: flask.Flask, kind: str, value: str) -> str:
        secret = app.secret_key or b""
        key = secret.encode() if isinstance(secret, str) else secret
        return hmac.new(key, f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()
