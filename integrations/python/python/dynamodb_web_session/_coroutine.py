"""Coroutines of the calls, for ``asyncio``."""

from __future__ import annotations

import atexit
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._core import end_runtimes

Result = TypeVar("Result")

atexit.register(end_runtimes)


async def run(start: Callable[[], Awaitable[Result]]) -> Result:
    """Begins a call when it is awaited, or run as a task."""
    return await start()
