"""Coroutines of the calls, for ``asyncio``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


async def run(start: Callable[[], Awaitable[Result]]) -> Result:
    """Begins a call when it is awaited, or run as a task."""
    return await start()
