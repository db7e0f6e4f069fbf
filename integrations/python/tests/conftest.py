"""Fixtures: a table of its own for each test module, on the embedded DynamoDB or at ``AWS_ENDPOINT_URL_DYNAMODB``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import isawaitable
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from dynamodb_web_session import AsyncSessionManager, ManualClock, SessionManager
from dynamodb_web_session.embedded import EmbeddedDynamoDb

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
os.environ.update(KEYS)


@dataclass
class Table:
    url: str
    name: str

    def environment(self) -> dict[str, str]:
        """The environment of a program that uses this table."""
        return {**os.environ, "AWS_ENDPOINT_URL_DYNAMODB": self.url, "SESSION_TABLE_NAME": self.name}

    def settings(self) -> dict[str, Any]:
        return {"endpoint_url": self.url, "table_name": self.name}

    def dynamodb(self) -> Any:
        import boto3  # type: ignore[import-untyped]

        return boto3.client("dynamodb", endpoint_url=self.url, region_name="us-east-1")

    def records(self) -> int:
        return len(self.dynamodb().scan(TableName=self.name)["Items"])


ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache"

# What is left of two requests at once: the same cases for every framework.
AT_ONCE = json.loads((ROOT / "tests/cases/requests_at_once.json").read_text())


def changes(given: Any) -> dict[str, str]:
    """The query of a request to ``/change``."""
    return {"changes": json.dumps(given)}


def source(package: str, version: str) -> Path:
    """The source distribution of a package, which has its own tests. It is downloaded, and no part of this project."""
    name = f"{package.lower()}-{version}"
    if not (CACHE / name).is_dir():
        CACHE.mkdir(exist_ok=True)
        download = ["pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", str(CACHE)]
        subprocess.run([sys.executable, "-m", *download, f"{package}=={version}"], check=True)
        with tarfile.open(CACHE / f"{name}.tar.gz") as archive:
            archive.extractall(CACHE)
    return CACHE / name


class Proxy:
    """In front of the table: it lists the operations, and can be an outage."""

    def __init__(self, upstream: str) -> None:
        self.operations: list[str] = []
        self.is_outage = False
        proxy, address = self, urlsplit(upstream)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                proxy.operations.append(self.headers["x-amz-target"].split(".")[1])
                if proxy.is_outage:
                    status, headers, answer = (
                        500,
                        {},
                        b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}',
                    )
                else:
                    connection = HTTPConnection(address.hostname or "", address.port)
                    connection.request("POST", "/", body, dict(self.headers))
                    response = connection.getresponse()
                    status, headers, answer = response.status, dict(response.headers), response.read()
                    connection.close()
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, act: Callable[[], Any]) -> list[str]:
        """The operations that something asks for."""
        self.operations.clear()
        act()
        return list(self.operations)

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.is_outage = True
        yield
        self.is_outage = False


@pytest.fixture
def proxy(table: Table) -> Iterator[Proxy]:
    proxy = Proxy(table.url)
    yield proxy
    proxy.server.shutdown()


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    name = f"sessions-{uuid.uuid4()}"
    url = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")
    if url is None:
        local = EmbeddedDynamoDb(table_name=name)
        yield Table(local.url, name)
    else:
        table = Table(url, name)
        table.dynamodb().create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield table


def interruptible() -> None:
    """For ``preexec_fn``: Ctrl-C works in the child, even if these tests run in a shell's background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Blocking:
    """The methods of an ``AsyncSessionManager``, each run to its end."""

    def __init__(self, sessions: AsyncSessionManager, event_loop: asyncio.AbstractEventLoop) -> None:
        self._sessions, self._loop = sessions, event_loop

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            async def run() -> Any:
                result = getattr(self._sessions, name)(*arguments, **named)
                return await result if isawaitable(result) else result

            return self._loop.run_until_complete(run())

        return call


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, table: Table, clock: ManualClock) -> Iterator[Any]:
    """Makes session managers: the synchronous and the asynchronous one must do the same."""
    event_loop = asyncio.new_event_loop()

    def make(**settings: Any) -> Any:
        settings = table.settings() | {"clock": clock} | settings
        if request.param == "sync":
            return SessionManager(**settings)
        return Blocking(AsyncSessionManager(**settings), event_loop)

    yield make
    event_loop.close()


@pytest.fixture
def sessions(make: Any) -> Any:
    return make()
