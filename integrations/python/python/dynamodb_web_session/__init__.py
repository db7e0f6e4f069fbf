"""Web sessions in DynamoDB: hashed IDs, idle and absolute timeouts, and ended sessions stay ended."""

from ._core import AsyncSessionManager, ListedSession, ManualClock, RawJson, Session, SessionManager
from .exceptions import (
    ChangedError,
    ConfigurationError,
    CorruptRecordError,
    DataTooLargeError,
    InvalidDataError,
    InvalidTimeoutError,
    MisconfiguredError,
    NotFoundError,
    RenewedTooOftenError,
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
    "MisconfiguredError",
    "RawJson",
    "RenewedTooOftenError",
    "Session",
    "SessionError",
    "SessionManager",
    "TooManySessionsError",
    "UnavailableError",
]
