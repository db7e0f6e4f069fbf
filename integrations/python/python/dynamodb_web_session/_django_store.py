"""The session store of Django, and the managers that it uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from datetime import datetime, timezone
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.serializers import JSONSerializer
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest

from ._core import AsyncSessionManager, Lifetime, RawJson, RequestSession, Session, SessionManager
from ._responses import CLIENT_HEADERS
from .exceptions import ChangedError, InvalidDataError, NotFoundError, SessionError

Result = TypeVar("Result")
Steps = Generator[Callable[[RequestSession], Any], Any, Result]
"""Calls to the table, one after another: run to their end, or awaited."""


def _settings() -> dict[str, Any]:
    # 40 characters: other packages have columns for session keys that are not longer.
    default = {} if "SESSION_ID_BYTES" in os.environ else {"id_bytes": 30}
    return default | getattr(settings, "DYNAMODB_SESSION", {})


@lru_cache(maxsize=1)
def sessions() -> SessionManager:
    """The session manager, for calls that concern no request."""
    return SessionManager(**_settings())


@lru_cache(maxsize=1)
def async_sessions() -> AsyncSessionManager:
    """The same for asynchronous code."""
    return AsyncSessionManager(**_settings())


class SessionStore(SessionBase):
    """The session of a request."""

    def __init__(self, session_key: str | None = None) -> None:
        self._renews = False  # a new key is due
        self._user: Any = None  # the user in the data as it is stored
        self._has_logged_in = False
        self.failure: SessionError | None = None
        """Why the last call for this session has failed."""
        super().__init__(session_key)
        self._request = RequestSession(sessions(), session_key, is_opaque=self.serializer is not JSONSerializer)

    if TYPE_CHECKING:  # Django's own, which its stubs leave out

        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def _run(self, steps: Steps[Result]) -> Result:
        send, value = steps.send, None
        while True:
            try:
                step = send(value)
            except StopIteration as stop:
                return cast(Result, stop.value)
            try:
                send, value = steps.send, step(self._request)
            except SessionError as error:
                self.failure = error
                send, value = cast(Any, steps.throw), cast(Any, error)

    async def _arun(self, steps: Steps[Result]) -> Result:
        request = self._request.through(async_sessions())
        send, value = steps.send, None
        while True:
            try:
                step = send(value)
            except StopIteration as stop:
                return cast(Result, stop.value)
            try:
                send, value = steps.send, await step(request)
            except SessionError as error:
                self.failure = error
                send, value = cast(Any, steps.throw), cast(Any, error)

    # What the synchronous and the asynchronous methods share

    def _took(self, session: Session | None) -> dict[str, Any]:
        """The data of a session that this object has from now on."""
        self._session_key = None if session is None else session.id
        self.__dict__["_session_cache"] = data = self._decoded(session)
        self._user = data.get(SESSION_KEY)
        self._renews = False
        return data

    def _decoded(self, session: Session | None) -> dict[str, Any]:
        if session is None:
            return {}
        if self.serializer is JSONSerializer:
            return cast("dict[str, Any]", session.data)
        return cast("dict[str, Any]", self.serializer().loads(session.json.encode()))

    def _text(self) -> RawJson:
        data = self._get_session(no_load=True)
        try:
            return RawJson(self.serializer().dumps(data).decode())
        except (UnicodeDecodeError, InvalidDataError) as error:
            self._request.refuse()
            if self.serializer is not JSONSerializer:
                raise ImproperlyConfigured("the SESSION_SERIALIZER must make JSON text") from error
            raise

    def _lifetime(self) -> Lifetime:
        expiry = self._get_session(no_load=True).get("_session_expiry")
        if not expiry:
            return Lifetime.at_most(self.get_session_cookie_age())
        if isinstance(expiry, int):
            return Lifetime.seconds(max(expiry, 0))
        return Lifetime.until(_moment(expiry))

    def _new_user(self) -> str | None:
        """The user that this request has logged in, and whom the stored session does not have yet."""
        user = self.__dict__.get("_session_cache", {}).get(SESSION_KEY)
        return None if user is None or user == self._user else str(user)

    def _settle(self) -> Steps[None]:
        """Gives the session the new key that is due: for a login, or another change of privileges."""
        user = self._new_user()
        if user is None and not self._renews:
            return
        text = self._text()
        try:
            if user is not None:
                lifetime = self._lifetime()
                yield lambda request: request.log_in(user, text, RawJson("{}"), lifetime)
                self._has_logged_in = True
            elif (yield lambda request: request.open()) is not None:
                yield lambda request: request.renew(text)
            else:
                yield lambda request: request.begin(text, self._lifetime())
        except NotFoundError as error:
            raise UpdateError from error
        finally:  # when it fails, the session is as it was before the request
            self._took(self._request.session)
        self.modified = True

    def _open(self) -> Steps[dict[str, Any]]:
        session = yield lambda request: request.reload()
        return self._took(session)

    def _begin(self) -> Steps[None]:
        text, lifetime = self._text(), self._lifetime()
        if self._is_over():
            return
        session = yield lambda request: request.begin(text, lifetime)
        self._session_key, self._user = session.id, self._get_session(no_load=True).get(SESSION_KEY)
        self.modified = True

    def _is_over(self) -> bool:
        expiry = self._get_session(no_load=True).get("_session_expiry")
        if not expiry:
            return False
        return expiry <= 0 if isinstance(expiry, int) else _moment(expiry) <= _now()

    def _store(self) -> Steps[None]:
        yield from self._settle()
        try:
            yield from self._finish()
        except (NotFoundError, ChangedError) as error:
            raise UpdateError from error

    def _finish(self) -> Steps[Any]:
        text, lifetime = self._text(), self._lifetime()
        refresh: Any = "never" if self.get_expire_at_browser_close() else "on-use"
        cookie = yield lambda request: request.finish(text, lifetime, refresh)
        self._user = self._get_session(no_load=True).get(SESSION_KEY)
        if self._request.session is not None:
            self._session_key = self._request.session.id
        return cookie

    # Django's interface

    @property
    def session_key(self) -> str | None:
        self._run(self._settle())  # who asks for the key gets the one that lasts
        return self._session_key

    def load(self) -> dict[str, Any]:
        key = self._session_key
        data = self._run(self._open())
        old = self._former(key)
        if old is not None and (former := old.load()):
            old.delete(key)
            data = self._moved(former)
        return data

    async def aload(self) -> dict[str, Any]:
        key = self._session_key
        data = await self._arun(self._open())
        old = self._former(key)
        if old is not None and (former := await old.aload()):
            await old.adelete(key)
            data = self._moved(former)
        return data

    def _former(self, key: str | None) -> SessionBase | None:
        """The session under this key in the back end that was used before, if it is to be moved."""
        move = getattr(settings, "DYNAMODB_SESSION_MOVE", None)
        if not move or key is None or self._request.session is not None or self._request.is_superseded:
            return None
        if _now() >= _moment(move["until"]):
            return None
        return cast(SessionBase, import_module(move["engine"]).SessionStore(key))

    def _moved(self, data: dict[str, Any]) -> dict[str, Any]:
        """Takes over data from the other back end. It is stored at the end of the request, under another key."""
        self.__dict__["_session_cache"] = data
        self.modified = True
        return data

    def exists(self, session_key: str | None) -> bool:
        self._run(self._settle())
        return bool(session_key) and sessions().peek(cast(str, session_key)) is not None

    async def aexists(self, session_key: str | None) -> bool:
        await self._arun(self._settle())
        return bool(session_key) and await async_sessions().peek(cast(str, session_key)) is not None

    def create(self) -> None:
        self._run(self._begin())

    async def acreate(self) -> None:
        await self._arun(self._begin())

    def save(self, must_create: bool = False) -> None:
        self._get_session(no_load=must_create)
        if must_create or (self._session_key is None and self._new_user() is None):
            return self.create()
        self._run(self._saved())

    async def asave(self, must_create: bool = False) -> None:
        await self._aget_session(no_load=must_create)
        if must_create or (self._session_key is None and self._new_user() is None):
            return await self.acreate()
        await self._arun(self._saved())

    def _saved(self) -> Steps[None]:
        # Its data may have been replaced before it was loaded.
        if self._new_user() is None and (yield lambda request: request.open()) is None:
            raise UpdateError
        yield from self._store()

    def clear(self) -> None:
        super().clear()
        self._request.cleared()

    async def aclear(self) -> None:
        self.clear()

    def delete(self, session_key: str | None = None) -> None:
        if session_key is None or session_key == self._session_key:
            self._request.log_out()
            self._user, self._renews = None, False
        else:
            sessions().clear(session_key)

    async def adelete(self, session_key: str | None = None) -> None:
        if session_key is None or session_key == self._session_key:
            await self._request.through(async_sessions()).log_out()
            self._user, self._renews = None, False
        else:
            await async_sessions().clear(session_key)

    def cycle_key(self) -> None:
        self._get_session()
        self._renews = True  # with what the request will have changed: a login is one transaction

    async def acycle_key(self) -> None:
        await self._aget_session()
        self._renews = True

    def get_expiry_age(self, **kwargs: Any) -> int:
        """The seconds that are left of the session if it is not used any more."""
        if kwargs:
            return super().get_expiry_age(**kwargs)
        record, manager, now = self.record, sessions(), _now()
        expiry = self._get_session().get("_session_expiry")
        idle, absolute = manager.idle_timeout_seconds, manager.absolute_timeout_seconds
        if record is not None and not self.modified:
            return int((record.expires - now).total_seconds())
        if expiry and not isinstance(expiry, int):
            idle = absolute = int((_moment(expiry) - now).total_seconds())
        elif expiry:
            idle, absolute = expiry, max(expiry, absolute)
        else:
            idle = min(idle, self.get_session_cookie_age())
        age = 0 if record is None else int((now - record.created).total_seconds())
        return min(idle, absolute - age, manager.max_timeout_seconds)

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        await self._aget_session()
        return self.get_expiry_age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        if kwargs:
            return super().get_expiry_date(**kwargs)
        ends = _now().timestamp() + self.get_expiry_age()
        moment = datetime.fromtimestamp(ends, timezone.utc)
        return moment if settings.USE_TZ else moment.astimezone().replace(tzinfo=None)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        await self._aget_session()
        return self.get_expiry_date(**kwargs)

    @classmethod
    def clear_expired(cls) -> None:
        """DynamoDB's TTL deletes them."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """DynamoDB's TTL deletes them."""

    # What Django's interface does not have

    @property
    def record(self) -> Session | None:
        """The session in the table. ``None`` if it does not exist."""
        self._get_session()
        return self._request.session

    def keep_alive(self, keeps_alive: bool) -> None:
        """Whether this request counts as a use of the session. A poll should not."""
        self._request.keep_alive(keeps_alive)

    def log_in(self) -> None:
        """Stores the login that Django's ``login()`` has made, which calls it. When it raises, the user is not logged in, and
        nothing of this request is stored. Of a user who is logged in already, the session keeps its key."""
        if self._new_user() is None and not self._has_logged_in:
            self._run(self._confirmed())
        self._run(self._settle())

    def _confirmed(self) -> Steps[None]:
        if (yield lambda request: request.open()) is not None:
            yield lambda request: request.confirm_login()

    def came_from(self, request: HttpRequest) -> None:
        hints = [request.headers.get(name) for name in CLIENT_HEADERS]
        self._request.came_from(request.META.get("REMOTE_ADDR"), *hints)

    def finish(self) -> Any:
        """Stores what the request has changed, and returns what happens to the cookie."""
        self._run(self._settle())
        return self._run(self._finish())

    def cookie_after_failure(self) -> Any:
        """What happens to the cookie when ``finish`` has failed: a login that this request has made before is stored."""
        self._request.refuse()
        return self._request.finish(RawJson("{}"))

    def cookie_of_failed_response(self) -> Any:
        """What happens to the cookie when the request has failed: the session may have a new key already."""
        record = self._request.session
        return None if record is None else self._request.finish(RawJson(record.json))


def _now() -> datetime:
    clock = _settings().get("clock")
    return datetime.now(timezone.utc) if clock is None else cast(datetime, clock.now())


def _moment(expiry: datetime | str) -> datetime:
    moment = datetime.fromisoformat(expiry) if isinstance(expiry, str) else expiry
    return moment.astimezone(timezone.utc)  # one without a zone is of the zone of the process, as with USE_TZ=False


def _forget_settings(*, setting: str, **_: Any) -> None:
    if setting == "DYNAMODB_SESSION":
        sessions.cache_clear()
        async_sessions.cache_clear()


setting_changed.connect(_forget_settings, dispatch_uid="dynamodb_web_session")
