"""Waiting for something that another thread, process or wire will make so."""

import asyncio
from collections.abc import Callable


async def until(done: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; fails the test where it never is."""
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.002)
