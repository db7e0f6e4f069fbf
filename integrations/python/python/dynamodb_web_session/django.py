"""Sessions for Django::

    SESSION_ENGINE = "dynamodb_web_session.django"
    DYNAMODB_SESSION = {"table_name": "app_session"}  # optional: the settings of SessionManager

``request.session`` works as it does with Django's own back ends, and Django's ``login()`` and ``logout()`` too: a login is one
transaction, which binds the session to the user, so that ``log_out_everywhere`` can end all sessions of the user.

The timeouts are those of ``SessionManager``: by default 2 hours without use, or ``SESSION_COOKIE_AGE`` where that is less,
and 12 hours in all. ``set_expiry`` gives a session others: a number of seconds is its idle timeout, and may be longer than the
absolute one; a moment is its absolute deadline. The cookie lives as long as the session.

Importing this module changes how Django's ``SessionMiddleware`` ends a request with such a session: only a request that knows the
state of the session at its end writes the cookie.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from datetime import datetime, timezone
from functools import lru_cache, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.sessions.serializers import JSONSerializer
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from ._core import AsyncSessionManager, Lifetime, ListedSession, RawJson, RequestSession, Session, SessionManager
from ._responses import ANSWERED, CLIENT_HEADERS, answer
from .exceptions import ChangedError, InvalidDataError, NotFoundError, SessionError

__all__ = [
    "LoginFormMixin",
    "SessionStore",
    "async_sessions",
    "confirm_login",
    "log_out_everywhere",
    "requires_login_within",
    "revoke",
    "sessions",
    "sessions_of",
]

Result = TypeVar("Result")
View = TypeVar("View", bound=Callable[..., Any])
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


def _process_response(middleware: Any, request: HttpRequest, response: HttpResponse) -> HttpResponse:
    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore):
        return _stock_process_response(middleware, request, response)
    if not session.accessed:
        return response
    if response.status_code == 500 and type(session.failure) in ANSWERED:
        response = _answer(cast(SessionError, session.failure))
    patch_vary_headers(response, ("Cookie",))
    try:
        cookie = session.finish() if response.status_code < 500 else session.cookie_of_failed_response()
    except (NotFoundError, ChangedError, UpdateError) as error:
        raise SessionInterrupted("The session has ended before the request was completed.") from error
    except ANSWERED as error:
        response, cookie = _answer(error), None
        patch_vary_headers(response, ("Cookie",))
    if cookie is None:
        return response
    name, path, domain = settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_PATH, settings.SESSION_COOKIE_DOMAIN
    same_site: Any = settings.SESSION_COOKIE_SAMESITE
    if cookie.value is None:
        response.delete_cookie(name, path=path, domain=domain, samesite=same_site)
    else:
        response.set_cookie(
            name,
            cookie.value,
            max_age=None if session.get_expire_at_browser_close() else cookie.max_age,
            domain=domain,
            path=path,
            secure=settings.SESSION_COOKIE_SECURE or False,
            httponly=settings.SESSION_COOKIE_HTTPONLY or False,
            samesite=same_site,
        )
    return response


def _process_exception(middleware: Any, request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The answer to a request whose view has not caught such an error, such as a login that was refused."""
    return _answer(error) if isinstance(error, SessionError) and type(error) in ANSWERED else None


def _answer(error: SessionError) -> HttpResponse:
    status, text, headers = answer(error)
    return HttpResponse(text, status=status, headers=headers, content_type="text/plain; charset=utf-8")


_stock_process_response = SessionMiddleware.process_response
SessionMiddleware.process_response = _process_response  # type: ignore[method-assign, assignment]
SessionMiddleware.process_exception = _process_exception  # type: ignore[attr-defined]


class LoginFormMixin:
    """For a ``LoginView``: a login that was refused is an error of its form."""

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            return cast(HttpResponse, super().form_valid(form))  # type: ignore[misc]
        except ANSWERED as error:
            form.add_error(None, answer(error)[1])
            return cast(HttpResponse, self.form_invalid(form))  # type: ignore[attr-defined]


def log_out_everywhere(user: Any, except_: SessionBase | None = None) -> None:
    """Ends all sessions of a user, or all but this one, such as ``request.session``."""
    record = None if except_ is None else cast(SessionStore, except_).record
    sessions().revoke_all(_subject(user), except_=record)


def sessions_of(user: Any, current: SessionBase | None = None) -> list[ListedSession]:
    """The live sessions of a user, the last used first. ``current``, such as ``request.session``, has ``is_current``."""
    record = None if current is None else cast(SessionStore, current).record
    return sessions().sessions_of(_subject(user), current=record)


def revoke(user: Any, name: str) -> bool:
    """Ends one session of a user, by its name in the list. Returns whether this call has ended it. The user must be the one who is
    logged in, and not what the request says."""
    return sessions().revoke_named(_subject(user), name)


def confirm_login(request: HttpRequest) -> None:
    """Notes that the user has proved once more who they are, for example with the password: see ``requires_login_within``. Django's
    ``login()`` does so too."""
    session = cast(SessionStore, request.session)
    session._run(session._confirmed())


def requires_login_within(minutes: float, login_url: str | None = None) -> Callable[[View], View]:
    """A decorator for a view that does something serious: the user must have logged in within so many minutes. Otherwise the
    request is redirected to ``login_url``, by default ``settings.LOGIN_URL``, with ``next``."""

    def decorated(view: View) -> View:
        def refusal(request: HttpRequest) -> HttpResponse | None:
            record = cast(SessionStore, request.session).record
            if sessions().is_logged_in_within(record, minutes):
                return None
            from django.contrib.auth.views import redirect_to_login  # the applications are loaded by now

            return redirect_to_login(request.get_full_path(), login_url)

        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return refusal(request) or view(request, *args, **kwargs)

        @wraps(view)
        async def achecked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return await sync_to_async(refusal)(request) or await view(request, *args, **kwargs)

        return cast(View, achecked if iscoroutinefunction(view) else checked)

    return decorated


def _subject(user: Any) -> str:
    return str(user._meta.pk.value_to_string(user))


def _log_in(sender: Any, request: Any, user: Any, **_: Any) -> None:
    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore):
        return
    if session.__dict__.get("_session_cache", {}).get(SESSION_KEY) != _subject(user):
        return  # a login without a session, such as one with a token
    session.came_from(request)
    try:
        session.log_in()
    except Exception:
        from django.contrib.auth.models import AnonymousUser  # the applications are not loaded yet when this module is

        request.user = AnonymousUser()
        raise


def _forget_settings(*, setting: str, **_: Any) -> None:
    if setting == "DYNAMODB_SESSION":
        sessions.cache_clear()
        async_sessions.cache_clear()


user_logged_in.connect(_log_in, dispatch_uid="dynamodb_web_session")
setting_changed.connect(_forget_settings, dispatch_uid="dynamodb_web_session")
