"""Answers that go on: records as they are published with the alarms, and a copy of the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Any

from fsm.world import Record
from vendingd.api import views
from vendingd.api.calls import Call, Download, Nothing, Stream
from vendingd.api.ports import Machine
from vendingd.api.problems import busy, unavailable
from vendingd.journal.api import StoreError

WAITING = 1000  # records that a slow reader may be behind
PART = 256 * 1024  # bytes of a download sent at once
LOOK_AGAIN_S = 15.0  # device states are not published; they are looked at this often


class Subscription:
    """One reader's place at the machine's `watch`; records wait here, bounded."""

    def __init__(self, machine: Machine, *, records: bool = True) -> None:
        self._machine = machine
        self._keep = records
        self._news = asyncio.Event()
        self._end: Callable[[], None] | None = None
        self.waiting: deque[tuple[Record, float]] = deque()
        self.lost = False

    def __enter__(self) -> Subscription:
        self._end = self._machine.watch(self._published)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._end is not None:
            self._end()
            self._end = None

    def _published(self, records: Sequence[Record]) -> None:
        if self._keep and records:
            utc = self._machine.time.now().utc
            self.waiting.extend((one, utc) for one in records)
            self.lost = self.lost or len(self.waiting) > WAITING
            while len(self.waiting) > WAITING:
                self.waiting.popleft()
        self._news.set()

    async def changed(self) -> None:
        """Until something was published, or it is time to look again."""
        try:
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()


async def watch(call: Call) -> Stream:
    """`{"type": "alarms"}` first, then records and alarms as they come; `{"type": "lost"}` where some are missing."""
    machine = call.machine

    async def items() -> AsyncGenerator[dict[str, Any], None]:
        with Subscription(machine) as news:
            last: list[dict[str, Any]] | None = None
            while True:
                if news.lost:
                    news.lost = False
                    yield {"type": "lost", "advice": "read what is missing from GET /v1/journal"}
                while news.waiting:
                    record, utc = news.waiting.popleft()
                    yield views.published(record, utc)
                now = views.alarms(machine)
                if now != last:
                    last = now
                    yield {"type": "alarms", "state": views.state(machine), "alarms": now}
                await news.changed()

    return Stream(items)


async def backup(call: Call) -> Download:
    """The whole journal as a file. It reads the whole disk, so one at a time, and not beside a verification."""
    call.body(Nothing)
    if call.verifying.locked():
        raise busy("the journal is being verified or copied already")
    await call.verifying.acquire()
    try:
        copy = await call.machine.seams.store.snapshot()
    except BaseException as why:
        call.verifying.release()
        if isinstance(why, StoreError):
            raise unavailable(str(why)) from None
        raise

    async def close() -> None:
        call.verifying.release()
        await copy.close()

    return Download(copy.size, "application/vnd.sqlite3", lambda: copy.read(PART), close)
