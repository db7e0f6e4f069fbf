"""The example applications, started as their users start them, and driven over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from conftest import Table, interruptible
from dynamodb_web_session import SessionManager

EXAMPLES = Path(__file__).parents[1] / "examples"


GUNICORN = ["gunicorn", "--preload", "--workers", "4", "--bind", "127.0.0.1:PORT"]

UWSGI = [
    str(Path(sys.executable).with_name("uwsgi")),
    "--master",
    "--processes",
    "4",
    "--http",
    "127.0.0.1:PORT",
    "--die-on-term",
    "--disable-logging",
    "--add-header",
    "Connection: close",  # it closes each connection and does not say so
]
"""Like gunicorn with ``--preload`` it loads the application and then forks, unless it is told otherwise."""


@contextmanager
def serve(table: Table, command: list[str], **environment: str) -> Iterator[str]:
    """Starts a server with ``PORT`` in its command, and yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [part.replace("PORT", str(port)) for part in command]
    if command[0] != UWSGI[0]:
        command = [sys.executable, "-m", *command]
    path = os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command,
        cwd=EXAMPLES,
        env=table.environment() | {"PYTHONPATH": path} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(url, timeout=5)
                break
            except httpx.TransportError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert "panicked" not in errors and "Traceback" not in errors, errors


def client(url: str, session_id: str | None = None, name: str = "session") -> httpx.Client:
    return httpx.Client(
        base_url=url, cookies={name: session_id} if session_id else None, follow_redirects=True, timeout=30
    )


@pytest.fixture(scope="module", params=["gunicorn", "uWSGI", "uWSGI with threads"])
def flask(table: Table, request: pytest.FixtureRequest) -> Iterator[str]:
    server = {
        "gunicorn": [*GUNICORN, "flask_app:app"],
        "uWSGI": [*UWSGI, "--module", "flask_app:app"],
        "uWSGI with threads": [*UWSGI, "--threads", "2", "--module", "flask_app:app"],
    }[request.param]
    with serve(table, server) as url:
        yield url


def test_flask_on_two_devices(flask: str, table: Table) -> None:
    sessions = SessionManager(**table.settings())
    laptop, phone = client(flask), client(flask)
    assert "visits: 1" in laptop.post("/visit").text
    planted = laptop.cookies["session"]
    for browser in (laptop, phone):
        assert "user: alice" in browser.post("/login", data={"user": "alice"}).text
    assert laptop.cookies["session"] != planted and sessions.load(planted) is None
    assert len(sessions.sessions_of("alice")) == 2
    assert "user: None" in phone.post("/everywhere").text
    assert "user: None, visits: 0" in laptop.get("/").text
    assert sessions.sessions_of("alice") == []


def test_flask_with_many_browsers(flask: str) -> None:
    """All four workers and eight browsers at once: no browser sees the session of another."""

    def browse(n: int) -> None:
        with client(flask) as browser:
            browser.post("/login", data={"user": f"user {n}"})
            for visit in range(1, 21):
                assert f"user: user {n}, visits: {visit}" in browser.post("/visit").text
            browser.post("/logout")
            assert "user: None, visits: 0" in browser.get("/").text

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(browse, range(16)))


def test_starlette_under_uvicorn(table: Table) -> None:
    with serve(table, ["uvicorn", "--port", "PORT", "--log-level", "warning", "starlette_app:app"]) as url:
        laptop, phone = client(url), client(url)
        for browser in (laptop, phone):
            set_cookie = browser.post("/login", params={"user": "bob"}).headers["set-cookie"]
            assert "Secure" in set_cookie
            browser.headers["cookie"] = set_cookie.split(";")[0]  # a browser does so on localhost
        assert laptop.post("/visit").json() == {"user": "bob", "visits": 1}
        assert phone.get("/").json() == {"user": "bob"}
        assert phone.post("/everywhere").status_code == 204
        assert laptop.get("/").json() == {}


@pytest.fixture
def users(table: Table, tmp_path: Path) -> dict[str, str]:
    """A database with the user carol."""
    environment = {"USERS": str(tmp_path / "users.sqlite3")}
    create = "import django_app as app; from django.contrib.auth.models import User; User.objects.create_user('carol', password='secret')"
    for command in (["django_app.py", "migrate", "--verbosity", "0"], ["-c", create]):
        subprocess.run([sys.executable, *command], cwd=EXAMPLES, env=table.environment() | environment, check=True)
    return environment


@pytest.mark.parametrize(
    "command",
    [
        ["django_app", "runserver", "--noreload", "PORT"],
        [*GUNICORN, "django_app:application"],
        ["uvicorn", "--port", "PORT", "--log-level", "warning", "django_app:asynchronous"],
    ],
    ids=["runserver", "gunicorn", "uvicorn"],
)
def test_django(table: Table, users: dict[str, str], command: list[str]) -> None:
    with serve(table, command, **users) as url:
        laptop, phone = client(url), client(url)
        assert laptop.get("/").json() == {"user": "", "visits": 1}
        planted = laptop.cookies["sessionid"]
        credentials = {"user": "carol", "password": "secret"}
        assert phone.post("/login", data=credentials | {"password": "wrong"}).status_code == 403
        for browser in (laptop, phone):
            assert browser.post("/login", data=credentials).json() == {"user": "carol"}
        assert laptop.cookies["sessionid"] != planted
        assert laptop.get("/").json() == {"user": "carol", "visits": 2}
        assert client(url, planted, "sessionid").get("/").status_code == 400, (
            "the page counts, and the ID is an old one"
        )
        assert laptop.post("/password", data={"password": "new"}).status_code == 200
        assert laptop.get("/").json()["user"] == "carol"
        assert phone.get("/").json()["user"] == ""
        laptop.post("/logout")
        assert laptop.get("/").json() == {"user": "", "visits": 1}


def test_the_embedded_dynamodb_as_a_program(tmp_path: Path) -> None:
    data = tmp_path / "sessions.db"

    def start() -> tuple[subprocess.Popen[str], SessionManager]:
        command = [
            sys.executable,
            "-m",
            "dynamodb_web_session",
            "local",
            "--port",
            "0",
            "--data",
            str(data),
            "--table",
            "mine",
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[3].startswith("export AWS_ACCESS_KEY_ID=local ")
        url = lines[2].strip().removeprefix("export AWS_ENDPOINT_URL_DYNAMODB=")
        return process, SessionManager(endpoint_url=url, table_name="mine")

    process, sessions = start()
    session = sessions.create({"n": 1})
    process.send_signal(2)
    assert process.wait(30) == 0
    process, sessions = start()
    loaded = sessions.load(session.id)
    assert loaded is not None and loaded.data == {"n": 1}
    process.terminate()
    assert process.wait(30) == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "dynamodb_web_session", "local", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1 and f"error: cannot serve DynamoDB on port {port}" in ended.stderr
