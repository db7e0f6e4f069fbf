"""The documented examples of the library ``dynamodb-session-web``, with the import changed, and what differs from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import pytest

from conftest import Table
from dynamodb_web_session import ConfigurationError, InvalidTimeoutError
from dynamodb_web_session.compat import (
    NullSessionInstance,
    SessionDictInstance,
    SessionInstanceBase,
    SessionManager,
    exceptions,
)


@pytest.fixture(autouse=True)
def environment(table: Table, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable, value in table.environment().items():
        monkeypatch.setenv(variable, value)
    yield


@dataclass
class MySession(SessionInstanceBase):
    fruit: str = ""
    color: str = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def deserialize(self, data: str) -> None:
        data_dict = json.loads(data)
        self.fruit = data_dict["fruit"]
        self.color = data_dict["color"]

    def serialize(self) -> str:
        return json.dumps(asdict(self))


def test_the_default_example() -> None:
    session: SessionManager[SessionDictInstance] = SessionManager()
    initial_data = session.create()
    session_id = initial_data.session_id
    initial_data["foo"] = "bar"
    initial_data["one"] = 1
    session.save(initial_data)
    assert len(session_id) == 43 and len(initial_data.loggable_session_id) == 128

    loaded_data = session.load(session_id)
    assert isinstance(loaded_data, SessionDictInstance)
    assert (loaded_data["foo"], loaded_data["one"]) == ("bar", 1)
    assert loaded_data.loggable_session_id == initial_data.loggable_session_id
    session.clear(session_id)
    assert isinstance(session.load(session_id), NullSessionInstance)


def test_the_example_of_timeouts() -> None:
    from dynamodb_web_session import ManualClock

    clock = ManualClock()
    session: SessionManager[SessionDictInstance] = SessionManager(clock=clock)
    initial_data = session.create()
    initial_data.idle_timeout_seconds = 30
    initial_data.absolute_timeout_seconds = 30
    session.save(initial_data)
    clock.advance(29)
    assert session.load(initial_data.session_id).idle_timeout_seconds == 30
    clock.advance(6)
    assert isinstance(session.load(initial_data.session_id), NullSessionInstance)


def test_the_example_of_a_data_class() -> None:
    session = SessionManager(MySession)
    initial_data = session.create()
    initial_data.fruit, initial_data.color = "apple", "red"
    session.save(initial_data)
    loaded_data = session.load(initial_data.session_id)
    assert (loaded_data.fruit, loaded_data.color) == ("apple", "red")
    assert (loaded_data.idle_timeout_seconds, loaded_data.absolute_timeout_seconds) == (7200, 43200)


def test_the_example_of_the_configuration(table: Table) -> None:
    session = SessionManager(MySession, sid_byte_length=128, table_name=table.name, endpoint_url=table.url)
    assert len(session.create().session_id) == 171


def test_timeouts_of_the_manager_and_of_an_instance() -> None:
    session: SessionManager[SessionDictInstance] = SessionManager(
        idle_timeout_seconds=100, absolute_timeout_seconds=200
    )
    assert session.create().idle_timeout_seconds == 100
    created = session.create_and_save(idle_timeout_seconds=10, absolute_timeout_seconds=20)
    loaded = session.load(created.session_id)
    assert (loaded.idle_timeout_seconds, loaded.absolute_timeout_seconds) == (10, 20)
    assert loaded.created == created.created
    loaded.idle_timeout_seconds = 10**9
    with pytest.raises(InvalidTimeoutError):
        session.save(loaded)


@pytest.mark.parametrize("id", ["", None])
def test_no_id_is_always_an_error(id: Any) -> None:
    with pytest.raises(exceptions.SessionNotFoundError):
        SessionManager().load(id)


@pytest.mark.parametrize("id", ["nonsense", "A" * 43])
def test_an_unknown_id(id: Any) -> None:
    assert isinstance(SessionManager().load(id), NullSessionInstance)
    with pytest.raises(exceptions.SessionNotFoundError) as raised:
        SessionManager(bad_session_id_raises=True).load(id)
    assert str(raised.value).startswith("SessionNotFoundError: ") and len(raised.value.loggable_sid) == 128


def test_a_null_session_of_ones_own() -> None:
    class Nothing(NullSessionInstance):
        pass

    class Manager(SessionManager[SessionDictInstance]):
        null_session_class = Nothing

    assert Manager().load("unknown").__class__.__name__ == "Nothing"


class Text(SessionInstanceBase):
    text = ""

    def deserialize(self, data: str) -> None:
        self.text = data

    def serialize(self) -> str:
        return self.text


@pytest.mark.parametrize("text", ["", "plain", '"quoted"', "{not json", '{"a": 1.10}', " {}", "[1]", "é\n\0"])
def test_serialize_may_return_any_text(text: str) -> None:
    session = SessionManager(Text)
    instance = session.create()
    instance.text = text
    session.save(instance)
    assert session.load(instance.session_id).text == text


# What differs


def test_a_save_does_not_make_a_session() -> None:
    session: SessionManager[SessionDictInstance] = SessionManager()
    with pytest.raises(exceptions.SessionNotFoundError):
        session.save(SessionDictInstance(session_id="A" * 43))
    instance = session.create()
    session.clear(instance.session_id)
    with pytest.raises(exceptions.SessionNotFoundError):
        session.save(instance)
    assert isinstance(session.load(instance.session_id), NullSessionInstance)


def test_the_creation_is_the_servers() -> None:
    session: SessionManager[SessionDictInstance] = SessionManager()
    instance = session.create()
    created, instance.created = instance.created, datetime(2099, 1, 1, tzinfo=timezone.utc)
    session.save(instance)
    assert session.load(instance.session_id).created == created


def test_ids_are_not_signed() -> None:
    with pytest.raises(ConfigurationError, match="sid_keys"):
        SessionManager(sid_keys=["key"])
    SessionManager(sid_keys=[])


def test_the_interface_is_that_of_the_library() -> None:
    """Compares signatures with those of the library itself."""
    import inspect

    import dynamodb_session_web as library

    from dynamodb_web_session import compat

    assert set(library.__all__) == set(compat.__all__)
    for name in ("create", "create_and_save", "load", "save", "clear"):
        theirs = inspect.signature(getattr(library.SessionManager, name))
        ours = inspect.signature(getattr(compat.SessionManager, name))
        assert list(theirs.parameters) == list(ours.parameters), name
    assert set(
        vars(library.SessionDictInstance())  # type: ignore[no-untyped-call]
    ) == set(vars(compat.SessionDictInstance()))
    for name in ("SessionError", "SessionNotFoundError", "InvalidSessionIdError"):
        assert (
            str(getattr(exceptions, name)("x")) == str(getattr(library.exceptions, name)("x")) or name == "SessionError"
        )
