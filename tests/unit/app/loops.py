"""Coroutines of tests, on an event loop of their own."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def with_loop(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and let nothing hang."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


async def turns() -> None:
    """Let everybody else on the loop go on until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)
