from collections.abc import Coroutine
from datetime import datetime
from os import PathLike
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, final
from uuid import UUID

from typing_extensions import Unpack

Result = TypeVar("Result")
Call: TypeAlias = Coroutine[Any, Any, Result]

User: TypeAlias = str | int | UUID
"""Whose session it is: a text of 1 to 256 bytes, or what ``str()`` makes one of."""

class Settings(TypedDict, total=False):
    """What a session manager can be made with. Each but the last three is also the environment variable of the same name in
    upper case with ``SESSION_`` before it, such as ``SESSION_TABLE_NAME``; an argument goes before the variable."""

    table_name: str | None
    """The table's name or ARN. Default ``app_session``."""
    id_bytes: int | None
    """Random bytes of a new session ID, 16 to 128. Default 32."""
    idle_timeout_seconds: int | None
    """A session ends this long after its last use, unless it has a timeout of its own. Default 7,200."""
    absolute_timeout_seconds: int | None
    """A session ends this long after its creation, however busy it is. Default 43,200."""
    max_timeout_seconds: int | None
    """The maximum that a session may ask for, either timeout. Default 2,592,000."""
    touch_interval_seconds: int | None
    """A load slides the idle deadline only when the last slide is at least this old. Default 60; 0: on every load."""
    max_data_bytes: int | None
    """The maximum size of a session's data, as JSON. Default 262,144."""
    not_before: datetime | str | None
    """Sessions that were created before this moment are dead. Default: none are."""
    max_per_subject: int | None
    """How many sessions a subject may have at once, 1 to 1,000. Default 100."""
    at_max_per_subject: Literal["refuse", "end-oldest"] | None
    """Whether one more is refused, with ``TooManySessionsError``, or ends the one that was used longest ago. Default
    ``end-oldest``."""
    subject_namespace: str | None
    """Applications that share a table and name their users alike have one each. Default: empty."""
    seal: bool | Literal["migrate"] | None
    """Whether data is stored encrypted, under a key that only the session's ID yields. ``"migrate"`` also accepts data that is
    not. Default false."""
    merge: bool | None
    """Of two requests of a framework that change different keys of one session both last. Default true; false: the later one
    overwrites all of the data."""
    labels: bool | None
    """Whether a login of a framework stores where it comes from, for the list of the user's sessions. Default true."""
    label_key: str | None
    """A secret of 32 bytes or more, under which labels and contexts are encrypted in the table. Default: they are not."""
    passive_paths: list[str] | str | None
    """Paths whose requests do not keep a session alive, such as those of a poll. One that ends in ``/`` stands for all below."""
    call_timeout_milliseconds: int | None
    """A call whose table has not responded by then fails with ``UnavailableError``, and after three in a row the next fail at once, for
    a second. Not ``clear``, ``revoke`` and ``revoke_all``. 100 to 10,000; default 2,000."""
    endpoint_url: str | None
    """The DynamoDB endpoint, in place of ``AWS_ENDPOINT_URL_DYNAMODB``."""
    region: str | None
    """The Region, in place of that of the environment or the profile."""
    clock: ManualClock | None
    """Where the time is read, for tests. Default: the machine's clock."""

@final
class ManualClock:
    """A clock that stands still until it is moved."""

    def __new__(cls, now: datetime | None = None) -> ManualClock: ...
    def now(self) -> datetime: ...
    def advance(self, seconds: int) -> None:
        """Moves the clock forward."""

@final
class RawJson:
    """Data that is JSON text already: it is stored as it is. ``str()`` returns the text."""

    def __new__(cls, text: str) -> RawJson: ...

@final
class Session:
    """A session that was alive when it was created or loaded. Change its data or its timeouts, then save it."""

    data: Any
    """What the session holds: any value that Python's ``json`` reads and writes, or a ``RawJson``."""
    idle_timeout_seconds: int
    """The session ends this long after its last use. A change takes effect with the next save."""
    absolute_timeout_seconds: int
    """The session ends this long after its creation. A change takes effect with the next save."""

    @property
    def id(self) -> str:
        """The session ID. It is a secret of the session's owner: it belongs in a cookie, not into a log or a URL."""

    @property
    def loggable_id(self) -> str:
        """The SHA-512 of the ID: the name of the session in logs and in the table."""

    @property
    def subject(self) -> str | None:
        """Whose session it is."""

    @property
    def is_new(self) -> bool:
        """Whether the call that returned it has created it: ``create``, or ``log_in`` where there was no session."""

    @property
    def label(self) -> str | None:
        """What its user recognises the session by, such as "Firefox on Linux". Any text: a page has to escape it."""

    @property
    def context(self) -> Any:
        """More of the kind, such as ``{"address": "192.0.2.1"}``."""

    @property
    def authenticated_at(self) -> datetime | None:
        """When the user last logged in, in UTC. ``None``: the session is nobody's, or came to its user without a login."""

    @property
    def created(self) -> datetime:
        """When the session was created, in UTC."""

    @property
    def expires(self) -> datetime:
        """The earlier of the two deadlines, in UTC."""

    @property
    def idle_deadline(self) -> datetime:
        """When the session ends unless it is used before."""

    @property
    def absolute_deadline(self) -> datetime:
        """When the session ends in any case."""

    @property
    def etag(self) -> str:
        """The strong validator of the data as it was stored or loaded."""

    @property
    def json(self) -> str:
        """The data as JSON text."""

class Finding(TypedDict):
    """What ``check`` has found: something of the table, or a permission."""

    name: str
    state: Literal["ok", "wrong", "not known"]
    detail: str

@final
class ListedSession:
    """A live session in the list of its subject's sessions."""

    @property
    def loggable_id(self) -> str:
        """The session's name in logs. It does not give access to the session."""

    @property
    def name(self) -> str:
        """The session's name in the list, which it keeps through renewals: what ``revoke_named`` takes."""

    @property
    def label(self) -> str | None:
        """What its user recognises the session by, such as "Firefox on Linux". Any text: a page has to escape it."""

    @property
    def context(self) -> Any:
        """More of the kind, such as ``{"address": "192.0.2.1"}``."""

    @property
    def is_current(self) -> bool:
        """Whether it is the session that ``sessions_of`` was asked to mark."""

    @property
    def created(self) -> datetime: ...
    @property
    def last_used(self) -> datetime:
        """When the idle deadline last slid."""

    @property
    def expires(self) -> datetime:
        """The earlier of the two deadlines."""

class SessionManager:
    """Creates, loads, saves, renews and clears sessions. Make one and share it: between threads too, and with the processes
    that are forked later.

    Every method may raise ``UnavailableError`` and ``MisconfiguredError``.
    """

    def __new__(cls, **settings: Unpack[Settings]) -> SessionManager:
        """Nothing is sent yet. Raises ``ConfigurationError`` for a setting that is not accepted."""

    @property
    def idle_timeout_seconds(self) -> int:
        """The idle timeout of sessions that have none of their own."""

    @property
    def absolute_timeout_seconds(self) -> int:
        """The absolute timeout of sessions that have none of their own."""

    @property
    def max_timeout_seconds(self) -> int:
        """The longest timeout that a session may have."""

    def create(
        self,
        data: Any = None,
        *,
        subject: User | None = None,
        idle_timeout_seconds: int | None = None,
        absolute_timeout_seconds: int | None = None,
        label: str | None = None,
        context: Any = None,
    ) -> Session:
        """Creates a session with a new ID. Its data is an empty ``dict`` by default.

        ``subject`` says whose session it is, such as a user's ID: 1 to 256 bytes of UTF-8. ``label``, up to 64 bytes of text such as
        "Firefox on Linux", and ``context``, a value of up to 128 bytes as JSON, are for the list of the user's sessions.

        Raises ``InvalidDataError``, ``DataTooLargeError``, ``InvalidTimeoutError`` and ``TooManySessionsError``.
        """

    def load(self, id: str | Session) -> Session | None:
        """Loads a session, which counts as a use of it. ``None``: the ID was never issued, the session was cleared, or it has
        expired. An outage is an exception."""

    def peek(self, id: str | Session) -> Session | None:
        """Loads a session without using it: its idle deadline does not slide."""

    def save(self, session: Session) -> None:
        """Saves a session's data, and the timeouts that were changed, even if another caller has saved since it was loaded.

        Raises ``NotFoundError`` when the session is dead: a save does not bring it back. Raises ``InvalidDataError``,
        ``DataTooLargeError`` and ``InvalidTimeoutError``.
        """

    def save_if_unchanged(self, session: Session) -> None:
        """Saves a session unless another caller has saved other data since it was loaded: then it raises ``ChangedError``."""

    def update(
        self,
        id: str | Session,
        *,
        data: Any = None,
        idle_timeout_seconds: int | None = None,
        absolute_timeout_seconds: int | None = None,
        label: str | None = None,
        context: Any = None,
        if_match: str | None = None,
    ) -> str:
        """Changes parts of a session without loading it, and returns the tag of its data. ``None`` leaves a part as it is, and ``""``
        removes a label or a context.

        Raises what ``save`` raises, and ``ChangedError`` when the data does not have the tag ``if_match``.
        """

    def log_in(
        self,
        id: str | Session | None,
        subject: User,
        *,
        data: Any = None,
        data_if_new: Any = None,
        idle_timeout_seconds: int | None = None,
        absolute_timeout_seconds: int | None = None,
        label: str | None = None,
        context: Any = None,
        if_match: str | None = None,
    ) -> Session:
        """Makes a session that of ``subject``, such as a user's ID, under a new ID: in one transaction, or not at all. Call it
        when the user was authenticated.

        ``data`` replaces the session's data; by default it is kept. If the session has ended, or there was none, the subject gets
        a new one with ``data_if_new``, or ``data``, and none of the old data.

        Raises what ``create`` raises, and ``ChangedError`` when the data does not have the tag ``if_match``.
        """

    def renew(self, id: str | Session, *, data: Any = None, if_match: str | None = None) -> Session | None:
        """Gives a session a new ID and ends the old one, in one transaction. Call it when privileges change; for a login there is
        ``log_in``.

        ``data`` replaces the session's data; by default it is kept. The absolute deadline stays. Returns ``None`` if the session
        has ended, or another renewal was faster.

        Raises ``RenewedTooOftenError``, what ``create`` raises for the data, and ``ChangedError`` when the data does not have the
        tag ``if_match``.
        """

    def clear(self, id: str | Session, *, if_match: str | None = None) -> bool:
        """Ends a session at once. One that does not exist is not an error. If the session was renewed, this ends it under its new
        ID. Returns whether this call has ended a live session, as far as it knows. Raises ``ChangedError`` when the data does not
        have the tag ``if_match``."""

    def sessions_of(self, subject: User, *, current: str | Session | None = None) -> list[ListedSession]:
        """The live sessions of a subject, the last used first. ``current`` is the one to be marked, such as that of the request."""

    def revoke_all(self, subject: User, *, except_: str | Session | None = None) -> None:
        """Ends all sessions of a subject, or all but one, which is named by its loggable ID. When it returns, none of them can
        be loaded any more."""

    def revoke(self, loggable_id: str | Session) -> None:
        """Ends one session by its loggable ID, for example from a log or a list."""

    def revoke_named(self, subject: User, name: str) -> bool:
        """Ends one session of a subject by its name in the list, also if it has another ID by now. One that is not in the list, such
        as that of another subject, is not an error. Returns whether this call has ended a session."""

    def _claim(self, id: str) -> bool:
        """Notes under an ID that only the application can make, for as long as a session may live at most. Returns whether this call was
        the first."""

    def is_logged_in_within(self, session: Session | None, minutes: float) -> bool:
        """Whether the user of a session has logged in within so many minutes."""

    def confirm_login(self, id: str | Session) -> None:
        """Notes that the user of a session has proved once more who they are, for example with the password before something
        serious: ``authenticated_at`` is this moment from then on. The session keeps its ID. Raises ``NotFoundError`` when it has
        ended, or is nobody's."""

    def check(self) -> list[Finding]:
        """What is right and wrong with the table and with the permissions of the caller. It changes nothing."""

class AsyncSessionManager:
    """The methods of ``SessionManager``, as coroutines for ``asyncio``. Calls of any number of tasks share one thread.

    A call whose task is cancelled is given up; whether a write was carried out is then not known. ``clear``, ``revoke`` and
    ``revoke_all`` go on to their end.
    """

    def __new__(cls, **settings: Unpack[Settings]) -> AsyncSessionManager: ...
    @property
    def idle_timeout_seconds(self) -> int: ...
    @property
    def absolute_timeout_seconds(self) -> int: ...
    @property
    def max_timeout_seconds(self) -> int: ...
    def create(
        self,
        data: Any = None,
        *,
        subject: User | None = None,
        idle_timeout_seconds: int | None = None,
        absolute_timeout_seconds: int | None = None,
        label: str | None = None,
        context: Any = None,
    ) -> Call[Session]: ...
    def load(self, id: str | Session) -> Call[Session | None]: ...
    def peek(self, id: str | Session) -> Call[Session | None]: ...
    def save(self, session: Session) -> Call[None]: ...
    def save_if_unchanged(self, session: Session) -> Call[None]: ...
    def update(
        self,
        id: str | Session,
        *,
        data: Any = None,
        idle_timeout_seconds: int | None = None,
        absolute_timeout_seconds: int | None = None,
        label: str | None = None,
        context: Any = None,
        if_match: str | None = None,
    ) -> Call[str]: ...
    def log_in(
        self,
        id: str | Session | None,
        subject: User,
        *,
        data: Any = None,
        data_if_new: Any = None,
        idle_timeout_seconds: int | None = None,
        absolute_timeout_seconds: int | None = None,
        label: str | None = None,
        context: Any = None,
        if_match: str | None = None,
    ) -> Call[Session]: ...
    def renew(self, id: str | Session, *, data: Any = None, if_match: str | None = None) -> Call[Session | None]: ...
    def clear(self, id: str | Session, *, if_match: str | None = None) -> Call[bool]: ...
    def sessions_of(self, subject: User, *, current: str | Session | None = None) -> Call[list[ListedSession]]: ...
    def revoke_all(self, subject: User, *, except_: str | Session | None = None) -> Call[None]: ...
    def revoke(self, loggable_id: str | Session) -> Call[None]: ...
    def revoke_named(self, subject: User, name: str) -> Call[bool]: ...
    def confirm_login(self, id: str | Session) -> Call[None]: ...
    def is_logged_in_within(self, session: Session | None, minutes: float) -> bool: ...
    def check(self) -> Call[list[Finding]]: ...

@final
class RequestSession:
    """The session of a web request, for the frameworks: from its cookie to its response. With an ``AsyncSessionManager`` the
    methods are coroutines."""

    def __new__(
        cls,
        sessions: SessionManager | AsyncSessionManager,
        cookie: str | None,
        path: str = "",
        is_opaque: bool = False,
    ) -> RequestSession:
        """``is_opaque``: the data is any JSON, and is replaced as a whole."""

    def through(self, sessions: SessionManager | AsyncSessionManager) -> RequestSession:
        """The same session, with calls through another manager."""

    @property
    def session(self) -> Session | None:
        """The session as this request knows it."""

    @property
    def is_superseded(self) -> bool:
        """Whether the cookie's ID is one from before a renewal or a login. The request has no session then, and stores nothing."""

    @property
    def has_failed(self) -> bool:
        """Whether a login or a renewal has failed. Then nothing of this request is stored."""

    def keep_alive(self, keeps_alive: bool) -> None:
        """Whether this request counts as a use of the session."""

    def came_from(
        self,
        address: str | None,
        user_agent: str | None = None,
        brands: str | None = None,
        platform: str | None = None,
    ) -> None:
        """Where the request comes from, for the label and the context of a login. ``brands`` and ``platform`` are ``Sec-CH-UA`` and
        ``Sec-CH-UA-Platform``."""

    def cleared(self) -> None:
        """The application has removed everything from its session, as a logout does."""

    def open(self) -> Any:
        """Reads the session, if there is one, and returns it."""

    def reload(self) -> Any:
        """Reads the session again, and returns it."""

    def log_in(self, subject: User, data: Any, changes: Any, lifetime: Lifetime | None = None) -> Any:
        """Logs a user in, with the data of this request and the changes of the login, and returns the session. When it raises, ``finish`` stores nothing."""

    def confirm_login(self) -> Any:
        """Notes that the user has proved once more who they are, and returns the session, which keeps its ID."""

    def refuse(self) -> None:
        """A login was not begun, because of its arguments: ``finish`` stores nothing."""

    def renew(self, data: Any) -> Any:
        """Gives the session a new ID, and returns it. When it raises, ``finish`` stores nothing."""

    def log_out(self) -> Any:
        """Ends the session at once."""

    def begin(self, data: Any, lifetime: Lifetime | None = None) -> Any:
        """Begins a new session, which may be empty, and returns it."""

    def finish(
        self,
        data: Any,
        lifetime: Lifetime | None = None,
        refresh: Literal["never", "on-save", "on-use"] = "never",
    ) -> Any:
        """Stores what has changed, and returns a ``Cookie``, or ``None`` if the cookie is left alone."""

@final
class Cookie:
    """What a response does with the session's cookie."""

    @property
    def value(self) -> str | None:
        """The session ID. ``None``: the cookie is deleted."""

    @property
    def max_age(self) -> int:
        """What is left of the session, in seconds."""

@final
class Lifetime:
    """How long a framework wants a session to live."""

    @staticmethod
    def default() -> Lifetime:
        """As long as the settings say."""

    @staticmethod
    def at_most(seconds: int) -> Lifetime:
        """As long as the settings say, but at most so long without use."""

    @staticmethod
    def seconds(seconds: int) -> Lifetime:
        """So long without use, and at least so long in all."""

    @staticmethod
    def until(moment: datetime) -> Lifetime:
        """Until this moment, used or not."""

def run_command(arguments: list[str]) -> int: ...
def end_runtimes() -> None: ...

@final
class EmbeddedDynamoDb:
    """An embedded DynamoDB with the session table, on 127.0.0.1, for tests and for a first look. It ends with the object."""

    def __new__(
        cls, *, port: int = 0, data: str | PathLike[str] | None = None, table_name: str = "app_session"
    ) -> EmbeddedDynamoDb:
        """Serves on ``port``; 0 picks a free one. The sessions are in memory, or in the file ``data``."""

    def empty(self) -> None:
        """Removes all sessions: for the next test of a program that stays connected."""

    @property
    def url(self) -> str: ...
