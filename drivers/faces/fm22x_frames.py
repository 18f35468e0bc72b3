"""Codec of HLK-FM22x face modules (FM223, FM225; 115200 8N1). Bytes and frames only: no I/O, no time.

The vendor's facts (Hi-Link, "FM22x serial protocol"): `EF AA MID SIZE(2) data XOR`, SIZE high byte first, XOR over
MID to the last byte of data. The module answers with MID 00 (command, result, more) and speaks by itself with
MID 01 (note id, more). A success of a verification names the user, 32 bytes of name, whether an administrator,
and how the eyes were (C8 open, CC closed). A face's state in a note is 16 bits, low byte first, unlike the rest.
In demo mode a verification of any face succeeds with user FFFF.

Ours: the longest data that is believed (`MAX_DATA`), and that what is larger is no frame. Not tried on a physical
module. There is no function here for "delete all users".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import reduce
from operator import xor

from drivers.framing import Deframer

_START = b"\xef\xaa"
_REPLY, _NOTE = 0x00, 0x01
MAX_DATA = 256  # the longest message that is of use here has 38 bytes
NAME_BYTES = 32  # the last one stays zero
NOBODY = 0xFFFF  # "user" of a demonstration, and of an enrolment that is not complete yet
FIRST_UID, LAST_UID = 1, 0xFFFE


class Command(IntEnum):
    RESET = 0x10
    STATUS = 0x11
    VERIFY = 0x12
    DELETE_USER = 0x20
    FORGET_DIRECTIONS = 0x23  # drops what an enrolment that was not completed has taken
    ENROL = 0x26
    SERIAL = 0x93
    DEMO = 0xFE


class Status(IntEnum):
    IDLE = 0
    BUSY = 1
    ERROR = 2
    INVALID = 3


class Result(IntEnum):
    OK = 0
    REJECTED = 1
    ABORTED = 2
    CAMERA = 4
    UNKNOWN_REASON = 5
    INVALID_PARAMETER = 6
    NO_MEMORY = 7
    UNKNOWN_USER = 8
    FULL = 9
    ENROLLED_ALREADY = 10
    LIVENESS = 12
    TIMEOUT = 13
    AUTHORIZATION = 14
    READ_FILE = 19
    WRITE_FILE = 20
    NO_ENCRYPTION = 21
    NO_PICTURE = 23


class Eyes(IntEnum):
    OPEN = 0xC8
    CLOSED = 0xCC


class FaceState(IntEnum):
    NORMAL = 0
    NO_FACE = 1
    TOO_HIGH = 2
    TOO_LOW = 3
    TOO_LEFT = 4
    TOO_RIGHT = 5
    TOO_FAR = 6
    TOO_CLOSE = 7
    BROWS_COVERED = 8
    EYES_COVERED = 9
    FACE_COVERED = 10
    WRONG_DIRECTION = 11
    EYES_OPEN = 12
    EYES_CLOSED = 13
    EYES_UNKNOWN = 14


class Direction(IntEnum):
    """Where a face looks, one bit each, as the person who is enrolled sees it."""

    ANY = 0x00
    MIDDLE = 0x01
    RIGHT = 0x02
    LEFT = 0x04
    DOWN = 0x08
    UP = 0x10


# ---------------------------------------------------------------- what the module says
@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command. `result` is a `Result` or a number that the vendor does not name."""

    command: int
    result: int
    more: bytes = field(default=b"", repr=False)  # may hold a name


@dataclass(frozen=True, slots=True)
class Ready:
    """The module has started: whatever it was asked before is forgotten."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How the face before the module stands; `state` is a `FaceState` or a number that the vendor does not name."""

    state: int


@dataclass(frozen=True, slots=True)
class Note:
    """Any other note."""

    number: int


@dataclass(frozen=True, slots=True)
class Match:
    """Whom a verification found. `eyes` is None where the firmware does not say."""

    uid: int
    name: bytes = field(repr=False)  # as stored, without its padding; secret: never logged
    eyes: int | None


Message = Reply | Ready | Seen | Note


class Decoder(Deframer[Message]):
    """Bytes to messages. Frames with other MIDs (an adapter's echo of ours, pictures) are passed over."""

    @property
    def pending(self) -> bool:
        """A frame has begun."""
        return bool(self._held)

    def _length(self, buffer: bytes, at: int) -> int:
        head = buffer[at : at + 5]
        if not head.startswith(_START[: len(head)]):
            return 0
        if len(head) < 5:
            return 6
        size = int.from_bytes(head[3:5], "big")
        return 6 + size if size <= MAX_DATA else 0

    def _parse(self, frame: bytes) -> Message | None:
        if reduce(xor, frame[2:]) != 0:
            return None
        data = frame[5:-1]
        if frame[2] == _REPLY and len(data) >= 2:
            return Reply(data[0], data[1], data[2:])
        if frame[2] == _NOTE and data:
            return _note(data)
        return None

    def _overlook(self, buffer: bytes, at: int) -> int:
        length = self._length(buffer, at)
        frame = buffer[at : at + length]
        return length if reduce(xor, frame[2:]) == 0 else 0


def _note(data: bytes) -> Message:
    if data[0] == 0:
        return Ready()
    if data[0] == 1 and len(data) >= 3:
        return Seen(int.from_bytes(data[1:3], "little", signed=True))
    return Note(data[0])


def read_match(more: bytes) -> Match | None:
    """Whom the success of a verification names; None where it is too short to say."""
    if len(more) < 2 + NAME_BYTES:
        return None
    name = more[2 : 2 + NAME_BYTES].split(b"\0", 1)[0]
    eyes = more[3 + NAME_BYTES] if len(more) > 3 + NAME_BYTES else None
    return Match(int.from_bytes(more[:2], "big"), name, eyes)


def read_enrolled(more: bytes) -> tuple[int, int] | None:
    """User number (`NOBODY`: not complete yet) and the directions taken so far; None where too short to say."""
    if len(more) < 3:
        return None
    return int.from_bytes(more[:2], "big"), more[2]


def read_text(more: bytes) -> str:
    """A text of fixed width: modules pad it with zeros, FF or anything else."""
    end = next((at for at, byte in enumerate(more) if not 0x20 <= byte <= 0x7E), len(more))
    return more[:end].decode("ascii").strip()


# ---------------------------------------------------------------- what is said to the module
def encode(command: Command, data: bytes = b"") -> bytes:
    """The frame of a command."""
    body = bytes([command]) + len(data).to_bytes(2, "big") + data
    return _START + body + bytes([reduce(xor, body)])


def verify(timeout_s: int) -> bytes:
    """Look for an enrolled face for so many seconds (1 to 255), and stay powered afterwards."""
    return encode(Command.VERIFY, bytes([0, _seconds(timeout_s)]))


def enrol(name: bytes, direction: Direction, *, timeout_s: int, allow_duplicate: bool = False) -> bytes:
    """Take one picture (`ANY`) or one of five directions of a new, ordinary user."""
    if not 0 < len(name) < NAME_BYTES or b"\0" in name:
        raise ValueError(f"a name has 1 to {NAME_BYTES - 1} bytes, none of them zero")
    single = direction is Direction.ANY
    more = bytes([direction, single, allow_duplicate, _seconds(timeout_s), 0, 0, 0])
    return encode(Command.ENROL, b"\0" + name.ljust(NAME_BYTES, b"\0") + more)


def delete_user(uid: int) -> bytes:
    """Erase one user. Raises ValueError for a number that no user has."""
    if not FIRST_UID <= uid <= LAST_UID:
        raise ValueError(f"{uid} is no user's number ({FIRST_UID} to {LAST_UID})")
    return encode(Command.DELETE_USER, uid.to_bytes(2, "big"))


def demo_off() -> bytes:
    """Leave demo mode."""
    return encode(Command.DEMO, b"\0")


def _seconds(value: int) -> int:
    if not 1 <= value <= 255:
        raise ValueError(f"{value} s is not between 1 and 255")
    return value
