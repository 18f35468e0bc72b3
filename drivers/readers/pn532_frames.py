"""Codec of the PN532 NFC controller on a serial line (HSU, 115200 8N1). Bytes and frames only: no I/O, no time.

The vendor's facts (NXP UM0701-02, "PN532 user manual"): `00 00 FF LEN LCS TFI data DCS 00`, LEN counts TFI and data,
LEN + LCS = 0 and TFI + data + DCS = 0, modulo 256; TFI is D4 to the chip and D5 from it. `00 00 FF 00 FF 00`
acknowledges, `00 00 FF FF 00 00` asks to repeat, `7F` alone says that a command was not understood. The chip
sleeps until it has seen `55 55` and some zeros. A card's number (UID) of four bytes that begins with 08 was made
up at random for this one reading (ISO/IEC 14443-3).

Ours: frames are recognised from `00 FF` on, so that a lost preamble loses none. The zero at the end is insisted on:
the sums do not notice the loss of a zero, after which that last one would pass for the checksum. Extended frames
(`FF FF`) are not used and not read. Not tried on a physical chip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from drivers.framing import Deframer

_TO_CHIP, _FROM_CHIP, _ERROR = 0xD4, 0xD5, 0x7F
WAKE = b"\x55\x55" + bytes(14)
ACK = bytes.fromhex("00 00 FF 00 FF 00")
NACK = bytes.fromhex("00 00 FF FF 00 00")
IC_PN532 = 0x32
UID_LENGTHS = (4, 7, 10)
_RANDOM = 0x08


class Command(IntEnum):
    FIRMWARE = 0x02
    SAM = 0x14
    RF = 0x32
    LIST_TARGETS = 0x4A


# ---------------------------------------------------------------- what the chip says
@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The command has arrived; its answer follows."""


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The command arrived broken: send it once more."""


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """The chip does not know the command."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a command. Its data may hold a card's number: never logged."""

    command: int
    data: bytes = field(repr=False)


Message = Acknowledged | AskedAgain | NotUnderstood | Answer


class Decoder(Deframer[Message]):
    """Bytes to messages; an adapter's echo of our commands is passed over."""

    @property
    def pending(self) -> bool:
        """A frame has begun."""
        return len(self._held) > 1  # a zero alone is the pause before a frame

    def _length(self, buffer: bytes, at: int) -> int:
        head = buffer[at : at + 4]
        if not head.startswith(b"\x00\xff"[: len(head)]):
            return 0
        if len(head) < 4:
            return 4
        length, check = head[2], head[3]
        if (length, check) in {(0x00, 0xFF), (0xFF, 0x00)}:
            return 4
        if length == 0 or (length + check) & 0xFF != 0:
            return 0
        return 6 + length

    def _parse(self, frame: bytes) -> Message | None:
        if frame[2:4] == b"\x00\xff":
            return Acknowledged()
        if frame[2:4] == b"\xff\x00":
            return AskedAgain()
        if frame[-1] != 0 or sum(frame[4:]) & 0xFF != 0:
            return None
        body = frame[4:-2]
        if body[0] == _ERROR and len(body) == 1:
            return NotUnderstood()
        if body[0] == _FROM_CHIP and len(body) >= 2:
            return Answer(body[1] - 1, body[2:])
        return None

    def _overlook(self, buffer: bytes, at: int) -> int:
        length = self._length(buffer, at)
        body = buffer[at + 4 : at + length]
        return length if body[:1] == bytes([_TO_CHIP]) and sum(body) & 0xFF == 0 else 0


def read_card(data: bytes) -> bytes | None:
    """The number of the one card of an answer to `list_cards`; None where there is none.

    Raises ValueError where the answer contradicts itself.
    """
    if not data:
        raise ValueError("no number of targets")
    if data[0] == 0:
        return None
    if len(data) < 6:
        raise ValueError("a target without its number")
    uid = data[6 : 6 + data[5]]
    if data[5] not in UID_LENGTHS or len(uid) != data[5]:
        raise ValueError(f"a number of {data[5]} bytes")
    return uid


def is_random(uid: bytes) -> bool:
    """Whether a card made this number up for this one reading, as phones and identity cards do."""
    return len(uid) == 4 and uid[0] == _RANDOM


# ---------------------------------------------------------------- what is said to the chip
def encode(command: Command, data: bytes = b"") -> bytes:
    """The frame of a command of at most 250 bytes of data."""
    body = bytes([_TO_CHIP, command]) + data
    if len(body) > 0xFC:
        raise ValueError(f"{len(data)} bytes do not fit into one frame")
    return b"\0\0\xff" + bytes([len(body), -len(body) & 0xFF]) + body + bytes([-sum(body) & 0xFF, 0])


def normal_mode() -> bytes:
    """Read cards by the chip itself, without a security module."""
    return encode(Command.SAM, b"\x01")


def firmware() -> bytes:
    return encode(Command.FIRMWARE)


def look_briefly() -> bytes:
    """Let `list_cards` return after two tries without a card, instead of waiting for one for ever."""
    return encode(Command.RF, bytes.fromhex("05 FF 01 01"))


def field_off() -> bytes:
    """Take the cards' power away: each is found anew when `list_cards` switches the field on again."""
    return encode(Command.RF, bytes.fromhex("01 00"))


def list_cards() -> bytes:
    """Find one card of type A at 106 kbit/s."""
    return encode(Command.LIST_TARGETS, bytes.fromhex("01 00"))
