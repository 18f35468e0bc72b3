"""A Store in memory, for tests and simulated time: same contract, no thread, no file.

The disk is an object of its own, so that a simulated machine can lose its store and open another one on what
was durable. Commits may take time: instant ones hide defects of order.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from drivers.ports import Clock, Random
from vendingd.journal.api import (
    AFTER_COMMIT,
    BEFORE_SYNC,
    BEFORE_WRITE,
    Batch,
    Committed,
    Copy,
    Keep,
    Loaded,
    Probe,
    SetAside,
    StoredRecord,
    StoreError,
    StoreErrorKind,
    TokenSource,
    Verdict,
)
from vendingd.journal.chain import (
    EPOCH_BYTES,
    ChainCheck,
    Epoch,
    Head,
    begin_epoch,
    check_cursor,
    first_epoch,
    seal,
    vouched_by,
)


@dataclass(slots=True)
class MemoryDisk:
    """What survives the store: everything durable and nothing else."""

    epochs: list[Epoch] = field(default_factory=list)
    records: dict[int, StoredRecord] = field(default_factory=dict)  # by seq, in order
    state: dict[tuple[str, str], bytes] = field(default_factory=dict)
    refused: dict[int, bytes] = field(default_factory=dict)
    head: Head | None = None
    tokens: int = 0  # how many were made by default, so that another store on this disk makes others


@dataclass(frozen=True, slots=True)
class Fault:
    """How the next commit fails; `durable`: it reached the disk all the same, as a failing disk may do."""

    kind: StoreErrorKind
    durable: bool = False


class MemoryStore:
    """Holds a journal in a MemoryDisk."""

    def __init__(
        self,
        disk: MemoryDisk | None = None,
        *,
        machine: str = "machine",
        boot_id: str = "boot",
        token: TokenSource | None = None,
        probe: Probe = lambda label: None,
        clock: Clock | None = None,
        random: Random | None = None,
        latency_s: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """`latency_s`: least and most that a commit takes, drawn from `random`, spent on `clock`."""
        if latency_s[1] > 0 and (clock is None or random is None):
            raise ValueError("latency needs a clock and a random source")
        self.disk = disk if disk is not None else MemoryDisk()
        self.fault: Fault | None = None  # set by a test; stays until taken away
        self._machine = machine
        self._boot_id = boot_id
        self._token = token or self._counted
        self._probe = probe
        self._clock = clock
        self._random = random
        self._latency_s = latency_s
        self._turn = asyncio.Lock()  # first come, first served
        self._open = False

    async def open(self) -> Loaded:
        async with self._turn:
            disk = self.disk
            if disk.head is None:
                epoch = first_epoch(self._machine, self._token(EPOCH_BYTES).hex(), "created")
                disk.epochs.append(epoch)
                disk.head = Head(epoch, 1, epoch.genesis, None, 0, 0, b"")
            self._open = True
            head = disk.head
            state: dict[str, dict[str, bytes]] = {}
            for (kind, id_), data in sorted(disk.state.items()):
                state.setdefault(kind, {})[id_] = data
            known = tuple(epoch.token for epoch in disk.epochs)
            newest = disk.records.get(head.last_seq)
            vouched = vouched_by(newest, self._boot_id) if newest is not None else None
            return Loaded(head.epoch.token, head.next_seq, head.hash, head.acked, state, head.floor_utc, known, vouched)

    async def commit(self, batch: Batch) -> Committed:
        async with self._turn:
            head = self._ready()
            check_cursor(batch, head)
            sealed, after = seal(batch.records, head, self._boot_id)
            if batch.ack is not None:
                after = replace(after, acked=max(head.acked, batch.ack))
            if sealed or batch.state or batch.refused or after.acked != head.acked:
                self._probe(BEFORE_WRITE)
                await self._wait()
                self._probe(BEFORE_SYNC)
                self._durably(lambda: self._apply(batch, sealed, after))
                self._probe(AFTER_COMMIT)
            return Committed(head.next_seq, after.last_seq, after.hash)

    async def records(self, after: int, limit: int) -> list[StoredRecord]:
        self._ready()
        found: list[StoredRecord] = []
        # seqs are dense but for what has aged out, so this does not look at what is behind `after`
        for seq in range(after + 1, self._ready().next_seq):
            if len(found) >= limit:
                break
            if seq in self.disk.records:
                found.append(self.disk.records[seq])
        return found

    async def refused(self) -> list[SetAside]:
        self._ready()
        return [SetAside(self.disk.records[seq], problem) for seq, problem in sorted(self.disk.refused.items())]

    async def new_epoch(self, reason: str) -> str:
        async with self._turn:
            epoch, after = begin_epoch(self._machine, self._token(EPOCH_BYTES).hex(), reason, self._ready())

            def apply() -> None:
                self.disk.epochs.append(epoch)
                self.disk.head = after

            self._durably(apply)
            return epoch.token

    async def verify(self) -> Verdict:
        head = self._ready()
        check = ChainCheck(self._machine)
        check.frame(self.disk.epochs, head.trimmed, head.trimmed_hash)
        sound = all(
            check.kept(record) if record.seq <= head.trimmed else check.feed(record)
            for record in self.disk.records.values()
        )
        if sound:
            check.end(head.acked)
        return check.verdict()

    async def trim(self, anchor_seq: int, keep: Keep | None = None) -> int:
        async with self._turn:
            head = self._ready()
            if keep is not None:
                anchor_seq = self._older(head.trimmed, anchor_seq, keep)
            upto = min(anchor_seq, head.acked, head.last_seq - 1)
            if upto <= head.trimmed:
                return 0
            old = range(head.trimmed + 1, upto + 1)
            gone = [seq for seq in old if seq not in self.disk.refused]

            def apply() -> None:
                self.disk.head = replace(head, trimmed=upto, trimmed_hash=self.disk.records[upto].hash)
                for seq in gone:
                    del self.disk.records[seq]

            self._durably(apply)
            return len(gone)

    async def snapshot(self) -> Copy:
        raise StoreError(StoreErrorKind.IO, "a journal in memory has no file that could be copied")

    async def close(self) -> None:
        async with self._turn:
            self._open = False

    # ------------------------------------------------------------ inside
    def _ready(self) -> Head:
        if not self._open or self.disk.head is None:
            raise StoreError(StoreErrorKind.CLOSED, "the store in memory is not open")
        return self.disk.head

    def _older(self, after: int, upto: int, keep: Keep) -> int:
        found = 0
        for seq in range(after + 1, min(upto + 1, self._ready().next_seq)):
            one = self.disk.records[seq]
            if one.utc_trusted and keep.since_utc <= one.utc <= keep.now_utc:
                break
            if one.utc_trusted and one.utc < keep.since_utc:
                found = seq
        return found

    def _counted(self, n: int) -> bytes:
        self.disk.tokens += 1
        return hashlib.sha256(f"{self._machine}/{self.disk.tokens}".encode()).digest()[:n]

    async def _wait(self) -> None:
        least, most = self._latency_s
        if most > 0 and self._clock is not None and self._random is not None:
            delay = least + (most - least) * self._random.random()
            await self._clock.sleep_until(self._clock.monotonic() + delay)

    def _durably(self, apply: Callable[[], None]) -> None:
        fault = self.fault
        if fault is None or fault.durable:
            apply()
        if fault is not None:
            self._open = False
            raise StoreError(fault.kind, "set by a test")

    def _apply(self, batch: Batch, sealed: list[StoredRecord], after: Head) -> None:
        disk = self.disk
        disk.records.update((record.seq, record) for record in sealed)
        for change in batch.state:
            if change.data is None:
                disk.state.pop((change.kind, change.id), None)
            else:
                disk.state[change.kind, change.id] = change.data
        disk.refused.update((r.seq, r.problem) for r in batch.refused if r.seq in disk.records)
        disk.head = after
