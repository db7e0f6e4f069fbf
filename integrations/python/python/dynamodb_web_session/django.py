"""Sessions for Django::

    SESSION_ENGINE = "dynamodb_web_session.django"
    DYNAMODB_SESSION = {"table_name": "app_session"}  # optional: the settings of SessionManager

``request.session`` works as it does with Django's own back ends. A login binds the session to the user, so that
``log_out_everywhere`` can end all sessions of the user.

The timeouts are those of ``SessionManager``: by default 2 hours without use, or ``SESSION_COOKIE_AGE`` where that is less,
and 12 hours in all. ``set_expiry`` gives a session others: a number of seconds is its idle timeout, and may be longer than the
absolute one; a moment is its absolute deadline.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.serializers import JSONSerializer

from ._core import AsyncSessionManager, RawJson, Session, SessionManager
from .exceptions import NotFoundError

__all__ = ["SessionStore", "async_sessions", "log_out_everywhere", "sessions"]


@lru_cache(maxsize=1)
def sessions() -> SessionManager:
    """The session manager, for calls that concern no request."""
    return SessionManager(**getattr(settings, "DYNAMODB_SESSION", {}))


@lru_cache(maxsize=1)
def async_sessions() -> AsyncSessionManager:
    """The same for asynchronous code."""
    return AsyncSessionManager(**getattr(settings, "DYNAMODB_SESSION", {}))


class SessionStore(SessionBase):
    """The session of a request."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._record: Session | None = None
        self._stored: str | None = None  # the data that this object has stored last

    # What the synchronous and the asynchronous methods share

    if TYPE_CHECKING:  # Django's own, which its stubs leave out

        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def _loaded(self, record: Session | None) -> dict[str, Any]:
        self._record = record
        if record is None:
            self._session_key = None
            return {}
        if self.serializer is JSONSerializer:
            return cast("dict[str, Any]", record.data)
        return cast("dict[str, Any]", self.serializer().loads(record.json.encode()))

    def _text(self) -> RawJson:
        return RawJson(self.serializer().dumps(self._get_session(no_load=True)).decode())

    def _timeouts(self) -> dict[str, Any]:
        """The timeouts of the session. One that is not positive: it is dead already."""
        idle, absolute = sessions().idle_timeout_seconds, sessions().absolute_timeout_seconds
        expiry = self._get_session(no_load=True).get("_session_expiry")
        if not expiry:
            idle = min(idle, self.get_session_cookie_age())
        elif isinstance(expiry, int):
            idle, absolute = expiry, max(expiry, absolute)
        else:
            now = datetime.now(timezone.utc)
            created = now if self._record is None else self._record.created
            idle = self.get_expiry_age(expiry=expiry, modification=now)
            absolute = self.get_expiry_age(expiry=expiry, modification=created)
        longest = sessions().max_timeout_seconds
        return {"idle_timeout_seconds": min(idle, longest), "absolute_timeout_seconds": min(absolute, longest)}

    def _is_dead(self) -> bool:
        return any(seconds <= 0 for seconds in self._timeouts().values())

    def _took(self, record: Session) -> None:
        self._record = record
        self._session_key = record.id
        self._stored = record.json
        self.modified = True

    def _to_save(self) -> Session | None:
        """The record to save. ``None``: this object has just stored the same."""
        record, text = self._record, self._text()
        if record is None or str(text) == self._stored:
            return None
        record.data = text
        for name, seconds in self._timeouts().items():
            setattr(record, name, seconds)
        return record

    # Django's interface

    def load(self) -> dict[str, Any]:
        key = self.session_key
        return self._loaded(sessions().load(key) if key else None)

    async def aload(self) -> dict[str, Any]:
        key = self.session_key
        return self._loaded(await async_sessions().load(key) if key else None)

    def exists(self, session_key: str | None) -> bool:
        return bool(session_key) and sessions().peek(cast(str, session_key)) is not None

    async def aexists(self, session_key: str | None) -> bool:
        return bool(session_key) and await async_sessions().peek(cast(str, session_key)) is not None

    def create(self) -> None:
        self._record = None
        if not self._is_dead():
            self._took(sessions().create(self._text(), **self._timeouts()))

    async def acreate(self) -> None:
        self._record = None
        if not self._is_dead():
            self._took(await async_sessions().create(self._text(), **self._timeouts()))

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None or must_create:
            return self.create()
        self._get_session()
        if self._record is None and self.session_key is not None:  # its data was replaced before it was loaded
            self._record = sessions().load(self.session_key)
        if self._record is None:
            raise UpdateError
        if self._is_dead():
            return self.delete()
        if (record := self._to_save()) is not None:
            try:
                sessions().save(record)
            except NotFoundError as error:
                raise UpdateError from error
            self._took(record)

    async def asave(self, must_create: bool = False) -> None:
        if self.session_key is None or must_create:
            return await self.acreate()
        await self._aget_session()
        if self._record is None and self.session_key is not None:
            self._record = await async_sessions().load(self.session_key)
        if self._record is None:
            raise UpdateError
        if self._is_dead():
            return await self.adelete()
        if (record := self._to_save()) is not None:
            try:
                await async_sessions().save(record)
            except NotFoundError as error:
                raise UpdateError from error
            self._took(record)

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            sessions().clear(key)

    async def adelete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            await async_sessions().clear(key)

    def cycle_key(self) -> None:
        self._renew()

    async def acycle_key(self) -> None:
        await self._arenew()

    @classmethod
    def clear_expired(cls) -> None:
        """DynamoDB's TTL deletes them."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """DynamoDB's TTL deletes them."""

    # What Django's interface does not have

    def log_in(self, subject: str) -> None:
        """Gives the session a new ID, and makes it one of the subject's, in one transaction. Django's own ``login()`` does it, with
        the user's primary key.

        Raises ``TooManySessionsError`` when the subject has reached its maximum. Then this object has no session any more.
        """
        self._get_session()
        try:
            self._took(sessions().log_in(self.session_key, subject, data=self._text(), **self._timeouts()))
        except Exception:
            self._forget()
            raise

    async def alog_in(self, subject: str) -> None:
        """The same for asynchronous code."""
        await self._aget_session()
        key = self.session_key
        try:
            self._took(await async_sessions().log_in(key, subject, data=self._text(), **self._timeouts()))
        except Exception:
            self._forget()
            raise

    def _forget(self) -> None:
        """After a login that has failed: the user is not logged in, and nothing of this request is stored."""
        self._session_key, self._record = None, None
        self.__dict__["_session_cache"] = {}
        self.modified = False

    def _renew(self) -> None:
        self._get_session()
        if self.session_key is not None:
            renewed = sessions().renew(self.session_key, data=self._text())
            if renewed is not None:
                return self._took(renewed)
            self.clear()  # it has ended meanwhile, and what it held with it
        self._took(sessions().create(self._text(), **self._timeouts()))

    async def _arenew(self) -> None:
        await self._aget_session()
        if self.session_key is not None:
            renewed = await async_sessions().renew(self.session_key, data=self._text())
            if renewed is not None:
                return self._took(renewed)
            self.clear()
        self._took(await async_sessions().create(self._text(), **self._timeouts()))


def log_out_everywhere(user: Any, except_: SessionBase | None = None) -> None:
    """Ends all sessions of a user, or all but this one, such as ``request.session``."""
    record = None if except_ is None else cast(SessionStore, except_)._record
    sessions().revoke_all(_subject(user), except_=record)


def _subject(user: Any) -> str:
    return str(user._meta.pk.value_to_string(user))


def _log_in(sender: Any, request: Any, user: Any, **_: Any) -> None:
    if isinstance(request.session, SessionStore):
        request.session.log_in(_subject(user))


user_logged_in.connect(_log_in, dispatch_uid="dynamodb_web_session")
