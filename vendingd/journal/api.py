"""What the rest of the daemon knows of the durable journal: values, errors and the Store protocol.

Owns no behaviour and knows no database. A store keeps three things that move together, in one transaction a
commit: the records (journal, audit log and outbox in one), the current state of each aggregate, and the
outbox's cursor with the records that the cloud has refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

Probe = Callable[[str], None]
"""Called at each labelled point of a commit, on the thread that commits; never raises. A crash test may kill
the process there."""

TokenSource = Callable[[int], bytes]
"""n unguessable bytes (`secrets.token_bytes` in production)."""

BEFORE_WRITE = "journal.before_write"
BEFORE_SYNC = "journal.after_write_before_fsync"
AFTER_COMMIT = "journal.after_commit"
BEFORE_CHECKPOINT = "journal.before_checkpoint"
AFTER_CHECKPOINT = "journal.after_checkpoint"


class StoreErrorKind(StrEnum):
    """Why a store cannot do what was asked."""

    FULL = "full"  # no space left; heals when there is some
    READONLY = "readonly"  # the file system or the file refuses writing
    IO = "io"  # the disk or its file system failed
    CORRUPT = "corrupt"  # what is stored is damaged or not a journal; never overwritten
    CLOSED = "closed"  # not open, or closed by an earlier error: call open() again
    LOCKED = "locked"  # another process has it
    NEWER = "newer"  # written by a newer vendingd
    FOREIGN = "foreign"  # belongs to another machine


class StoreError(Exception):
    """The journal cannot do what was asked; nothing of the batch may be acted upon.

    `detail` is for a technician: what is wrong, and what to do.
    """

    def __init__(self, kind: StoreErrorKind, detail: str) -> None:
        super().__init__(f"journal {kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True)
class NewRecord:
    """Something that happened, to be journalled. `data` is a canonical JSON object, encoded by the caller."""

    kind: str
    subject: str
    data: bytes
    utc: float  # POSIX seconds as the machine believed them
    mono: float  # seconds of this boot
    utc_trusted: bool
    offline: bool


@dataclass(frozen=True, slots=True)
class StateChange:
    """The new current state of one aggregate; `data` None deletes it."""

    kind: str
    id: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the cloud refuses, with the problem that it gave (RFC 9457, JSON)."""

    seq: int
    problem: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one commit makes durable together. Several changes of one aggregate apply in their order."""

    records: Sequence[NewRecord] = ()
    state: Sequence[StateChange] = ()
    ack: int | None = None  # the cloud has taken everything through this seq
    refused: Sequence[Refused] = ()
    wipe: bool = False  # what rows held before is to leave the log, too, as soon as nobody waits for a commit


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit made durable; `last_seq` is `first_seq - 1` where it held no records."""

    first_seq: int
    last_seq: int
    head_hash: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an opened store holds."""

    epoch: str
    next_seq: int
    head_hash: bytes
    acked: int
    state: dict[str, dict[str, bytes]]  # kind -> id -> data
    floor_utc: float | None  # the last trusted UTC that was journalled
    epochs: tuple[str, ...] = ()  # every epoch of this journal in order, `epoch` last
    vouched: tuple[float, float] | None = None  # monotonic and UTC of the newest record: of this boot, its time trusted


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is kept; its name is machine/epoch/seq."""

    seq: int
    epoch: str
    boot_id: str
    kind: str
    subject: str
    data: bytes
    utc: float
    mono: float
    utc_trusted: bool
    offline: bool
    floor_utc: float | None  # the last trusted UTC up to and with this record
    prev_hash: bytes
    hash: bytes

    def name(self, machine: str) -> str:
        """The record's name toward the cloud, never used twice."""
        return f"{machine}/{self.epoch}/{self.seq}"


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that the cloud refused: kept, whatever ages out around it."""

    record: StoredRecord
    problem: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking the whole chain found."""

    ok: bool
    checked: int  # records whose hash was computed again
    first_bad_seq: int | None  # None with ok False: not tied to one record, see `problem`
    problem: str  # empty when ok
    from_seq: int  # records through this one have aged out; 0: none have
    from_hash: bytes  # hash of that record: a signed anchor's, or covered by a later one; empty for 0
    head_seq: int  # the last sound record
    head_hash: bytes


@dataclass(frozen=True, slots=True)
class Keep:
    """What stays because it is young."""

    since_utc: float
    now_utc: float  # what says that it is younger than this was written by a wrong clock, and says nothing


class Copy(Protocol):
    """A copy of the whole journal as one commit left it, as a file's bytes; close it after reading."""

    size: int  # bytes

    async def read(self, most: int) -> bytes:
        """The next bytes; none at the end."""
        ...

    async def close(self) -> None: ...


class Store(Protocol):
    """The durable journal. One writer; calls take effect in the order in which they were made.

    Cancelling an awaited call does not undo it: what was handed over may become durable. Each method raises
    StoreError; after one from `commit`, `new_epoch` or `trim` the store is closed for writing and it is
    unknown whether that call became durable: `open()` again tells.
    """

    async def open(self) -> Loaded:
        """Open or create, and load; also the way back after an error. Does not grow with history."""
        ...

    async def commit(self, batch: Batch) -> Committed:
        """Make the batch durable, all or nothing; it is on the disk (fsynced) when this returns.

        Raises ValueError, and writes nothing, for what is never right: times that are not finite, an `ack` or
        a refused seq beyond the last record.
        """
        ...

    async def records(self, after: int, limit: int) -> list[StoredRecord]:
        """Up to `limit` records behind seq `after`, in order; does not hinder the writer."""
        ...

    async def refused(self) -> list[SetAside]:
        """The records set aside, in order."""
        ...

    async def new_epoch(self, reason: str) -> str:
        """Begin a new epoch (after a restore, or when the cloud's head differs); seq goes on."""
        ...

    async def verify(self) -> Verdict:
        """Check the whole chain, and what stands beside it, against their hashes; the writer goes on meanwhile."""
        ...

    async def trim(self, anchor_seq: int, keep: Keep | None = None) -> int:
        """Let acknowledged records through `anchor_seq` age out, those set aside and the newest one excepted.

        With `keep` only those that are older for certain: the last one of a trusted time before that, with all in
        front of it. The caller has checked the anchor's signature. Returns how many went; the chain stays verifiable.
        """
        ...

    async def snapshot(self) -> Copy:
        """A copy for a backup; the writer and other readers go on meanwhile."""
        ...

    async def close(self) -> None:
        """End in order; idempotent."""
        ...
