"""What each method does. Each test runs with ``SessionManager`` and with ``AsyncSessionManager``."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from random import Random
from typing import Any

import pytest

from conftest import Table
from dynamodb_web_session import (
    ChangedError,
    CorruptRecordError,
    ManualClock,
    NotFoundError,
    RawJson,
    RenewedTooOftenError,
    SessionManager,
    TooManySessionsError,
)


def test_a_session_is_created_loaded_saved_and_cleared(sessions: Any) -> None:
    created = sessions.create({"fruit": "apple"})
    loaded = sessions.load(created.id)
    assert loaded.data == {"fruit": "apple"}
    loaded.data["color"] = "red"
    assert sessions.save(loaded) is None
    assert sessions.load(created).data == {"fruit": "apple", "color": "red"}
    assert sessions.clear(created.id) is True
    assert sessions.load(created.id) is None
    assert sessions.clear(created.id) is False


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        "text",
        0,
        1.5,
        True,
        10**40,
        -(2**63) - 1,
        'é\u0000\U0001f36a\\"',
        {"": {"a": [None, {"b": [[]]}]}},
        {str(n): n for n in range(1000)},
        1e-300,
    ],
)
def test_any_json_value_comes_back(sessions: Any, data: Any) -> None:
    session = sessions.create("first")
    session.data = data
    sessions.save(session)
    loaded = sessions.load(session.id).data
    assert loaded == data
    assert type(loaded) is type(data)


def test_what_a_session_says_of_itself(sessions: Any, clock: ManualClock) -> None:
    session = sessions.create(subject="alice", idle_timeout_seconds=100, absolute_timeout_seconds=500)
    assert session.loggable_id == hashlib.sha512(session.id.encode()).hexdigest()
    assert session.subject == "alice"
    assert session.created == clock.now() and session.created.tzinfo is timezone.utc
    assert session.idle_deadline == session.expires == clock.now() + timedelta(seconds=100)
    assert session.absolute_deadline == clock.now() + timedelta(seconds=500)
    assert (session.idle_timeout_seconds, session.absolute_timeout_seconds) == (100, 500)
    assert session.json == "{}"
    assert session.etag == sessions.load(session.id).etag


def test_a_session_ends_at_its_deadlines(sessions: Any, clock: ManualClock) -> None:
    session = sessions.create(idle_timeout_seconds=100, absolute_timeout_seconds=150)
    clock.advance(99)
    assert sessions.load(session.id) is not None
    clock.advance(50)
    assert sessions.load(session.id) is not None
    clock.advance(1)
    assert sessions.load(session.id) is None
    with pytest.raises(NotFoundError):
        sessions.save(session)


def test_a_peek_does_not_use_the_session(sessions: Any, clock: ManualClock) -> None:
    session = sessions.create(idle_timeout_seconds=100)
    clock.advance(99)
    assert sessions.peek(session.id).expires == session.expires
    clock.advance(1)
    assert sessions.peek(session.id) is None


def test_timeouts_change_with_the_next_save(sessions: Any, clock: ManualClock) -> None:
    session = sessions.create()
    session.idle_timeout_seconds = 30
    session.absolute_timeout_seconds = 40
    assert sessions.load(session.id).idle_timeout_seconds == 7200
    sessions.save(session)
    assert session.expires == clock.now() + timedelta(seconds=30)
    assert sessions.load(session.id).absolute_timeout_seconds == 40


@pytest.mark.parametrize("id", ["", "nonsense", "A" * 43, "é" * 43, "A" * 10_000, "\0"])
def test_an_id_that_was_never_issued_names_no_session(sessions: Any, id: str) -> None:
    assert sessions.load(id) is None
    assert sessions.peek(id) is None
    assert sessions.renew(id) is None
    assert sessions.clear(id) is False
    with pytest.raises(NotFoundError):
        sessions.update(id, data={})
    assert sessions.load(id) is None


def test_a_dead_session_stays_dead(sessions: Any) -> None:
    session = sessions.create()
    sessions.clear(session.id)
    for save in (sessions.save, sessions.save_if_unchanged, lambda s: sessions.update(s, data=1)):
        with pytest.raises(NotFoundError):
            save(session)
    assert sessions.renew(session) is None
    assert sessions.load(session.id) is None


def test_a_save_if_unchanged_does_not_overwrite_what_another_caller_saved(sessions: Any) -> None:
    mine = sessions.create({"n": 1})
    theirs = sessions.load(mine.id)
    theirs.data = {"n": 2}
    sessions.save_if_unchanged(theirs)
    mine.data = {"n": 3}
    with pytest.raises(ChangedError):
        sessions.save_if_unchanged(mine)
    assert sessions.load(mine.id).data == {"n": 2}
    sessions.save_if_unchanged(theirs)  # it has the new tag
    sessions.save(mine)
    assert sessions.load(mine.id).data == {"n": 3}


def test_an_update_changes_what_it_is_given(sessions: Any, clock: ManualClock) -> None:
    session = sessions.create({"n": 1})
    assert sessions.update(session.id, idle_timeout_seconds=50) == session.etag
    etag = sessions.update(session.id, data={"n": 2}, if_match=session.etag)
    loaded = sessions.load(session.id)
    assert (loaded.data, loaded.etag, loaded.idle_timeout_seconds) == ({"n": 2}, etag, 50)
    with pytest.raises(ChangedError):
        sessions.update(session.id, data={"n": 3}, if_match=session.etag)
    with pytest.raises(ChangedError):
        sessions.renew(session.id, if_match=session.etag)
    with pytest.raises(ChangedError):
        sessions.clear(session.id, if_match=session.etag)
    sessions.clear(session.id, if_match=etag)
    assert sessions.load(session.id) is None


def test_a_renewal_gives_a_new_id(sessions: Any, clock: ManualClock) -> None:
    old = sessions.create({"cart": ["apple"]}, absolute_timeout_seconds=1000)
    clock.advance(10)
    new = sessions.renew(old.id)
    assert new.id != old.id and new.data == {"cart": ["apple"]} and new.subject is None
    assert new.absolute_deadline == old.absolute_deadline
    assert sessions.load(old.id) is None
    assert sessions.renew(new, data=[1]).data == [1]
    assert sessions.renew(new) is None


def test_a_login_is_one_step(sessions: Any) -> None:
    subject = f"subject {datetime.now()}"
    old = sessions.create({"cart": ["apple"]})
    new = sessions.log_in(old, subject, data={"cart": ["apple"], "user": 1}, idle_timeout_seconds=100)
    assert new.id != old.id and new.subject == subject and new.data == {"cart": ["apple"], "user": 1}
    assert new.idle_timeout_seconds == 100 and not new.is_new
    assert sessions.load(old) is None
    again = sessions.log_in(old.id, subject, data={"cart": ["apple"]}, data_if_new={"user": 1})
    assert again.is_new and again.data == {"user": 1}
    assert sessions.log_in(None, subject).data == {}
    assert len(sessions.sessions_of(subject)) == 3


def test_the_eleventh_renewal_of_a_minute_is_refused(sessions: Any) -> None:
    session = sessions.create()
    for _ in range(10):
        session = sessions.renew(session)
    with pytest.raises(RenewedTooOftenError):
        sessions.renew(session)
    assert sessions.load(session) is not None


def test_all_sessions_of_a_subject_end(sessions: Any, clock: ManualClock) -> None:
    subject = f"subject {datetime.now()}"
    mine, phone, tablet = (sessions.create(subject=subject) for _ in range(3))
    listed = sessions.sessions_of(subject)
    assert {session.loggable_id for session in listed} == {s.loggable_id for s in (mine, phone, tablet)}
    assert all(
        s.created == s.last_used == clock.now() and 0 <= (s.expires - mine.expires).total_seconds() <= 720
        for s in listed
    )
    sessions.revoke(tablet.loggable_id)
    assert sessions.load(tablet.id) is None
    sessions.revoke_all(subject, except_=mine)
    assert sessions.load(phone.id) is None and sessions.load(mine.id) is not None
    sessions.revoke_all(subject, except_=mine.loggable_id)
    sessions.revoke_all(subject)
    assert sessions.load(mine.id) is None
    assert sessions.sessions_of(subject) == []


def test_a_subject_has_at_most_the_maximum_of_sessions(make: Any) -> None:
    subject = f"subject {datetime.now()}"
    sessions = make(max_per_subject=1, at_max_per_subject="refuse")
    first = sessions.create(subject=subject)
    with pytest.raises(TooManySessionsError):
        sessions.create(subject=subject)
    with pytest.raises(TooManySessionsError):
        sessions.log_in(sessions.create(), subject)
    make(max_per_subject=1, at_max_per_subject="end-oldest").create(subject=subject)
    assert sessions.load(first.id) is None


def test_json_text_is_stored_as_it_is(sessions: Any) -> None:
    session = sessions.create(RawJson('{"n": 1.10, "big": 123456789012345678901234567890}'))
    loaded = sessions.load(session.id)
    assert loaded.json == '{"n": 1.10, "big": 123456789012345678901234567890}'
    assert loaded.data == {"n": 1.1, "big": 123456789012345678901234567890}
    assert str(RawJson("[1]")) == "[1]"


def test_sealed_and_plain_sessions_are_read_by_both(make: Any) -> None:
    plain, sealed, migrating = make(), make(seal=True), make(seal="migrate")
    one, two = plain.create({"n": 1}), sealed.create({"n": 2})
    assert migrating.load(one.id).data == {"n": 1} and plain.load(two.id).data == {"n": 2}
    with pytest.raises(CorruptRecordError):
        sealed.load(one.id)


class Number(IntEnum):
    ONE = 1


def random_value(random: Random, depth: int = 0) -> Any:
    """A value that Python's ``json`` writes, plain or not."""
    leaves: list[Any] = [
        None,
        True,
        random.randrange(-(2**70), 2**70),
        random.randrange(-100, 100),
        2**63,
        2**64,
        -(2**63),
        random.uniform(-1e3, 1e3),
        random.random() * 10 ** random.randrange(-300, 300),
        -0.0,
        1e22,
        "".join(chr(random.randrange(0x20, 0x2FF)) for _ in range(5)),
        "\ud83c\udf6a".encode("utf-16", "surrogatepass").decode("utf-16"),
        Number.ONE,
    ]
    if depth > 4 or random.random() < 0.4:
        return random.choice(leaves)
    values = [random_value(random, depth + 1) for _ in range(random.randrange(4))]
    keys: list[Any] = [random.choice(["a", "é", "", 1, None, True, 1.5]) for _ in values]
    members = dict(zip(keys, values, strict=True))
    return random.choice([values, tuple(values), members, OrderedDict(members)])


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types: ``1 == 1.0 == True`` is not enough."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and repr(one) == repr(other)


def test_data_is_what_pythons_json_makes_of_it(table: Table) -> None:
    sessions = SessionManager(**table.settings())
    random = Random(7)
    for _ in range(1000):
        value = random_value(random)
        session = sessions.create(value)
        expected = {} if value is None else json.loads(json.dumps(value))
        assert same(json.loads(session.json), expected), value
        assert same(session.data, expected), value
        loaded = sessions.load(session.id)
        assert loaded is not None and same(loaded.data, expected)
