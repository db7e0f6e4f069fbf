"""What can go wrong. All exceptions are a :class:`SessionError`; none of them holds a session ID or data."""


class SessionError(Exception):
    """A call did not do what it was asked to."""


class NotFoundError(SessionError):
    """There is no live session with this ID: it was never issued, was cleared or renewed, or has expired."""


class ChangedError(SessionError):
    """Another caller has saved other data since the session was loaded. Load it, make the change again, and save again."""


class InvalidDataError(SessionError, ValueError):
    """The data cannot be stored as JSON, or is nested more than 100 levels deep."""


class DataTooLargeError(InvalidDataError):
    """The data, as JSON, is larger than the setting ``max_data_bytes``."""


class InvalidTimeoutError(SessionError, ValueError):
    """A timeout is less than a second, or longer than the setting ``max_timeout_seconds``."""


class TooManySessionsError(SessionError):
    """The subject has as many sessions as the setting ``max_per_subject`` allows."""


class RenewedTooOftenError(SessionError):
    """The session was renewed ten times within a minute. It lives on under its ID."""


class UnavailableError(SessionError):
    """The table could not be reached, was throttled, or failed. It is not known whether a write was carried out. A retry
    may help. An outage is not a logout."""


class MisconfiguredError(SessionError):
    """DynamoDB refused the request: the table does not exist, or the credentials or the permissions are missing."""


class CorruptRecordError(SessionError):
    """The table holds a record that this library has not written."""


class ConfigurationError(SessionError, ValueError):
    """A setting is not accepted. The message names it by its environment variable, and says what it accepts."""
