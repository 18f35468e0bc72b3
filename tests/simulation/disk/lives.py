"""Many lives of one journal on a disk that loses power, and what must hold at the start of each.

A workload commits random batches, several under way at once. At a random point the power goes, or the process is
killed. The next life must find exactly what some number of the batches handed over makes, in order, at least all
of those whose commit has returned.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.simulation.disk.medium import Fault, SimDisk
from tests.simulation.disk.store import LATENCY_S, journal_on
from tests.unit.virtual import LoopClock, VirtualLoop
from vendingd.journal.api import Batch, Loaded, NewRecord, StateChange, Store, StoredRecord, StoreError

T = TypeVar("T")
Sql = Callable[[str], str]
OPENINGS_MOST = 40  # of a store while the disk fails now and then


class PowerCut(SystemExit):
    """Leaves the loop at once."""


class Lost(AssertionError):
    """What the journal holds is not what it promised."""


def boot(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a loop of its own, dropped when the power goes; what a corpse complains of is not heard."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


@dataclass(frozen=True)
class Content:
    """What a journal holds, as far as its caller can see."""

    subjects: tuple[str, ...] = ()
    state: tuple[tuple[str, bytes], ...] = ()
    acked: int = 0

    def with_batch(self, batch: Batch) -> Content:
        state = dict(self.state)
        for change in batch.state:
            state.pop(change.id, None)
            if change.data is not None:
                state[change.id] = change.data
        subjects = self.subjects + tuple(record.subject for record in batch.records)
        return Content(subjects, tuple(sorted(state.items())), max(self.acked, batch.ack or 0))


@dataclass
class Lives:
    """One disk from its first boot on; the seed decides everything."""

    seed: int
    sql: Sql = lambda statement: statement
    latency_s: tuple[float, float] = LATENCY_S
    faults: bool = False
    crashes: int = 0
    commits: int = 0
    failures: int = 0
    kinds: set[str] = field(default_factory=set)  # where the power went

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.disk = SimDisk(self.random)
        self.known = Content()  # what the last start found
        self.handed: list[Batch] = []  # handed over since, in order
        self.returned = 0  # how many of them have surely become durable
        self._n = 0
        self._probes = 0
        self._cut_at_probe = 0

    def run(self, lives: int) -> list[StoredRecord]:
        """So many crashes, then a quiet start; returns the records that are there at the end."""
        for _ in range(lives):
            try:
                boot(self._life())
            except PowerCut:
                self.crashes += 1
        self.disk.fault = None
        return boot(self._last())

    # ------------------------------------------------------------ one life
    async def _life(self) -> list[StoredRecord]:
        self.disk.watch = None
        self._plan()
        boot_id = f"boot-{self.crashes}"
        store = journal_on(
            self.disk, machine="m", boot_id=boot_id, token=self.random.randbytes, probe=self._probe,
            clock=LoopClock(), random=self.random, latency_s=self.latency_s, sql=self.sql,
        )  # fmt: skip
        await self._open(store)
        while True:
            burst = [self._batch() for _ in range(self.random.choice((1, 1, 2, 5)))]
            self.handed += burst
            done = await asyncio.gather(*(store.commit(batch) for batch in burst), return_exceptions=True)
            for result in done:
                if isinstance(result, StoreError):
                    self.failures += 1
                elif isinstance(result, BaseException):
                    raise result
                else:
                    self.commits += 1
            if any(isinstance(result, StoreError) for result in done):
                returned = sum(not isinstance(result, StoreError) for result in done)
                assert not any(isinstance(result, StoreError) for result in done[:returned]), "a commit after an error"
                self.returned += returned
                # it is unknown of the first that failed, and known of those after that they are not there
                del self.handed[self.returned + 1 :]
                await self._open(store)
            else:
                self.returned += len(burst)

    async def _open(self, store: Store) -> None:
        for _ in range(OPENINGS_MOST):
            try:
                loaded = await store.open()
            except StoreError as exc:
                if not self.faults:
                    raise Lost(f"cannot be opened: {exc}") from exc
                self.failures += 1
                if self.random.random() < 0.4:
                    self.disk.fault = None
                    if self.random.random() < 0.3:  # and the power goes while the journal mends itself
                        self._watch_from(self.disk, self.random.randint(1, self.random.choice((10, 60, 600))))
                await asyncio.sleep(1.0)
                continue
            try:
                self._judge(loaded, await store.records(0, 1_000_000))
                verdict = await store.verify() if self.random.random() < 0.3 else None  # it takes its time
            except StoreError as exc:
                if not self.faults or self.disk.fault is None:
                    raise Lost(f"cannot be read: {exc}") from exc
                self.disk.fault = None
                continue
            if verdict is not None and not verdict.ok:
                raise Lost(verdict.problem)
            return
        raise Lost("does not heal")

    async def _last(self) -> list[StoredRecord]:
        self.disk.watch = None
        self._cut_at_probe = 0
        store = journal_on(
            self.disk, machine="m", boot_id="last", token=self.random.randbytes, probe=self._probe,
            clock=LoopClock(), random=self.random, sql=self.sql,
        )  # fmt: skip
        await self._open(store)
        records = await store.records(0, 1_000_000)
        await store.close()
        return records

    # ------------------------------------------------------------ what must hold
    def _judge(self, loaded: Loaded, records: list[StoredRecord]) -> None:
        state = tuple(sorted(loaded.state.get("rental", {}).items()))
        found = Content(tuple(record.subject for record in records), state, loaded.acked)
        if loaded.next_seq != len(found.subjects) + 1:
            raise Lost(f"next is {loaded.next_seq} after {len(found.subjects)} records")
        content = self.known
        possible = [content]
        for batch in self.handed:
            content = content.with_batch(batch)
            possible.append(content)
        if found not in possible[self.returned :]:
            which = "of what was promised, some is lost" if found in possible else "it holds half of something"
            raise Lost(f"{which}: {len(found.subjects)} records, {self.returned} of {len(self.handed)} returned")
        self.known, self.handed, self.returned = found, [], 0

    # ------------------------------------------------------------ chance
    def _batch(self) -> Batch:
        chance = self.random
        records = [self._record() for _ in range(chance.choice((0, 1, 1, 2, 3)))]
        changes = []
        for _ in range(chance.choice((0, 1, 2))):
            data = None if chance.random() < 0.1 else chance.randbytes(chance.choice((20, 300, 1500)))
            changes.append(StateChange("rental", f"r{chance.randrange(30)}", data))
        # at most what is surely there, whatever became of the batches under way
        ack = chance.randint(0, len(self.known.subjects)) if chance.random() < 0.2 else None
        return Batch(records, changes, ack, wipe=chance.random() < 0.05)

    def _record(self) -> NewRecord:
        self._n += 1
        data = b'{"n":%d,"fill":"%s"}' % (self._n, b"x" * self.random.choice((0, 100, 2500)))
        return NewRecord("kind", f"subject/{self._n}", data, 1.7e9 + self._n, float(self._n), True, False)

    def _plan(self) -> None:
        """Where this life ends."""
        chance = self.random
        self._probes = self._cut_at_probe = 0
        kind = chance.choice(("operation", "probe", "time"))
        if kind == "operation":
            self._watch_from(self.disk, chance.randint(1, chance.choice((30, 300, 3000))))
        elif kind == "probe":
            self._cut_at_probe = chance.randint(1, 150)
        else:
            asyncio.get_running_loop().call_later(chance.uniform(0.0, 3.0), self._crash, kind)
        if self.faults:
            asyncio.get_running_loop().call_later(chance.uniform(0.0, 1.0), self._fault)

    def _watch_from(self, disk: SimDisk, operations: int) -> None:
        left = operations

        def watch(what: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._crash(f"{what} {name.rpartition('/')[2]}")

        disk.watch = watch

    def _probe(self, label: str) -> None:
        self._probes += 1
        if self._probes == self._cut_at_probe:
            self._crash(label)

    def _fault(self) -> None:
        kinds: tuple[Fault, ...] = ("full", "readonly", "io", "io")
        self.disk.fault = None if self.disk.fault else self.random.choice(kinds)
        self.disk.overwrites_when_full = self.random.random() < 0.5
        asyncio.get_running_loop().call_later(self.random.uniform(0.01, 1.0), self._fault)

    def _crash(self, where: str) -> None:
        self.kinds.add(where)
        self.disk = self.disk.kill() if self.random.random() < 0.1 else self.disk.power_cut()
        raise PowerCut
