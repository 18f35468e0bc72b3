"""Codec of KERONG's CU48 lock board (19200 8N1). Bytes and frames only: no I/O, no time.

The vendor's facts (KERONG, "CU48 communication protocol", V2.1): a frame is `02 ADDR LOCK CMD 03 SUM`, SUM
the low byte of the sum of all bytes before it; addresses are 00-09, locks 00-2F; `50` asks for all states and
is answered `02 ADDR 00 65`, six status bytes, `03 SUM`, bit 0 of the first byte being lock 00; `51` unlocks
and has no reply.

**Lock 30 (48) unlocks the whole board, address 0A (10) the whole bus.** No function here can produce either.

Ours: locks count from 1 in this module, as in site files (lock 1 is 00 on the wire). Whether a set bit means
locked differs between sites: the decoder passes bits on as they are. None of it was tried on a physical
board.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from drivers.framing import Deframer, bits

MIN_ADDRESS, MAX_ADDRESS = 0, 9
MIN_LOCK, MAX_LOCK = 1, 48

_STX, _ETX = 0x02, 0x03
_STATUS, _UNLOCK, _REPLY = 0x50, 0x51, 0x65
_COMMAND_LENGTH, _REPLY_LENGTH = 6, 12


# ---------------------------------------------------------------- commands
@dataclass(frozen=True, slots=True)
class Unlock:
    """Pulse one lock, counted from 1. Raises ValueError for anything but one lock of one board."""

    address: int
    lock: int

    def __post_init__(self) -> None:
        _check("address", self.address, MIN_ADDRESS, MAX_ADDRESS)
        _check("lock", self.lock, MIN_LOCK, MAX_LOCK)


@dataclass(frozen=True, slots=True)
class Status:
    """Ask one board for the states of its 48 locks."""

    address: int

    def __post_init__(self) -> None:
        _check("address", self.address, MIN_ADDRESS, MAX_ADDRESS)


Command = Unlock | Status


def encode(command: Command) -> bytes:
    """The frame of a command. Raises ValueError where it would reach more than it names."""
    match command:
        case Unlock(address, lock):
            _check("lock", lock, MIN_LOCK, MAX_LOCK)  # again: this is the line that must not be passed with 49
            body = (_STX, address, lock - 1, _UNLOCK, _ETX)
        case Status(address):
            body = (_STX, address, 0, _STATUS, _ETX)
        case _:
            assert_never(command)
    _check("address", address, MIN_ADDRESS, MAX_ADDRESS)
    return bytes((*body, checksum(bytes(body))))


def checksum(body: bytes) -> int:
    """Low byte of the sum of all bytes."""
    return sum(body) & 0xFF


def _check(what: str, value: object, low: int, high: int) -> None:
    # `type` and not `isinstance`: a bool or another subclass of int is a mistake of the caller
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} must be a whole number from {low} to {high}, not {value!r}")


# ---------------------------------------------------------------- what a board says
@dataclass(frozen=True, slots=True)
class States:
    """All status bits of a board, lock 1 first, as they are on the wire."""

    address: int
    bits: tuple[bool, ...]


class Decoder(Deframer[States]):
    """Bytes of a bus to frames. Echoes of our own commands are recognised, counted and dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.echoes = 0

    def _length(self, buffer: bytes, at: int) -> int:
        if buffer[at] != _STX:
            return 0
        if len(buffer) - at < 4:
            return 4  # the command says how long the frame is
        command = buffer[at + 3]
        if command == _REPLY:
            return _REPLY_LENGTH
        return _COMMAND_LENGTH if command in (_STATUS, _UNLOCK) else 0

    def _parse(self, frame: bytes) -> States | None:
        if len(frame) != _REPLY_LENGTH or frame[-2] != _ETX or frame[-1] != checksum(frame[:-1]):
            return None
        if not MIN_ADDRESS <= frame[1] <= MAX_ADDRESS or frame[2] != 0:
            return None
        return States(frame[1], bits(frame[4:10]))

    def _overlook(self, buffer: bytes, at: int) -> int:
        frame = buffer[at : at + _COMMAND_LENGTH]
        if frame[3] == _REPLY or frame[4] != _ETX or frame[5] != checksum(frame[:5]):
            return 0
        self.echoes += 1
        return _COMMAND_LENGTH
