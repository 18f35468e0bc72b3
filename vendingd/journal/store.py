"""The durable Store: SQLite behind one writer thread and one reader thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from vendingd.journal.api import (
    Batch,
    Committed,
    Keep,
    Loaded,
    Probe,
    SetAside,
    StoredRecord,
    TokenSource,
    Verdict,
)
from vendingd.journal.disk import REAL, Disk
from vendingd.journal.errors import closed
from vendingd.journal.reader import Reader, Verification, nothing_more
from vendingd.journal.snapshot import Snapshot
from vendingd.journal.thread import Calls, CallThread, MakeCalls
from vendingd.journal.writer import Writer


class Journal:
    """The journal in one SQLite file (see `Store` for the contract, docs/journal.md for the format)."""

    def __init__(
        self,
        path: Path,
        *,
        machine: str,
        boot_id: str,
        token: TokenSource,
        probe: Probe = lambda label: None,
        readable: Callable[[str, str, bytes], object] = nothing_more,
        disk: Disk = REAL,
        calls: MakeCalls = CallThread,
    ) -> None:
        """`boot_id` says what `NewRecord.mono` counts from; `probe` is called on the writer's thread.

        `readable`, asked of each state by `verify`, raises ValueError for one that its reader would not understand.
        `disk` and `calls`: where the file is, and what runs each side's calls; other ones in simulated time.
        """
        self._path = path
        self._machine = machine
        self._readable = readable
        self._disk = disk
        self._writer = Writer(path, machine, boot_id, token, probe, disk=disk)
        self._reader = Reader(path, disk)
        self._calls = calls
        self._writing: Calls | None = None
        self._reading: Calls | None = None

    async def open(self) -> Loaded:
        if self._writing is None or self._reading is None:
            self._writing = self._calls("journal-writer", self._writer.idle)
            self._reading = self._calls("journal-reader")
        await self._reading.call(self._reader.close)
        loaded = await self._writing.call(self._writer.open)
        await self._reading.call(self._reader.open)
        return loaded

    async def commit(self, batch: Batch) -> Committed:
        return await self._write().call(functools.partial(self._writer.commit, batch))

    async def records(self, after: int, limit: int) -> list[StoredRecord]:
        return await self._read().call(functools.partial(self._reader.records, after, limit))

    async def refused(self) -> list[SetAside]:
        return await self._read().call(self._reader.refused)

    async def new_epoch(self, reason: str) -> str:
        return await self._write().call(functools.partial(self._writer.new_epoch, reason))

    async def verify(self) -> Verdict:
        walk = Verification(self._machine, self._readable)
        step = functools.partial(self._reader.verify_step, walk)
        while True:
            verdict = await self._read().call(step)
            if verdict is not None:
                return verdict

    async def trim(self, anchor_seq: int, keep: Keep | None = None) -> int:
        if keep is not None:
            anchor_seq = await self._older(anchor_seq, keep)
        total, more = 0, True
        while more:
            gone, more = await self._write().call(functools.partial(self._writer.trim_chunk, anchor_seq))
            total += gone
        return total

    async def _older(self, upto: int, keep: Keep) -> int:
        """The last record through `upto` that is older than those to keep; looked for in small steps, commits go on."""
        at, found = await self._read().call(self._reader.trimmed), 0
        while at < upto:
            step = functools.partial(self._reader.older_step, at, upto, keep)
            seq, at, more = await self._read().call(step)
            found = max(found, seq)
            if not more:
                break
        return found

    async def snapshot(self) -> Snapshot:
        self._read()
        return await Snapshot.take(self._path, self._calls, self._disk)

    async def close(self) -> None:
        reading, self._reading = self._reading, None
        writing, self._writing = self._writing, None
        try:
            if reading is not None:
                await reading.stop(self._reader.close)
        finally:
            if writing is not None:
                await writing.stop(self._writer.close)

    def _write(self) -> Calls:
        if self._writing is None:
            raise closed(self._path)
        return self._writing

    def _read(self) -> Calls:
        if self._reading is None:
            raise closed(self._path)
        return self._reading
