"""The Python code in docs/integrations.md, and the moves from other libraries that it describes."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from starlette.testclient import TestClient

from conftest import Table
from dynamodb_web_session import SessionManager
from dynamodb_web_session.flask import DynamoDbSessions

PAGE = (Path(__file__).parents[3] / "docs" / "integrations.md").read_text()
FLASK, FASTAPI, MOVE, FLASK_MOVE, DJANGO = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(autouse=True)
def environment(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in table.environment().items():
        monkeypatch.setenv(variable, value)


def test_the_flask_application() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(FLASK, names)
    response = names["app"].test_client().post("/login")
    assert response.text == "welcome" and response.headers["set-cookie"].startswith("session=")


def test_the_fastapi_application() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(FASTAPI, names)
    response = TestClient(names["app"], base_url="https://localhost").post("/login")
    assert response.json() == "welcome" and response.headers["set-cookie"].startswith("session=")


def test_sessions_of_the_library_are_moved(table: Table) -> None:
    import dynamodb_session_web as library

    table.dynamodb().create_table(
        TableName="old-sessions",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    old_manager = library.SessionManager(table_name="old-sessions", endpoint_url=table.url, region_name="us-east-1")
    old = old_manager.create()
    old["cart"] = ["apple"]
    old_manager.save(old)
    names: dict[str, Any] = {
        "sessions": SessionManager(),
        "old_manager": old_manager,
        "SessionDictInstance": library.SessionDictInstance,
    }
    exec(MOVE, names)
    moved = names["load_or_move"](old.session_id)
    assert moved.data == {"cart": ["apple"]} and moved.id != old.session_id
    assert names["load_or_move"](moved.id).data == {"cart": ["apple"]}
    assert names["load_or_move"](old.session_id) is None, "it is moved once"
    table.dynamodb().delete_table(TableName="old-sessions")


def test_the_code_that_moves_sessions_of_flask() -> None:
    app = Flask("new")
    exec(FLASK_MOVE, {"app": app, "DynamoDbSessions": DynamoDbSessions})
    assert isinstance(app.session_interface, DynamoDbSessions) and app.session_interface.moving is not None


def test_the_comparison_of_requests_at_once_is_as_the_page_says() -> None:
    bench = Path(__file__).parents[1] / "bench/at_once.py"
    ended = subprocess.run([sys.executable, str(bench)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout in PAGE


def test_the_setting_that_moves_djangos_sessions() -> None:
    names: dict[str, Any] = {}
    exec(DJANGO, names)
    move = names["DYNAMODB_SESSION_MOVE"]
    assert datetime.fromisoformat(move["until"]).year > 2026
    assert find_spec(move["engine"]) is not None
