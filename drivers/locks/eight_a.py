"""Codec of the "8A" family of lock boards (9600 8N1). Bytes and frames only: no I/O, no time.

The vendors' facts, restated from the boards' protocol sheets: every frame ends in the XOR of all bytes before
it; `8A addr lock 11` opens one lock and is answered `8A addr lock state`; `80 addr lock 33` asks for one lock
and is answered `80 addr lock state`; `80 addr 00 33` asks for all and is answered `80 addr S… 33`, the
highest group of eight first, bit 0 the lowest lock of its group, three status bytes even on a board of eight;
state is 00 or 11; a board may push `81` or `82` frames when a lock changes. Addresses are 1-31 (DIP switch),
locks count from 1.

**Lock 00 of the open command opens every lock of the board.** No function here can produce it, nor the frame
`90` that opens several at once: one authorisation opens one bay.

Ours: that a set status bit means what 11 means; that a pushed frame is laid out as the reply for one lock;
the upper limit of 64 locks; that a board of more than 24 locks sends one status byte for each group of eight.
None of it was tried on a physical board.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import assert_never

from drivers.framing import Deframer, bits

MIN_ADDRESS, MAX_ADDRESS = 1, 31
MIN_LOCK, MAX_LOCK = 1, 64

_OPEN, _QUERY, _PUSHES = 0x8A, 0x80, (0x81, 0x82)
_OPEN_CODE, _QUERY_CODE = 0x11, 0x33
_STATES = {0x00: False, 0x11: True}
_SHORT = 5  # every frame but the reply to query-all


# ---------------------------------------------------------------- commands
@dataclass(frozen=True, slots=True)
class OpenOne:
    """Pulse one lock. Raises ValueError for anything but one lock of one board."""

    address: int
    lock: int

    def __post_init__(self) -> None:
        _check("address", self.address, MIN_ADDRESS, MAX_ADDRESS)
        _check("lock", self.lock, MIN_LOCK, MAX_LOCK)


@dataclass(frozen=True, slots=True)
class QueryOne:
    """Ask for the state of one lock."""

    address: int
    lock: int

    def __post_init__(self) -> None:
        _check("address", self.address, MIN_ADDRESS, MAX_ADDRESS)
        _check("lock", self.lock, MIN_LOCK, MAX_LOCK)


@dataclass(frozen=True, slots=True)
class QueryAll:
    """Ask for the states of all locks of one board."""

    address: int

    def __post_init__(self) -> None:
        _check("address", self.address, MIN_ADDRESS, MAX_ADDRESS)


Command = OpenOne | QueryOne | QueryAll


def encode(command: Command) -> bytes:
    """The frame of a command. Raises ValueError where it would reach more than it names."""
    match command:
        case OpenOne(address, lock):
            body = (_OPEN, address, lock, _OPEN_CODE)
            _check("lock", lock, MIN_LOCK, MAX_LOCK)  # again: this is the line that must not be passed with 00
        case QueryOne(address, lock):
            body = (_QUERY, address, lock, _QUERY_CODE)
            _check("lock", lock, MIN_LOCK, MAX_LOCK)
        case QueryAll(address):
            body = (_QUERY, address, 0, _QUERY_CODE)
        case _:
            assert_never(command)
    _check("address", address, MIN_ADDRESS, MAX_ADDRESS)
    return bytes((*body, bcc(bytes(body))))


def bcc(body: bytes) -> int:
    """XOR of all bytes."""
    return reduce(xor, body, 0)


def status_bytes(locks: int) -> int:
    """How many status bytes the reply to query-all of a board with so many locks has."""
    return max(3, -(-locks // 8))


def _check(what: str, value: object, low: int, high: int) -> None:
    # `type` and not `isinstance`: a bool or another subclass of int is a mistake of the caller
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} must be a whole number from {low} to {high}, not {value!r}")


# ---------------------------------------------------------------- what a board says
@dataclass(frozen=True, slots=True)
class Opened:
    """The reply to an open command. Where `eleven` it equals the command, so it confirms nothing."""

    address: int
    lock: int
    eleven: bool


@dataclass(frozen=True, slots=True)
class OneState:
    """One lock's state, asked for or pushed."""

    address: int
    lock: int
    eleven: bool
    pushed: bool


@dataclass(frozen=True, slots=True)
class AllStates:
    """All states of a board, lock 1 first; True is 11."""

    address: int
    eleven: tuple[bool, ...]


Frame = Opened | OneState | AllStates


class Decoder(Deframer[Frame]):
    """Bytes of a bus to frames.

    Replies to query-all carry no length and begin as replies to query-one do, so the decoder must be told
    which of the two is asked on this bus: `status` is the number of status bytes, 0 for query-one.
    """

    def __init__(self, status: int = 3) -> None:
        super().__init__()
        self.echoes = 0  # our own queries come back: the adapter has local echo
        self._status = status

    def _length(self, buffer: bytes, at: int) -> int:
        head = buffer[at]
        if head == _QUERY:
            return self._status + 4 if self._status else _SHORT
        return _SHORT if head == _OPEN or head in _PUSHES else 0

    def _parse(self, frame: bytes) -> Frame | None:
        head, address = frame[0], frame[1]
        if bcc(frame) != 0 or not MIN_ADDRESS <= address <= MAX_ADDRESS:
            return None
        if head == _QUERY and self._status:
            if frame[-2] != _QUERY_CODE:
                return None
            return AllStates(address, bits(reversed(frame[2:-2])))
        lock, state = frame[2], _STATES.get(frame[3])
        if state is None or not MIN_LOCK <= lock <= MAX_LOCK:
            return None
        if head == _OPEN:
            return Opened(address, lock, state)
        return OneState(address, lock, state, pushed=head in _PUSHES)

    def _overlook(self, buffer: bytes, at: int) -> int:
        query = buffer[at : at + _SHORT]
        if query[0] == _QUERY and query[3] == _QUERY_CODE and bcc(query) == 0:
            self.echoes += 1
            return _SHORT
        return 0
