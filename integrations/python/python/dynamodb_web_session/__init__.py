"""Web sessions in DynamoDB: hashed IDs, idle and absolute timeouts, and ended sessions stay ended."""

from ._core import AsyncSessionManager, ListedSession, ManualClock, RawJson, Session, SessionManager
from .exceptions import (
    ChangedError,
    ConfigurationError,
    CorruptRecordError,
    DataTooLargeError,
    InvalidDataError,
    InvalidTimeoutError,
    NotFoundError,
    MisconfiguredError,
    SessionError,
    TooManySessionsError,
    UnavailableError,
)

__all__ = [
    "AsyncSessionManager",
    "ChangedError",
    "ConfigurationError",
    "CorruptRecordError",
    "DataTooLargeError",
    "InvalidDataError",
    "InvalidTimeoutError",
    "ListedSession",
    "ManualClock",
    "NotFoundError",
    "RawJson",
    "MisconfiguredError",
    "Session",
    "SessionError",
    "SessionManager",
    "TooManySessionsError",
    "UnavailableError",
]
