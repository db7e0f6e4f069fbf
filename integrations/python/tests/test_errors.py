"""Bad input, and what fails around the library: a clear exception each, without an ID or data in it."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from conftest import Table
from dynamodb_web_session import (
    AsyncSessionManager,
    ConfigurationError,
    CorruptRecordError,
    DataTooLargeError,
    InvalidDataError,
    InvalidTimeoutError,
    ManualClock,
    MisconfiguredError,
    NotFoundError,
    RawJson,
    SessionError,
    SessionManager,
    UnavailableError,
)

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "data",
    [
        {1, 2},
        b"bytes",
        object(),
        float("nan"),
        float("inf"),
        {(1, 2): 3},
        CIRCLE,
        DEEP,
        "\ud800",
        {"a": "\udfff"},
        10**5000,
    ],
    ids=[
        "set",
        "bytes",
        "object",
        "nan",
        "inf",
        "tuple-key",
        "circle",
        "deep",
        "surrogate",
        "surrogate-inside",
        "long-number",
    ],
)
def test_data_that_is_no_json_is_refused(sessions: Any, data: Any) -> None:
    with pytest.raises(InvalidDataError):
        sessions.create(data)
    session = sessions.create({"n": 1})
    session.data = data
    for call in (sessions.save, lambda s: sessions.update(s, data=data), lambda s: sessions.renew(s, data=data)):
        with pytest.raises(InvalidDataError):
            call(session)
    assert sessions.load(session.id).data == {"n": 1}


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a': 1}", "NaN", "1 2", "\ud800", "[" * 200_000],
    ids=["empty", "open", "quotes", "nan", "two", "surrogate", "deep"],
)
def test_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidDataError):
        RawJson(text)


def test_an_exception_of_the_encoder_is_not_replaced(sessions: Any) -> None:
    class Bad(dict[str, Any]):
        def items(self) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sessions.create(Bad(a=1))


def test_what_other_json_readers_refuse_is_refused(sessions: Any) -> None:
    for text in ("1" * 400, "1e400", r'"\ud800"'):
        with pytest.raises(InvalidDataError, match="other JSON readers do not accept"):
            sessions.create(RawJson(text))
    assert sessions.load(sessions.create(RawJson("1" * 308)).id).data == int("1" * 308)


def test_data_that_is_too_large_or_too_deep_is_refused(make: Any) -> None:
    sessions = make(max_data_bytes=100)
    with pytest.raises(DataTooLargeError, match="102 bytes, and at most 100"):
        sessions.create("x" * 100)
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(InvalidDataError, match="more than 100 levels"):
        make().create(deep)


@pytest.mark.parametrize("seconds", [0, -1, 2_592_001, 2**64, -(2**200)])
def test_a_timeout_out_of_range_is_refused(sessions: Any, seconds: int) -> None:
    with pytest.raises(InvalidTimeoutError, match="from 1 to 2592000"):
        sessions.create(idle_timeout_seconds=seconds)
    session = sessions.create()
    session.absolute_timeout_seconds = seconds
    with pytest.raises(InvalidTimeoutError):
        sessions.save(session)
    with pytest.raises(InvalidTimeoutError):
        sessions.update(session, absolute_timeout_seconds=seconds)


def test_arguments_of_the_wrong_type_are_type_errors(sessions: Any) -> None:
    for id in (None, 1, b"bytes", ["list"], object()):
        for call in (sessions.load, sessions.peek, sessions.renew, sessions.clear, sessions.update, sessions.revoke):
            with pytest.raises(TypeError):
                call(id)
    for call in (sessions.save, sessions.save_if_unchanged):
        with pytest.raises(TypeError):
            call("an ID")
    for named in (
        {"subject": 1.5},
        {"subject": True},
        {"subject": b"a"},
        {"idle_timeout_seconds": "1"},
        {"idle_timeout_seconds": 1.5},
        {"unknown": 1},
    ):
        with pytest.raises(TypeError):
            sessions.create(**named)
    session = sessions.create()
    for name, value in (("id", "other"), ("created", 1), ("etag", "x"), ("idle_timeout_seconds", "x"), ("unknown", 1)):
        with pytest.raises((TypeError, AttributeError)):
            setattr(session, name, value)


@pytest.mark.parametrize("subject", ["", "x" * 257, "é" * 129])
def test_a_subject_has_1_to_256_bytes(sessions: Any, subject: str) -> None:
    with pytest.raises(ValueError, match="1 to 256 bytes"):
        sessions.create(subject=subject)
    with pytest.raises(ValueError, match="1 to 256 bytes"):
        sessions.sessions_of(subject)
    with pytest.raises(ValueError, match="128 hexadecimal digits"):
        sessions.revoke("not a loggable ID")
    with pytest.raises(ValueError):
        sessions.update(sessions.create(), data=1, if_match="not a tag")


@pytest.mark.parametrize("manager", [SessionManager, AsyncSessionManager])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id_bytes": 15}, "SESSION_ID_BYTES must be a whole number from 16 to 128; it is 15"),
        ({"id_bytes": "many"}, "SESSION_ID_BYTES must be a whole number"),
        ({"idle_timeout_seconds": -1}, "SESSION_IDLE_TIMEOUT_SECONDS must be"),
        ({"seal": "yes"}, "SESSION_SEAL must be `false`, `true` or `migrate`"),
        ({"at_max_per_subject": "ask"}, "`refuse` or `end-oldest`"),
        ({"not_before": "tomorrow"}, "SESSION_NOT_BEFORE must be a moment in RFC 3339"),
        ({"not_before": datetime(2999, 1, 1, tzinfo=timezone.utc)}, "not in the future"),
        ({"table_name": "?"}, "SESSION_TABLE_NAME must be"),
        ({"endpoint_url": "localhost:8000"}, "endpoint_url must be a URL"),
    ],
)
def test_a_setting_that_is_not_accepted_is_named(manager: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        manager(**settings)


def test_settings_of_the_wrong_kind_are_type_errors() -> None:
    settings: Any
    for settings in (
        {"id_bytes": [1]},
        {"id_bytes": 1.5},
        {"clock": 1},
        {"seal": b"x"},
        {"region": object()},
    ):
        with pytest.raises(TypeError):
            SessionManager(**settings)
    with pytest.raises(ConfigurationError, match='"unknown"'):
        SessionManager(**{"unknown": 1})  # type: ignore
    with pytest.raises(TypeError):
        SessionManager("app_session")  # type: ignore


def test_settings_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_IDLE_TIMEOUT_SECONDS", "900")
    monkeypatch.setenv("SESSION_ABSOLUTE_TIMEOUT_SECONDS", "9000")
    sessions = SessionManager(absolute_timeout_seconds=1000, max_timeout_seconds=None)
    assert (sessions.idle_timeout_seconds, sessions.absolute_timeout_seconds) == (900, 1000)
    assert sessions.max_timeout_seconds == 2_592_000
    monkeypatch.setenv("SESSION_ID_BYTES", "few")
    with pytest.raises(ConfigurationError, match="SESSION_ID_BYTES"):
        SessionManager()


def test_a_moment_before_which_all_sessions_are_dead(make: Any) -> None:
    session = make().create()
    assert make(not_before=datetime(2000, 1, 1, tzinfo=timezone.utc)).load(session.id) is not None
    later = ManualClock(datetime.now(timezone.utc))
    assert make(not_before=later.now(), clock=later).load(session.id) is not None


def test_a_table_that_is_not_there_is_refused(make: Any) -> None:
    sessions = make(table_name="there-is-no-such-table")
    for call in (sessions.create, lambda: sessions.load("A" * 43), lambda: sessions.clear("A" * 43)):
        with pytest.raises(
            MisconfiguredError, match="there is no table `there-is-no-such-table` in the Region us-east-1: create it"
        ):
            call()


def test_a_table_that_is_out_of_reach_is_unavailable(make: Any) -> None:
    with pytest.raises(UnavailableError, match="unreachable or throttled.*refused"):
        make(endpoint_url="http://127.0.0.1:9").load("A" * 43)


def test_a_record_that_another_program_wrote_is_corrupt(sessions: Any, table: Table) -> None:
    session = sessions.create()
    table.dynamodb().update_item(
        TableName=table.name,
        Key={"id": {"S": session.loggable_id}},
        UpdateExpression="REMOVE #data",
        ExpressionAttributeNames={"#data": "data"},
    )
    with pytest.raises(CorruptRecordError, match="`data`"):
        sessions.load(session.id)


def test_an_id_is_in_no_representation_exception_or_log(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sessions = make()
    session = sessions.create({"key": "secret"}, subject="alice")
    shown = [
        repr(session),
        str(session),
        f"{session}",
        repr([session]),
        repr(sessions),
        repr(sessions.sessions_of("alice")),
    ]
    sessions.clear(session)

    def attempts() -> Any:
        yield lambda: sessions.save(session)
        yield lambda: sessions.update(session.id, data={})
        yield lambda: make(table_name="no-such-table").load(session.id)
        yield lambda: make(endpoint_url="http://127.0.0.1:9").load(session.id)
        yield lambda: sessions.revoke(session.id)
        yield lambda: sessions.create(idle_timeout_seconds=session.id)
        yield lambda: sessions.load([session.id])
        yield lambda: sessions.update(session.id, data={"key": {"secret"}})

    for attempt in attempts():
        with pytest.raises((SessionError, TypeError, ValueError)) as raised:
            attempt()
        error: BaseException | None = raised.value
        while error is not None:
            shown += [repr(error), str(error), repr(error.args), repr(error.__dict__)]
            error = error.__cause__ or error.__context__
    shown.append(caplog.text)
    assert session.id not in "".join(shown) and "secret" not in "".join(shown)
    assert session.loggable_id[:16] in shown[0]


PRINTS_WHAT_IS_WRONG = """
    from dynamodb_web_session import MisconfiguredError, SessionManager
    try:
        SessionManager().create()
    except MisconfiguredError as error:
        print(error)
"""


def run(
    program: str, environment: dict[str, str], arguments: Sequence[str] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    program = textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_without_credentials_a_call_is_refused_and_says_so(table: Table, tmp_path: Any) -> None:
    environment = table.environment() | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[variable]
    ended = run(PRINTS_WHAT_IS_WRONG, environment)
    assert "no valid AWS credentials for the table `" in ended.stdout, ended.stdout + ended.stderr
    assert "set AWS_PROFILE" in ended.stdout


def test_without_a_region_a_call_fails_and_says_so(table: Table, tmp_path: Any) -> None:
    environment = table.environment() | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    del environment["AWS_REGION"]
    del environment["AWS_ENDPOINT_URL_DYNAMODB"]
    ended = run(PRINTS_WHAT_IS_WRONG, environment)
    assert "AWS_REGION must be an AWS Region" in ended.stdout, ended.stdout + ended.stderr


def test_credentials_that_dynamodb_refuses_are_named(table: Table) -> None:
    program = """
        import http.server, sys, threading
        from dynamodb_web_session import MisconfiguredError, SessionManager
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = b'{"__type":"com.amazon.coral.service#%s","message":"no"}' % sys.argv[1].encode()
                self.send_response(400)
                self.send_header("content-type", "application/x-amz-json-1.0")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *_): pass
        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            SessionManager(endpoint_url=f"http://127.0.0.1:{server.server_port}").create()
        except MisconfiguredError as error:
            print(error)
    """
    for code, advice in {
        "ExpiredTokenException": "have expired: get new ones, for example with `aws sso login`",
        "UnrecognizedClientException": "does not accept the credentials for the table `",
        "AccessDeniedException": "the credentials do not permit this call to the table `",
        "ValidationException": ": its key must be the string `id`",
    }.items():
        ended = run(program, table.environment(), arguments=[code])
        assert advice in ended.stdout and "us-east-1" in ended.stdout, ended.stdout + ended.stderr


def test_an_sso_login_that_was_never_made_is_named(table: Table, tmp_path: Any) -> None:
    profile = """
        [profile web]
        region = eu-west-1
        sso_session = work
        sso_account_id = 123456789012
        sso_role_name = web
        [sso-session work]
        sso_region = eu-west-1
        sso_start_url = https://example.awsapps.com/start
    """
    (tmp_path / "config").write_text(textwrap.dedent(profile))
    environment = table.environment() | {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "web"}
    environment["HOME"] = str(tmp_path)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        del environment[variable]
    ended = run(PRINTS_WHAT_IS_WRONG, environment)
    assert "in the Region eu-west-1" in ended.stdout and "run `aws sso login`" in ended.stdout, (
        ended.stdout + ended.stderr
    )


def test_a_hung_table_fails_in_time_and_then_at_once(make: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        sessions = make(endpoint_url=url, call_timeout_milliseconds=100)
        for _ in range(5):  # on a busy machine the second may pass in which the next call fails at once
            for _ in range(3):
                with pytest.raises(UnavailableError, match="within 100 ms|the last calls"):
                    sessions.load("A" * 43)
            with pytest.raises(UnavailableError) as failed:
                sessions.create()
            if "did not respond to the last calls" in str(failed.value):
                break
        assert "did not respond to the last calls" in str(failed.value)


def test_credentials_and_region_of_a_profile_are_used(table: Table, tmp_path: Any) -> None:
    (tmp_path / "keys").write_text('{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret"}')
    profile = f"[profile web]\nregion = eu-west-1\ncredential_process = cat {tmp_path / 'keys'}\n"
    (tmp_path / "config").write_text(profile)
    environment = table.environment() | {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "web"}
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        del environment[variable]
    # What arrives at DynamoDB tells which credentials and which Region have signed it.
    program = """
        import http.server, os, threading
        from dynamodb_web_session import SessionError, SessionManager
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                print(self.headers["authorization"].split(",")[0])
                self.send_response(400); self.end_headers()
            def log_message(self, *_): pass
        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            SessionManager(endpoint_url=f"http://127.0.0.1:{server.server_port}").create()
        except SessionError:
            pass
    """
    ended = run(program, environment)
    assert "Credential=AKIDPROCESS/" in ended.stdout, ended.stdout + ended.stderr
    assert "/eu-west-1/dynamodb/aws4_request" in ended.stdout


STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIASTS</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


@pytest.mark.parametrize("source", ["STS", "a credential process"])
def test_the_first_call_waits_for_credentials_longer_than_a_call_may_take(
    table: Table, tmp_path: Any, source: str
) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(3)  # a call may take two seconds
            self.send_response(200)
            self.end_headers()
            self.wfile.write(STS.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "token").write_text("a token")
    (tmp_path / "keys").write_text('{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret"}')
    (tmp_path / "config").write_text(f"[default]\ncredential_process = sh -c 'sleep 3; cat {tmp_path / 'keys'}'\n")
    environment = table.environment()
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[variable]
    if source == "STS":
        environment |= {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/web",
            "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{server.server_port}",
        }
    else:
        environment["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    ended = run(
        """
        from dynamodb_web_session import SessionManager
        print(SessionManager().create({"n": 1}).data)
        """,
        environment,
    )
    server.shutdown()
    assert ended.stdout == "{'n': 1}\n", ended.stdout + ended.stderr
    assert len(asked) == (source == "STS"), "it was asked once"


def test_calls_are_logged(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    sessions = make()
    caplog.set_level(logging.INFO, logger="dynamodb_web_session")
    session = sessions.log_in(sessions.create({"n": 1}), "alice")
    sessions.load(session)
    sessions.clear(session)
    with pytest.raises(NotFoundError):
        sessions.save(session)
    with pytest.raises(UnavailableError):
        make(endpoint_url="http://127.0.0.1:9").load(session.id)
    events = [(record.levelname, record.message.split()[0]) for record in caplog.records]
    assert events == [
        ("INFO", "created"),
        ("INFO", "logged-in"),
        ("INFO", "cleared"),
        ("INFO", "refused"),
        ("WARNING", "failed"),
    ]
    assert session.loggable_id in caplog.text and session.id not in caplog.text
    assert "unreachable or throttled" in caplog.records[-1].message and "refused" in caplog.records[-1].message
    caplog.clear()
    caplog.set_level(logging.DEBUG, logger="dynamodb_web_session")
    sessions.load(session)
    sessions.peek(sessions.create({}))
    assert "loaded" in caplog.text
