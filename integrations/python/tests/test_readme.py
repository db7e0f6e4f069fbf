"""The code in README.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from starlette.testclient import TestClient

from conftest import Table
from test_errors import run

BLOCKS = re.findall(r"^```python\n(.*?)^```", (Path(__file__).parents[1] / "README.md").read_text(), re.M | re.S)
FIRST, CLOCK, FIXTURE, FLASK, DJANGO_SETTINGS, DJANGO, STARLETTE, COMPAT = BLOCKS


def test_the_first_program_prints_what_it_says(table: Table) -> None:
    assert FIRST.endswith("\n# None\n")
    ended = run(FIRST, table.environment())
    assert (ended.stdout, ended.returncode) == ("None\n", 0), ended.stderr


def test_the_embedded_dynamodb_and_the_clock(table: Table) -> None:
    ended = run(CLOCK, table.environment() | {"SESSION_TABLE_NAME": "app_session"})
    assert ended.returncode == 0, ended.stderr


@pytest.fixture
def environment(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in table.environment().items():
        monkeypatch.setenv(variable, value)


def test_the_flask_application(environment: None) -> None:
    names: dict[str, Any] = {"authenticate": lambda: "alice", "__name__": "readme"}
    exec(FLASK, names)
    app: Flask = names["app"]
    laptop, phone = (app.test_client() for _ in range(2))
    for client in (laptop, phone):
        assert client.post("/login", base_url="https://localhost").text == "welcome"
    assert laptop.post("/password", base_url="https://localhost").text == "changed"
    with phone.session_transaction(base_url="https://localhost") as session:
        assert "user" not in session


def test_the_login_on_the_first_page_of_the_project(environment: None) -> None:
    page = (Path(__file__).parents[3] / "README.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    names: dict[str, Any] = {"authenticate": lambda form: form["user"], "__name__": "readme"}
    exec(block, names)
    client = names["app"].test_client()
    response = client.post("/login", data={"user": "alice"}, base_url="https://localhost")
    assert response.text == "welcome" and "session=" in response.headers["set-cookie"]


def test_the_starlette_application(environment: None) -> None:
    async def authenticate(_: Any) -> str:
        return "alice"

    names: dict[str, Any] = {"authenticate": authenticate}
    exec(STARLETTE, names)
    response = TestClient(names["app"], base_url="https://localhost").post("/login")
    assert response.text == "welcome" and "session=" in response.headers["set-cookie"]


def test_the_other_blocks_are_python() -> None:
    for block in (DJANGO_SETTINGS, DJANGO, COMPAT):
        compile(block, "README.md", "exec")
    names: dict[str, Any] = {"INSTALLED_APPS": []}
    exec(DJANGO_SETTINGS + COMPAT, names)
    assert names["SESSION_ENGINE"] == "dynamodb_web_session.django"
