"""The hash chain: how records are hashed, sealed and checked. Pure; knows no database.

hash(n) = SHA-256 over the record's fields and hash(n-1), each field preceded by its length as four bytes, big
endian, so that no two records share an encoding. Numbers are eight bytes, big endian; times are IEEE 754
doubles; an absent time is empty. The first record of an epoch has as its predecessor the epoch's genesis,
which is derived from machine, epoch and the head that the epoch goes on from (empty for a new journal).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from vendingd.journal.api import Batch, NewRecord, StoredRecord, Verdict

_RECORD = b"vendingd record 1"
_EPOCH = b"vendingd epoch 1"
_TRUSTED = 1
_OFFLINE = 2
EPOCH_BYTES = 8

_length = struct.Struct(">I").pack
_framed_number = struct.Struct(">Iq").pack
_framed_double = struct.Struct(">Id").pack
_framed_times_and_flags = struct.Struct(">IdIdIq").pack


def framed(*fields: bytes) -> bytes:
    """Fields, each preceded by its length: no two sequences of them are framed to the same bytes."""
    return b"".join(part for field in fields for part in (_length(len(field)), field))


_RECORD_FRAMED = framed(_RECORD)
_NOTHING = framed(b"")


def flags_of(utc_trusted: bool, offline: bool) -> int:
    """The two booleans as they are stored and hashed."""
    return (_TRUSTED if utc_trusted else 0) | (_OFFLINE if offline else 0)


def vouched_by(newest: StoredRecord, boot_id: str) -> tuple[float, float] | None:
    """What a start can go on from, in the same boot: when it was, by both clocks, and the calendar was trusted."""
    return (newest.mono, newest.utc) if newest.utc_trusted and newest.boot_id == boot_id else None


def trusted_and_offline(flags: int) -> tuple[bool, bool]:
    """The way back of `flags_of`."""
    return bool(flags & _TRUSTED), bool(flags & _OFFLINE)


def genesis(machine: str, epoch: str, head: bytes) -> bytes:
    """The predecessor of an epoch's first record."""
    return sha256(framed(_EPOCH, machine.encode(), epoch.encode(), head)).digest()


def _digest(prev: bytes, place: tuple[str, int, str], what: NewRecord | StoredRecord, floor: float | None) -> bytes:
    """`place`: epoch, seq, boot id."""
    # written out, not looped: with a backlog this is the dearest part of a commit
    epoch, seq, boot = place
    e, b, k, s = epoch.encode(), boot.encode(), what.kind.encode(), what.subject.encode()
    flags = flags_of(what.utc_trusted, what.offline)
    return sha256(
        b"".join(
            (
                _RECORD_FRAMED,
                _length(len(prev)), prev,
                _length(len(e)), e,
                _framed_number(8, seq),
                _length(len(b)), b,
                _length(len(k)), k,
                _length(len(s)), s,
                _length(len(what.data)), what.data,
                # + 0.0: SQLite keeps no sign of a zero
                _framed_times_and_flags(8, what.utc + 0.0, 8, what.mono + 0.0, 8, flags),
                _NOTHING if floor is None else _framed_double(8, floor),
            )
        )
    ).digest()  # fmt: skip


def record_hash(record: StoredRecord) -> bytes:
    """The hash of all of a record's fields but `hash` itself."""
    place = (record.epoch, record.seq, record.boot_id)
    return _digest(record.prev_hash, place, record, record.floor_utc)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of the journal that was never restored from anything; its records begin at `first_seq`."""

    n: int
    token: str
    first_seq: int
    genesis: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain and the outbox stand."""

    epoch: Epoch
    next_seq: int
    hash: bytes
    floor_utc: float | None
    acked: int
    trimmed: int  # records through this seq have aged out
    trimmed_hash: bytes

    @property
    def last_seq(self) -> int:
        return self.next_seq - 1


def first_epoch(machine: str, token: str, reason: str) -> Epoch:
    """The epoch of a new journal."""
    return Epoch(1, token, 1, genesis(machine, token, b""), reason)


def begin_epoch(machine: str, token: str, reason: str, head: Head) -> tuple[Epoch, Head]:
    """The next epoch, bound to the head that it goes on from."""
    epoch = Epoch(head.epoch.n + 1, token, head.next_seq, genesis(machine, token, head.hash), reason)
    return epoch, replace(head, epoch=epoch, hash=epoch.genesis)


def check_cursor(batch: Batch, head: Head) -> None:
    """Raise ValueError for an answer about records that do not exist: taking it would lose those to come."""
    if batch.ack is not None and not 0 <= batch.ack <= head.last_seq:
        raise ValueError(f"ack {batch.ack} is outside the journal's 0..{head.last_seq}")
    for refused in batch.refused:
        if not 1 <= refused.seq <= head.last_seq:
            raise ValueError(f"refused seq {refused.seq} is outside the journal's 1..{head.last_seq}")


def seal(records: Sequence[NewRecord], head: Head, boot_id: str) -> tuple[list[StoredRecord], Head]:
    """Chain new records to the head; returns them and the head behind them."""
    sealed: list[StoredRecord] = []
    epoch, seq, prev, floor = head.epoch.token, head.next_seq, head.hash, head.floor_utc
    for new in records:
        if not (math.isfinite(new.utc) and math.isfinite(new.mono)):
            raise ValueError(f"record {new.kind!r} has a time that is not finite")
        utc, mono = new.utc + 0.0, new.mono + 0.0
        if new.utc_trusted:
            floor = utc
        digest = _digest(prev, (epoch, seq, boot_id), new, floor)
        sealed.append(
            StoredRecord(
                seq, epoch, boot_id, new.kind, new.subject, new.data, utc, mono,
                new.utc_trusted, new.offline, floor, prev, digest,
            )
        )  # fmt: skip
        prev = digest
        seq += 1
    return sealed, replace(head, next_seq=seq, hash=prev, floor_utc=floor)


class ChainCheck:
    """Walks a chain record by record and remembers the first thing that is wrong."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._epochs: Sequence[Epoch] = ()
        self._entered = 0  # how many epochs the walk has entered
        self._epoch = ""
        self._running = b""
        self._from = (0, b"")
        self.seq = 0
        self.checked = 0
        self.bad_seq: int | None = None
        self.problem = ""

    def frame(self, epochs: Sequence[Epoch], trimmed: int, trimmed_hash: bytes) -> None:
        """Say which epochs there are and where records begin; may be said again while the journal goes on."""
        self._epochs = epochs
        if trimmed > self.seq:
            self.seq, self._running, self._from = trimmed, trimmed_hash, (trimmed, trimmed_hash)
            self._entered = sum(epoch.first_seq <= trimmed for epoch in epochs)
            self._epoch = epochs[self._entered - 1].token if self._entered else ""

    def kept(self, record: StoredRecord) -> bool:
        """Check a record kept behind the trimmed part by itself: its neighbours have gone."""
        self.checked += 1
        if record_hash(record) != record.hash:
            return self.fail(record.seq, "its content does not match its hash")
        return True

    def feed(self, record: StoredRecord) -> bool:
        """Check the next record; False when something is wrong, then the walk is over."""
        expected = self.seq + 1
        if record.seq != expected:
            return self.fail(expected, f"the record is missing, the next one is {record.seq}")
        if not self._enter(expected):
            return False
        if record.epoch != self._epoch:
            return self.fail(expected, f"its epoch is {record.epoch!r}, not {self._epoch!r}")
        if record.prev_hash != self._running:
            return self.fail(expected, "it does not follow from the record before it")
        if record_hash(record) != record.hash:
            return self.fail(expected, "its content does not match its hash")
        self._running = record.hash
        self.seq = expected
        self.checked += 1
        return True

    def end(self, acked: int) -> bool:
        """Check what only the end can tell."""
        if not self._enter(self.seq + 1):
            return False
        if self._entered != len(self._epochs):
            late = self._epochs[self._entered]
            return self.fail(self.seq + 1, f"records are missing: epoch {late.token} begins at {late.first_seq}")
        if acked > self.seq:
            return self.fail(self.seq + 1, f"records are missing: the cloud has taken through {acked}")
        return True

    def fail(self, seq: int | None, problem: str) -> bool:
        """Note what is wrong; always False."""
        self.bad_seq, self.problem = seq, problem
        return False

    def verdict(self) -> Verdict:
        """What was found so far."""
        return Verdict(not self.problem, self.checked, self.bad_seq, self.problem, *self._from, self.seq, self._running)

    def _enter(self, seq: int) -> bool:
        while self._entered < len(self._epochs) and self._epochs[self._entered].first_seq == seq:
            epoch = self._epochs[self._entered]
            if epoch.genesis != genesis(self._machine, epoch.token, self._running):
                return self.fail(seq, f"epoch {epoch.token} does not follow from what is before it")
            self._running, self._epoch = epoch.genesis, epoch.token
            self._entered += 1
        return True
