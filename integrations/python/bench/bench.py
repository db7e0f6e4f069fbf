"""Measures the package beside the library ``dynamodb-session-web`` with boto3, and Flask's sessions beside others.

    python3 integrations/python/bench/bench.py          # prints the tables
    python3 integrations/python/bench/bench.py write    # puts them into docs/performance.md, with the plot

Everything runs on this machine: the embedded DynamoDB is a process of its own. Each figure is a median of blocks that are
interleaved with those of the others.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[2] / "docs" / "performance.md"
PLOT = HERE.parents[2] / "docs" / "performance-python.svg"
DATA = {"text": "x" * 1000}
BLOCKS, CALLS = 10, 200
STARTS = 21


@contextmanager
def dynamodb() -> Iterator[str]:
    command = [sys.executable, "-m", "dynamodb_web_session", "local", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    yield lines[2].strip().removeprefix("export AWS_ENDPOINT_URL_DYNAMODB=")
    process.terminate()
    process.wait()


@contextmanager
def tls_before(url: str, folder: str) -> Iterator[str]:
    """TLS in front of ``url``, with a certificate that ``AWS_CA_BUNDLE`` names."""
    key, certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    extension = ["-addext", "basicConstraints=critical,CA:FALSE"]
    command = ["openssl", "req", "-x509", *kind, *names, *extension, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    os.environ["AWS_CA_BUNDLE"] = certificate
    proxy = subprocess.Popen(
        [sys.executable, str(HERE / "tls.py"), url, certificate, key], stdout=subprocess.PIPE, text=True
    )
    assert proxy.stdout is not None
    yield proxy.stdout.readline().strip()
    proxy.terminate()
    proxy.wait()


def library_table() -> None:
    """The library's table, on the same DynamoDB."""
    import boto3

    boto3.client("dynamodb").create_table(
        TableName="library",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def interleaved(calls: dict[str, Callable[[], Any]], count: int = CALLS) -> dict[str, tuple[float, float]]:
    """The CPU and the time of one call of each, in microseconds: medians of the blocks."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for block in range(BLOCKS + 1):
        for name, call in calls.items():
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(count):
                call()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if block > 0:  # the first one warms up
                figures[name].append((cpu / count * 1e6, wall / count * 1e6))
    return {
        name: (statistics.median(cpu for cpu, _ in blocks), statistics.median(wall for _, wall in blocks))
        for name, blocks in figures.items()
    }


def in_process() -> dict[str, tuple[float, float]]:
    import dynamodb_session_web

    from dynamodb_web_session import SessionManager

    ours, theirs = SessionManager(), dynamodb_session_web.SessionManager(table_name="library")
    mine = ours.create(DATA)
    library = theirs.create()
    library.update(DATA)
    theirs.save(library)
    return interleaved(
        {
            "load": lambda: ours.load(mine.id).data["text"],  # type: ignore[union-attr]
            "library load": lambda: theirs.load(library.session_id)["text"],
            "save": lambda: ours.save(mine),
            "library save": lambda: theirs.save(library),
            "create": lambda: ours.create(DATA),
            "library create": theirs.create_and_save,
        }
    )


START = """
import time
start = time.perf_counter()
{program}
print(time.perf_counter() - start)
"""
OURS = "from dynamodb_web_session import SessionManager; assert SessionManager().load({id!r}).data['text']"
THEIRS = (
    "from dynamodb_session_web import SessionManager; assert SessionManager(table_name='library').load({id!r})['text']"
)


def starts(url: str) -> tuple[float, float]:
    """From the import to the end of the first load over TLS, in milliseconds."""
    import dynamodb_session_web

    from dynamodb_web_session import SessionManager

    library = dynamodb_session_web.SessionManager(table_name="library")
    session = library.create()
    session.update(DATA)
    library.save(session)
    programs = [
        OURS.format(id=SessionManager().create(DATA).id),
        THEIRS.format(id=session.session_id),
    ]
    environment = os.environ | {"AWS_ENDPOINT_URL_DYNAMODB": url}
    figures: list[list[float]] = [[], []]
    for _ in range(STARTS):
        for place, program in enumerate(programs):
            command = [sys.executable, "-c", START.format(program=program)]
            ended = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            figures[place].append(float(ended.stdout) * 1000)
    return statistics.median(figures[0]), statistics.median(figures[1])


def flask_requests() -> dict[str, tuple[float, float]]:
    """A request that reads a session of 1 KB, from the WSGI server's call to the last byte."""
    import boto3
    from dynamodb_session_flask import DynamoDbSession
    from flask import Flask, session
    from flask_session import Session
    from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

    from dynamodb_web_session.flask import DynamoDbSessions

    def application(name: str) -> Callable[[], Any]:
        app = Flask(name)
        app.config.update(SESSION_COOKIE_NAME="id", SESSION_COOKIE_SECURE=False)
        if name == "ours":
            DynamoDbSessions(app)
        elif name == "Flask-Session":
            app.config.update(SESSION_TYPE="dynamodb", SESSION_DYNAMODB=boto3.resource("dynamodb"))
            Session(app)
        else:
            app.config.update(SESSION_DYNAMODB_TABLE_NAME="library", SESSION_DYNAMODB_ENDPOINT_URL=None)
            app.session_interface = DynamoDbSession()

        @app.post("/")
        def store() -> str:
            session["text"] = DATA["text"]
            return ""

        @app.get("/")
        def read() -> str:
            return str(len(session["text"]))

        cookie = Client(app).post("/").headers["set-cookie"].split(";")[0]
        environ = EnvironBuilder("/", headers={"cookie": cookie}).get_environ()

        def request() -> None:
            body, status, _ = run_wsgi_app(app, dict(environ))
            assert status == "200 OK" and b"".join(body) == b"1000", status

        return request

    names = ("ours", "Flask-Session", "dynamodb-session-flask")
    return interleaved({name: application(name) for name in names}, 50)


def threads() -> dict[int, tuple[float, float]]:
    """Loads a second, and CPU of a load, with so many threads of this process."""
    from dynamodb_web_session import SessionManager

    sessions = SessionManager()
    id = sessions.create(DATA).id

    def load(count: int) -> None:
        for _ in range(count):
            sessions.load(id)

    figures: dict[int, list[tuple[float, float]]] = {1: [], 2: [], 8: [], 32: []}
    total = 3200
    for block in range(6):
        for count, blocks in figures.items():
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(load, [1] * count))
                cpu, wall = time.process_time(), time.perf_counter()
                list(pool.map(load, [total // count] * count))
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if block:
                blocks.append((total / wall, cpu / total * 1e6))
    return {
        count: (statistics.median(rate for rate, _ in blocks), statistics.median(cpu for _, cpu in blocks))
        for count, blocks in figures.items()
    }


def awaits() -> tuple[float, float, int]:
    """With 200 awaits at once on one thread: loads a second, the longest turn of the event loop in milliseconds, and the
    threads of the process that are Python's."""
    from dynamodb_web_session import AsyncSessionManager

    async def measure() -> tuple[float, float, int]:
        sessions = AsyncSessionManager()
        id = (await sessions.create(DATA)).id
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - before)

        await asyncio.gather(*(sessions.load(id) for _ in range(200)))
        ticker = asyncio.create_task(tick())
        start = time.perf_counter()
        for _ in range(20):
            await asyncio.gather(*(sessions.load(id) for _ in range(200)))
        rate = 4000 / (time.perf_counter() - start)
        ticker.cancel()
        return rate, longest * 1000, threading.active_count()

    return asyncio.run(measure())


def memory() -> tuple[float, float]:
    """The memory of the process after 10,000 and after 100,000 calls, in MiB."""
    program = """
import asyncio, os
from dynamodb_web_session import AsyncSessionManager, SessionManager
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
sessions, later = SessionManager(), AsyncSessionManager()
def use(count):
    session = sessions.create({"text": "x" * 1000})
    for _ in range(count // 4):
        sessions.load(session.id).data
        sessions.save(session)
async def use_async(count):
    session = await later.create({"text": "x" * 1000})
    for _ in range(count // 40):
        await asyncio.gather(*(later.load(session.id) for _ in range(20)))
use(10_000); asyncio.run(use_async(10_000))
print(resident())
use(90_000); asyncio.run(use_async(90_000))
print(resident())
"""
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    before, after = map(float, ended.stdout.split())
    return before, after


def row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def report(figures: dict[str, Any]) -> str:
    calls, flask, rates = figures["calls"], figures["flask"], figures["threads"]
    ours, theirs = figures["starts"]
    lines = [
        f"`python3 integrations/python/bench/bench.py write`, on {datetime.date.today()}, {os.cpu_count()} cores,"
        f" Linux {platform.release()}, Python {platform.python_version()}.",
        "",
        row("call, 1 KB", "CPU, µs", "time, µs", "library: CPU, µs", "time, µs", "CPU, library to ours"),
        row("---", *["---:"] * 5),
    ]
    for call in ("load", "save", "create"):
        (cpu, wall), (library_cpu, library_wall) = calls[call], calls[f"library {call}"]
        figures_of_call = (f"{value:.0f}" for value in (cpu, wall, library_cpu, library_wall))
        lines.append(row(call, *figures_of_call, f"{library_cpu / cpu:.1f}"))
    lines += [
        "",
        row("a Flask request that reads a session", "requests a second", "CPU, µs"),
        row("---", "---:", "---:"),
    ]
    lines += [row(name, f"{1e6 / wall:.0f}", f"{cpu:.0f}") for name, (cpu, wall) in flask.items()]
    lines += ["", row("threads", "loads a second", "CPU of a load, µs"), row("---:", "---:", "---:")]
    lines += [row(count, f"{rate:.0f}", f"{cpu:.0f}") for count, (rate, cpu) in rates.items()]
    rate, longest, active = figures["awaits"]
    before, after = figures["memory"]
    load = calls["library load"][0] / calls["load"][0]
    others = {name: wall / flask["ours"][1] for name, (_, wall) in flask.items() if name != "ours"}
    one, many = rates[1][0], rates[32][0]
    ratios = [
        ("CPU of a load, library to ours", load, 10, 12),
        ("import to the end of the first load over TLS, library to ours", theirs / ours, 20, 40),
        *((f"Flask requests a second, ours to {name}", ratio, 3, None) for name, ratio in others.items()),
        ("loads a second, 32 threads to one", many / one, 1, None),
    ]
    lines += ["", row("ratio", "measured", "must", "met", "aim"), row("---", "---:", "---:", "---", "---:")]
    for name, measured, must, aim in ratios:
        met = "yes" if measured >= must else "**no**"
        lines.append(row(name, f"{measured:.1f}", f"≥ {must}", met, f"≥ {aim}" if aim else ""))
    lines += [
        "",
        f"From the import to the end of the first load over TLS: {ours:.1f} ms (library: {theirs:.0f} ms). With 200 awaits at"
        f" once on one thread: {rate:.0f} loads a second, and no turn of the event loop took longer than {longest:.0f} ms,"
        f" in {active} Python thread. After 10,000 calls the process had {before:.1f} MiB, after 100,000 {after:.1f} MiB.",
    ]
    return "\n".join(lines) + "\n"


def plot(figures: dict[str, Any]) -> str:
    """Bars of CPU: ours beside the others'."""
    calls, flask = figures["calls"], figures["flask"]
    bars = [
        (f"{call}{', library' * theirs}", calls["library " * theirs + call][0], theirs)
        for call in ("load", "save", "create")
        for theirs in (False, True)
    ]
    bars += [
        (f"Flask request, {name}", cpu, name != "ours")
        for name, (cpu, _) in flask.items()
        if name != "dynamodb-session-flask"
    ]
    longest = max(value for _, value, _ in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{len(bars) * 26 + 40}" font-family="sans-serif" font-size="13">',
        f'<rect width="720" height="{len(bars) * 26 + 40}" fill="#fff"/>',
        '<text x="10" y="22" font-weight="bold">CPU of one call with 1 KB, microseconds</text>',
    ]
    for place, (name, value, theirs) in enumerate(bars):
        y, width = place * 26 + 36, value / longest * 420
        parts.append(f'<text x="210" y="{y + 14}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="218" y="{y}" width="{width:.0f}" height="18" fill="{"#999" if theirs else "#2a7"}"/>')
        parts.append(f'<text x="{224 + width:.0f}" y="{y + 14}">{value:.0f}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    os.environ.update(
        AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1"
    )
    with dynamodb() as url, tempfile.TemporaryDirectory() as folder:
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = url
        library_table()
        with tls_before(url, folder) as tls:
            first_load = starts(tls)
        del os.environ["AWS_CA_BUNDLE"]
        figures = {
            "starts": first_load,
            "calls": in_process(),
            "flask": flask_requests(),
            "threads": threads(),
            "awaits": awaits(),
            "memory": memory(),
        }
    text = report(figures)
    print(text)
    print(json.dumps(figures))
    print("peak memory, MiB:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if sys.argv[1:] == ["write"]:
        before, rest = DOCUMENT.read_text().split("<!-- python -->\n")
        _, after = rest.split("<!-- end of python -->\n")
        DOCUMENT.write_text(f"{before}<!-- python -->\n\n{text}\n<!-- end of python -->\n{after}")
        PLOT.write_text(plot(figures))


if __name__ == "__main__":
    main()
