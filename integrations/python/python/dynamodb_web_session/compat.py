"""The interface of the library ``dynamodb-session-web`` 0.2.9. Only the import changes::

    from dynamodb_web_session.compat import SessionManager

What differs, for safety:

- ``create`` stores a record, as ``create_and_save`` does: an ID that exists only in memory could be saved under later, and
  then a save would make sessions.
- ``save`` of a session that was cleared or has expired raises ``SessionNotFoundError``; it does not bring it back.
- ``created`` is the server's. What an instance says has no effect.
- ``sid_keys`` is refused: an unknown ID is refused by the table, and an ID that is 32 random bytes needs no signature.
- ``load`` slides the idle deadline about once a minute, not each time.
- ``sid_byte_length`` is at least 16. ``idle_timeout_seconds`` and ``absolute_timeout_seconds`` are at most 30 days, unless
  ``SESSION_MAX_TIMEOUT_SECONDS`` says otherwise.
- Data in the table is JSON. Where ``serialize`` returns other text than a JSON object, it is stored as a JSON string.
- Records that the other library wrote are not found: its keys are the IDs, and these are their SHA-512.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, Generic, TypeVar, cast

from . import _core
from .exceptions import ConfigurationError, InvalidDataError, NotFoundError

__all__ = ["NullSessionInstance", "SessionDictInstance", "SessionInstanceBase", "SessionManager", "exceptions"]


class SessionError(Exception):
    """An error about the session with this loggable ID."""

    def __init__(self, loggable_sid: str = "") -> None:
        self.loggable_sid = loggable_sid
        super().__init__()

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.loggable_sid}"


class SessionNotFoundError(SessionError):
    """There is no live session with this ID."""


class InvalidSessionIdError(SessionError):
    """Not raised: it is there for programs that catch it."""


exceptions = SimpleNamespace(
    SessionError=SessionError, SessionNotFoundError=SessionNotFoundError, InvalidSessionIdError=InvalidSessionIdError
)


class SessionInstanceBase(ABC):
    """The base class of session data."""

    def __init__(
        self,
        *,
        session_id: str = "",
        idle_timeout_seconds: int = 7200,
        absolute_timeout_seconds: int = 43200,
        created: datetime | None = None,
    ) -> None:
        self.session_id = session_id
        self.idle_timeout_seconds = int(idle_timeout_seconds)
        self.absolute_timeout_seconds = int(absolute_timeout_seconds)
        self.created = datetime.now(tz=timezone.utc) if created is None else created

    @abstractmethod
    def deserialize(self, data: str) -> None: ...

    @abstractmethod
    def serialize(self) -> str: ...

    @property
    def loggable_session_id(self) -> str:
        return hashlib.sha512(self.session_id.encode()).hexdigest()


class SessionDictInstance(SessionInstanceBase, dict[str, Any]):
    """Data that is a ``dict``."""

    def deserialize(self, data: str) -> None:
        self.update(json.loads(data))

    def serialize(self) -> str:
        return json.dumps(self)


class NullSessionInstance(SessionInstanceBase):
    """What ``load`` returns when there is no session."""

    def deserialize(self, data: str) -> None:
        pass

    def serialize(self) -> str:
        return "{}"


T = TypeVar("T", bound=SessionInstanceBase)


class SessionManager(Generic[T]):
    """Keyword arguments: ``sid_byte_length``, ``table_name``, ``endpoint_url``, ``region_name``, ``idle_timeout_seconds``,
    ``absolute_timeout_seconds``, ``bad_session_id_raises``."""

    null_session_class: type[SessionInstanceBase] = NullSessionInstance

    def __init__(self, data_type: type[T] | None = None, **settings: Any) -> None:
        self._data_type = data_type or cast("type[T]", SessionDictInstance)
        if settings.pop("sid_keys", []):
            raise ConfigurationError("sid_keys must be empty: session IDs are not signed")
        self._bad_session_id_raises = bool(settings.pop("bad_session_id_raises", False))
        names = {"sid_byte_length": "id_bytes", "region_name": "region"}
        self._sessions = _core.SessionManager(**{names.get(name, name): value for name, value in settings.items()})

    def create(self, *, idle_timeout_seconds: int | None = None, absolute_timeout_seconds: int | None = None) -> T:
        """Creates a session instance, and stores it."""
        instance = self._data_type()
        session = self._sessions.create(
            _to_json(instance.serialize()),
            idle_timeout_seconds=idle_timeout_seconds,
            absolute_timeout_seconds=absolute_timeout_seconds,
        )
        return self._take_over(session, instance)

    create_and_save = create

    def load(self, session_id: str) -> T:
        session = self._sessions.load(session_id) if session_id else None
        if session is None:
            missing = self.null_session_class(session_id=session_id or "")
            if self._bad_session_id_raises or not session_id:
                raise SessionNotFoundError(missing.loggable_session_id)
            return cast(T, missing)
        instance = self._take_over(session, self._data_type())
        text = session.json
        instance.deserialize(session.data if text.startswith('"') else text)
        return instance

    def save(self, data: T) -> None:
        try:
            self._sessions.update(
                data.session_id,
                data=_to_json(data.serialize()),
                idle_timeout_seconds=data.idle_timeout_seconds,
                absolute_timeout_seconds=data.absolute_timeout_seconds,
            )
        except NotFoundError as error:
            raise SessionNotFoundError(data.loggable_session_id) from error

    def clear(self, session_id: str) -> None:
        self._sessions.clear(session_id)

    @staticmethod
    def _take_over(session: _core.Session, instance: T) -> T:
        instance.session_id = session.id
        instance.idle_timeout_seconds = session.idle_timeout_seconds
        instance.absolute_timeout_seconds = session.absolute_timeout_seconds
        instance.created = session.created
        return instance


def _to_json(text: str) -> _core.RawJson | str:
    """A JSON object as it is, and any other text as a JSON string."""
    if text.startswith("{"):
        try:
            return _core.RawJson(text)
        except InvalidDataError:
            pass
    return text
