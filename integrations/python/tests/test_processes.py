"""Threads, forks, signals, event loops, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from conftest import Table, interruptible
from dynamodb_web_session import AsyncSessionManager, NotFoundError, Session, SessionManager, UnavailableError
from test_errors import run


@pytest.fixture
def manager(table: Table) -> SessionManager:
    return SessionManager(**table.settings())


def data(session: Session | None) -> Any:
    assert session is not None
    return session.data


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_threads_share_a_manager(manager: SessionManager) -> None:
    def use(n: int) -> None:
        session = manager.create({"n": n})
        for _ in range(20):
            assert data(manager.load(session.id)) == {"n": n}
        manager.clear(session.id)
        assert manager.load(session.id) is None

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(use, range(64)))


def test_threads_that_end_leave_the_connections_usable(manager: SessionManager) -> None:
    session = manager.create({})
    for _ in range(50):
        thread = threading.Thread(target=lambda: manager.load(session.id))
        thread.start()
        thread.join()
    assert manager.load(session.id) is not None


def test_one_session_object_in_many_threads(manager: SessionManager) -> None:
    session = manager.create({"n": 0})

    def save(n: int) -> None:
        session.data = {"n": n}
        manager.save(session)
        assert set(session.data) == {"n"}

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(save, range(200)))
    assert data(manager.load(session.id))["n"] in range(200)


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has a GIL")
def test_the_import_does_not_turn_the_gil_on() -> None:
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined]


def test_a_first_call_imports_neither_logging_nor_threading(table: Table) -> None:
    program = f"""
        import sys
        from dynamodb_web_session import SessionManager
        before = set(sys.modules)
        manager = SessionManager(**{table.settings()!r})
        assert manager.load(manager.create({{"n": 1}}).id).data == {{"n": 1}}
        print({{"logging", "threading"}} & (set(sys.modules) - before))
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("set()\n", "")


def test_a_call_does_not_hold_the_gil(silent: str, table: Table) -> None:
    waiting = SessionManager(**table.settings() | {"endpoint_url": silent})
    thread = threading.Thread(target=lambda: pytest.raises(UnavailableError, waiting.load, "A" * 43))
    thread.start()
    manager = SessionManager(**table.settings())
    for _ in range(20):
        manager.create({})
    assert thread.is_alive(), "twenty calls were made while one waited"
    thread.join()


def test_a_fork_has_connections_of_its_own(manager: SessionManager) -> None:
    """As under gunicorn with --preload: the manager was used before the fork, and is used after it by both."""
    session = manager.create({"n": 0})
    children = []
    for n in range(8):
        child = os.fork()
        if child == 0:
            try:
                mine = manager.create({"child": n})
                for _ in range(20):
                    assert data(manager.load(session.id)) == {"n": 0}
                    assert data(manager.load(mine.id)) == {"child": n}
                del mine
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
        assert data(manager.load(session.id)) == {"n": 0}
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert manager.load(session.id) is not None


def test_a_fork_while_other_threads_are_in_calls(manager: SessionManager) -> None:
    session = manager.create({"n": 0})
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            manager.load(session.id)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                os._exit(0 if manager.load(session.id) is not None else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
    for thread in threads:
        thread.join()


def test_a_fork_that_ends_as_programs_do(table: Table) -> None:
    """The child drops what it has inherited, at its interpreter's end."""
    program = """
        import asyncio, os
        from dynamodb_web_session import AsyncSessionManager, SessionManager
        from dynamodb_web_session.embedded import EmbeddedDynamoDb
        local, sessions, more = EmbeddedDynamoDb(), SessionManager(), AsyncSessionManager()
        id = sessions.create({"n": 1}).id
        async def load():
            return (await more.load(id)).data
        print(asyncio.run(load()))
        if os.fork():
            print(os.waitstatus_to_exitcode(os.wait()[1]), sessions.load(id).data, asyncio.run(load()))
        else:
            sessions = more = local = None
    """
    ended = run(program, table.environment())
    assert ended.stdout == "{'n': 1}\n0 {'n': 1} {'n': 1}\n", ended.stdout + ended.stderr


def start(program: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-uc", textwrap.dedent(program)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )


def test_ctrl_c_ends_a_call(silent: str, table: Table) -> None:
    program = """
        from dynamodb_web_session import SessionManager
        sessions = SessionManager()
        print("ready")
        sessions.load("A" * 43)
        print("loaded")
    """
    process = start(program, table.environment() | {"AWS_ENDPOINT_URL_DYNAMODB": silent})
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.2)  # Python has to be in the call; before it, Ctrl-C ends any program
    process.send_signal(2)
    output, errors = process.communicate(timeout=30)
    assert output == "" and "KeyboardInterrupt" in errors and process.returncode == -2


@pytest.fixture
def slow(table: Table) -> Iterator[str]:
    """The URL of the table, where each message takes a fifth of a second more."""
    target = urlsplit(table.url)

    def forward(source: socket.socket, to: socket.socket, delay: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(delay)
                to.sendall(data)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((target.hostname or "", target.port or 0))
                for source, to, delay in [(client, server, 0.2), (server, client, 0.0)]:
                    threading.Thread(target=forward, args=(source, to, delay), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_ctrl_c_ends_a_revocation_after_its_last_session(slow: str, table: Table) -> None:
    sessions = SessionManager(**table.settings())
    ids = [sessions.create({}, subject="interrupted").id for _ in range(40)]
    program = """
        from dynamodb_web_session import SessionManager
        sessions = SessionManager()
        print("ready")
        sessions.revoke_all("interrupted")
        print("revoked")
    """
    process = start(program, table.environment() | {"AWS_ENDPOINT_URL_DYNAMODB": slow})
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.3)  # Python has to be in the call
    process.send_signal(2)
    output, errors = process.communicate(timeout=30)
    assert output == "" and "KeyboardInterrupt" in errors and process.returncode == -2
    assert [id for id in ids if sessions.load(id)] == []


def test_a_process_that_exits_ends_its_revocation_first(slow: str, table: Table) -> None:
    sessions = SessionManager(**table.settings())
    ids = [sessions.create({}, subject="exited").id for _ in range(40)]
    program = """
        import asyncio
        from dynamodb_web_session import AsyncSessionManager
        async def main():
            sessions = AsyncSessionManager()
            await sessions.load("A" * 43)  # it is connected
            revocation = asyncio.ensure_future(sessions.revoke_all("exited"))
            await asyncio.sleep(0.3)  # the revocation has begun
            print("exits", revocation.done())
        asyncio.run(main())
    """
    ended = run(program, table.environment() | {"AWS_ENDPOINT_URL_DYNAMODB": slow})
    assert (ended.returncode, ended.stdout) == (0, "exits False\n"), ended.stderr
    assert [id for id in ids if sessions.load(id)] == []


def test_a_signal_handler_can_make_calls(silent: str, table: Table) -> None:
    program = f"""
        import signal
        from dynamodb_web_session import SessionManager
        silent, sessions = SessionManager(endpoint_url="{silent}"), SessionManager()
        def handle(*_):
            print(sessions.create({{"n": 1}}).data, flush=True)
            raise SystemExit(3)
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        silent.load("A" * 43)
    """
    ended = run(program, table.environment())
    assert (ended.returncode, ended.stdout) == (3, "{'n': 1}\n"), ended.stderr


@pytest.mark.parametrize("kind", ["daemon thread", "daemon threads that go on", "event loop"])
def test_the_interpreter_ends_while_a_call_waits(silent: str, table: Table, kind: str) -> None:
    program = f"""
        import asyncio, threading, time
        from dynamodb_web_session import AsyncSessionManager, SessionManager, UnavailableError
        def go_on():
            while True:
                try:
                    SessionManager(call_timeout_milliseconds=50).load("A" * 43)
                except UnavailableError:
                    pass
        if "{kind}" == "daemon threads that go on":
            for _ in range(30):
                threading.Thread(target=go_on, daemon=True).start()
            time.sleep(0.5)
        elif "{kind}" == "daemon thread":
            for _ in range(4):
                threading.Thread(target=SessionManager().load, args=("A" * 43,), daemon=True).start()
            time.sleep(0.2)
        else:
            sessions = AsyncSessionManager()
            async def main():
                global pending
                pending = [sessions.load("A" * 43) for _ in range(4)]
                await asyncio.sleep(0.2)
            asyncio.run(main())
        print("end")
    """
    ended = run(program, table.environment() | {"AWS_ENDPOINT_URL_DYNAMODB": silent})
    assert (ended.returncode, ended.stdout) == (0, "end\n"), ended.stderr
    assert "panicked" not in ended.stderr and "Fatal" not in ended.stderr


def test_calls_at_the_interpreters_end(table: Table) -> None:
    program = """
        import atexit
        from dynamodb_web_session import SessionManager
        sessions = SessionManager()
        atexit.register(lambda: print(sessions.create({"n": 1}).data))
        class Last:
            def __del__(self, sessions=sessions):
                try:
                    print(sessions.create({"n": 2}).data)
                except BaseException as error:
                    print(type(error).__name__)
        last = Last()
    """
    for _ in range(10):
        ended = run(program, table.environment())
        assert ended.returncode == 0 and ended.stdout.startswith("{'n': 1}\n"), ended.stderr
        assert "panicked" not in ended.stderr


def test_many_awaits_on_one_thread(table: Table, silent: str) -> None:
    async def main() -> None:
        sessions = AsyncSessionManager(**table.settings())
        settings = table.settings() | {"endpoint_url": silent, "call_timeout_milliseconds": 10_000}
        hung = AsyncSessionManager(**settings)
        waiting = asyncio.create_task(hung.load("A" * 43))
        session = await sessions.create({"n": 1})
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        # A server has room for 128 connections that it has not accepted yet; these stay open.
        for connections in (64, 128, 192):
            await asyncio.gather(*(sessions.load(session.id) for _ in range(connections)))
        ticker = asyncio.create_task(tick())
        before = threading.active_count()
        loaded = await asyncio.gather(*(sessions.load(session.id) for _ in range(200)))
        assert [data(each) for each in loaded] == [{"n": 1}] * 200
        assert ticks > 10, "the event loop ran meanwhile"
        assert threading.active_count() == before
        assert not waiting.done()
        waiting.cancel()
        ticker.cancel()

    asyncio.run(main())


def test_a_cancelled_call_is_given_up(table: Table, silent: str) -> None:
    async def main() -> None:
        sessions = AsyncSessionManager(**table.settings() | {"endpoint_url": silent})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sessions.load("A" * 43), 0.1)
        working = AsyncSessionManager(**table.settings())
        task = asyncio.ensure_future(working.create({}))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await working.create({"n": 1})).data == {"n": 1}

    asyncio.run(main())


def test_event_loops_one_after_another_and_in_threads(table: Table) -> None:
    sessions = AsyncSessionManager(**table.settings())

    async def use() -> Any:
        session = await sessions.create({"n": 1})
        with pytest.raises(NotFoundError):
            await sessions.update("A" * 43, data={})
        return data(await sessions.load(session.id))

    for _ in range(3):
        assert asyncio.run(use()) == {"n": 1}
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: asyncio.run(use()), range(8))) == [{"n": 1}] * 8


def test_a_method_needs_an_event_loop_of_asyncio(table: Table) -> None:
    import anyio

    async def load() -> None:
        with pytest.raises(RuntimeError, match="needs a running event loop of asyncio; trio has none"):
            await AsyncSessionManager(**table.settings()).load("A" * 43)

    anyio.run(load, backend="trio")


def test_methods_are_coroutines(table: Table) -> None:
    async def main() -> None:
        sessions = AsyncSessionManager(**table.settings())
        created = await asyncio.create_task(sessions.create({"n": 1}))
        task = asyncio.create_task(sessions.load(created.id))
        assert data(await task) == {"n": 1}
        assert asyncio.iscoroutine(unused := sessions.load(created.id))
        unused.close()

    asyncio.run(main())


def test_a_program_that_ends_soon_after_its_last_call_does_not_abort(table: Table) -> None:
    program = """
        import asyncio
        from dynamodb_web_session import AsyncSessionManager

        sessions = AsyncSessionManager()

        class Slow(asyncio.SelectorEventLoop):
            def call_soon_threadsafe(self, *arguments, **named):
                handle = super().call_soon_threadsafe(*arguments, **named)
                time.sleep(0.005)  # the thread of the calls is still here when the main one goes on
                return handle

        import time
        loop = Slow()
        loop.run_until_complete(asyncio.wait_for(sessions.create({"n": 1}), 60))
        print("done")
    """
    for _ in range(10):
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], env=table.environment(), capture_output=True, text=True
        )
        assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_logins_after_a_fork_have_tokens_of_their_own(manager: SessionManager) -> None:
    """DynamoDB refuses a transaction whose token it has seen in the last ten minutes."""
    manager.create()
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                for _ in range(10):
                    manager.log_in(manager.create({"n": 1}), "forked", data={"n": 2})
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
