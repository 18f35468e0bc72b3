"""A light machine behind its socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.unit.api.light import Served, served


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    one = await served(tmp_path)
    yield one
    await one.server.stop()
    await one.machine.mailbox.settle()
