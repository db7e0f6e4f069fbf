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

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.exception import response_for_exception
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from ._core import ListedSession
from ._django_store import SessionStore, async_sessions, sessions
from ._responses import ANSWERED, answer
from .exceptions import ChangedError, NotFoundError, SessionError

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

View = TypeVar("View", bound=Callable[..., Any])


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
        response, cookie = _answer(error), session.cookie_after_failure()
        patch_vary_headers(response, ("Cookie",))
    except Exception as error:
        cookie = session.cookie_after_failure()
        if cookie is None:
            raise
        response = response_for_exception(request, error)  # as Django would answer, but outside of this middleware
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


user_logged_in.connect(_log_in, dispatch_uid="dynamodb_web_session")
