"""The real journal in simulated time: on a simulated disk, without a thread."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from drivers.ports import Clock, Random
from tests.simulation.disk.connection import SimConnection, Sql
from tests.simulation.disk.medium import SimDisk
from vendingd.journal.api import Probe, StoreError, StoreErrorKind, TokenSource
from vendingd.journal.store import Journal

T = TypeVar("T")

PATH = Path("/var/lib/vendingd/journal.db")
LATENCY_S = (0.001, 0.03)  # from a good card to one that collects its garbage just now


class SimLock:
    """Keeps a second journal from a file of one disk; gone with the power, and with the process."""

    def __init__(self, disk: SimDisk, path: Path) -> None:
        self._disk = disk
        self._name = str(path)
        self._mine = False

    def acquire(self) -> None:
        if self._mine:
            return
        if self._name in self._disk.locks:
            raise StoreError(StoreErrorKind.LOCKED, f"another journal is open on {self._name}: close it first")
        self._disk.locks.add(self._name)
        self._mine = True

    def release(self) -> None:
        if self._mine:
            self._disk.locks.discard(self._name)
            self._mine = False


class DiskForJournal:
    """A simulated disk as `vendingd.journal.disk.Disk` wants one."""

    def __init__(self, disk: SimDisk, sql: Sql) -> None:
        self._disk = disk
        self._sql = sql
        disk.bury()

    def lock(self, path: Path) -> SimLock:
        return SimLock(self._disk, path)

    def database(self, path: Path, mode: str) -> sqlite3.Connection:
        return cast(sqlite3.Connection, SimConnection(self._disk, str(path), mode, self._sql))

    def size(self, path: Path) -> int | None:
        return self._disk.size(str(path))

    def make(self, path: Path) -> None:
        if self._disk.find(str(path)) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._disk.make(str(path)).named = True  # a plain file: nobody syncs the folder for it

    def fill(self, path: Path, size: int) -> None:
        name = str(path)
        file = self._disk.find(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        for at in range(0, size, 4096):
            self._disk.write(name, file, at, bytes(min(4096, size - at)))
        self._disk.sync(name, file)

    def sync(self, path: Path) -> None:
        file = self._disk.find(str(path))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._disk.sync(str(path), file)

    def rewrite(self, path: Path) -> None:
        name = str(path)
        file = self._disk.find(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        for at in range(0, len(file.data), 4096):
            self._disk.write(name, file, at, bytes(file.data[at : at + 4096]))
        self._disk.sync(name, file)

    def rename(self, old: Path, new: Path) -> None:
        self._disk.rename(str(old), str(new))
        self._disk.sync_names()

    def remove(self, path: Path) -> None:
        if self._disk.find(str(path)) is not None:
            self._disk.remove(str(path))

    def try_writing(self, path: Path) -> None:
        name = str(path)
        self.remove(path)
        file = self._disk.make(name)
        try:
            self._disk.write(name, file, 0, bytes(4096))
            self._disk.sync(name, file)
        except OSError:
            self._disk.remove(name)
            raise
        self._disk.remove(name)


class InlineCalls:
    """Runs calls in the order in which they were made, on the loop, each in the middle of its latency.

    In the middle, so that it may be durable and not yet told when the power goes. A call that was made is run
    whether or not somebody still waits for it, as in a thread.
    """

    def __init__(
        self, clock: Clock, random: Random, latency_s: tuple[float, float], when_idle: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._random = random
        self._latency_s = latency_s
        self._when_idle = when_idle
        self._jobs: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def call(self, fn: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[T] = loop.create_future()
        self._jobs.append((fn, told))
        if self._serving is None or self._serving.done():
            self._serving = loop.create_task(self._serve())
        return await told

    async def stop(self, last: Callable[[], None]) -> None:
        await self.call(last)

    async def _serve(self) -> None:
        while self._jobs:
            fn, told = self._jobs.popleft()
            now = self._clock.monotonic()
            lo, hi = self._latency_s
            end = now + lo + (hi - lo) * self._random.random()
            await self._clock.sleep_until(now + (end - now) * self._random.random())
            result, error = None, None
            try:
                result = fn()
            except Exception as exc:  # noqa: BLE001 - raised again where it was asked for
                error = exc
            await self._clock.sleep_until(end)
            if not told.done():
                if error is not None:
                    told.set_exception(error)
                else:
                    told.set_result(result)
            if not self._jobs:
                self._when_idle()


def journal_on(
    disk: SimDisk,
    *,
    machine: str,
    boot_id: str,
    token: TokenSource,
    probe: Probe,
    clock: Clock,
    random: Random,
    latency_s: tuple[float, float] = LATENCY_S,
    sql: Sql = lambda statement: statement,
    path: Path = PATH,
) -> Journal:
    """The journal of production on `disk`; each call takes a random latency of `clock`.

    Its end is `close()`, or the disk's: whoever raises out of `probe` or the disk's watch takes the image of the disk
    (`power_cut`) first, for `finally` blocks and closing connections write. What is open on the disk that this one
    came of is closed here.

    `sql` may change each statement on its way to SQLite: so a test plants a defect.
    """
    return Journal(
        path,
        machine=machine,
        boot_id=boot_id,
        token=token,
        probe=probe,
        disk=DiskForJournal(disk, sql),
        calls=lambda name, when_idle=lambda: None: InlineCalls(clock, random, latency_s, when_idle),
    )
