"""``help()`` shows what the stubs say."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from dynamodb_web_session import _core

STUB = Path(_core.__file__).with_name("_core.pyi")


def documented() -> Iterator[tuple[str, str]]:
    for statement in ast.parse(STUB.read_text()).body:
        if isinstance(statement, ast.ClassDef) and hasattr(_core, statement.name):
            for node in (statement, *statement.body):
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and (doc := ast.get_docstring(node)):
                    if node is not statement and node.name == "__new__":
                        continue  # a class has one docstring at run time
                    name = statement.name if node is statement else f"{statement.name}.{node.name}"
                    yield name, doc


@pytest.mark.parametrize(("name", "doc"), list(documented()))
def test_the_docstring_is_there_at_run_time(name: str, doc: str) -> None:
    assert inspect.getdoc(attrgetter(name)(_core)) == doc
