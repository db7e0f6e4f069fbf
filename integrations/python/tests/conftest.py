"""Fixtures: a table of its own for each test module, on the embedded DynamoDB or at ``AWS_ENDPOINT_URL_DYNAMODB``."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
                return await getattr(self._sessions, name)(*arguments, **named)

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
