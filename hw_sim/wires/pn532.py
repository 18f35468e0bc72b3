"""PN532 NFC readers on a serial line (HSU), the chip's side. 115200 8N1.

From NXP's user manual (UM0701-02): `00 00 FF LEN LCS TFI data DCS 00`; D4 to the chip, D5 from it, the answer's
code is the command's plus 1. Each command is acknowledged (`00 00 FF 00 FF 00`), then answered; a broken one is
met with `00 00 FF FF 00 00`, and the same from the host has the last answer repeated; a command that is not known
is answered with 7F alone. The chip sleeps after power-up until it sees 55. A card that was activated stays so; let
go of, it is halted and does not answer a new search until the field has been off (ISO/IEC 14443-3).

Ours, because the manual gives ranges: acknowledged 1 ms after the command, answered 3 ms later, a search without a
card takes 10 ms a try; "for ever" is cut off by the next command.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.frames import Frame, Framer
from hw_sim.wires.line import Line

ACK = bytes.fromhex("00 00 FF 00 FF 00")
NACK = bytes.fromhex("00 00 FF FF 00 00")
FIRMWARE, SAM, RF, LIST, RELEASE = 0x02, 0x14, 0x32, 0x4A, 0x52
UNDERSTOOD = {FIRMWARE, SAM, RF, LIST, RELEASE}


def framed(data: bytes) -> bytes:
    """A whole frame around TFI and data."""
    return b"\0\0\xff" + bytes([len(data), -len(data) & 0xFF]) + data + bytes([-sum(data) & 0xFF, 0])


def _length(start: bytes) -> int | None:
    if not b"\0\0\xff".startswith(start[:3]):
        return 0
    if len(start) < 5:
        return None
    if start[3:5] in (b"\0\xff", b"\xff\0"):
        return 6
    return 7 + start[3]


def _valid(frame: bytes) -> bool:
    return len(frame) == 6 or (frame[3] + frame[4]) & 0xFF == 0


def badge_uid(badge: str) -> bytes:
    """`nfc:04112233` as the number on the card. Raises ValueError."""
    form, _, number = badge.partition(":")
    uid = bytes.fromhex(number)
    if form != "nfc" or len(uid) not in (4, 7, 10):
        raise ValueError(f"{badge!r} is not nfc: and 4, 7 or 10 bytes in hex")
    return uid


@dataclass(slots=True)
class PN532Options:
    ic: int = 0x32
    ack_s: float = 0.001
    answer_s: float = 0.003
    search_s: float = 0.01


@dataclass(slots=True)
class CardReader:
    """One reader and the card before it."""

    line: Line
    log: PhysicalLog
    rng: Random
    options: PN532Options = field(default_factory=PN532Options)
    silent: bool = False
    uid: bytes | None = None
    random_uid: bool = False  # a phone: another number each time the field comes
    searches: int = 0
    _awake: bool = False
    _field: bool = False
    _card: str = "idle"  # idle, active, halted
    _tries: int = 0xFF
    _last: bytes = b""
    _timer: asyncio.TimerHandle | None = None
    _framer: Framer = field(init=False)

    def __post_init__(self) -> None:
        self._framer = Framer(_length, _valid, self.act, self._rejected)
        self.line.received = self._received

    def _received(self, data: bytes, times: Sequence[float]) -> None:
        at = 0
        if not self._awake:
            at = data.find(b"\x55")
            self._awake = at >= 0
        if self._awake:
            self._framer.feed(data[at:], times[at:])

    def _rejected(self, data: bytes, t: float) -> None:
        if data.strip(b"\x00\x55"):
            self.log.add(t, "bad_bytes", device=self.line.name, data=data.hex(" "))

    # ------------------------------------------------------------ cards
    def present(self, badge: str | None) -> None:
        """The badge before it now, `nfc:random` for a phone, or None. Raises ValueError."""
        self.random_uid = badge == "nfc:random"
        self.uid = None if badge is None else (self._chance() if self.random_uid else badge_uid(badge))
        self._card = "idle"
        self.log.add(time.monotonic(), "badge_in_field", device=self.line.name, there=badge is not None)

    def _chance(self) -> bytes:
        return b"\x08" + self.rng.randbytes(3)

    def restarted(self) -> None:
        """Power came back: it sleeps, its field is off, and it knows no settings."""
        self.stop()
        self._awake, self._tries, self._last = False, 0xFF, b""
        self._field_off()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _field_off(self) -> None:
        self._field, self._card = False, "idle"
        if self.random_uid:
            self.uid = self._chance()

    # ------------------------------------------------------------ commands
    def act(self, frame: Frame) -> None:
        """Obey a frame of the host."""
        data = frame.data
        if self.silent:
            return
        if data == ACK:
            self.stop()  # the host gives up what it asked for
        elif data == NACK:
            self._send(self._last, self.options.answer_s)
        elif sum(data[5:-1]) & 0xFF != 0 or data[5] != 0xD4 or len(data) < 9:
            self._count("broken")
            self._send(NACK, self.options.ack_s)
        else:
            self.stop()
            self._count(f"{data[6]:02x}")
            self._send(ACK, self.options.ack_s)
            self._obey(data[6], data[7:-2])

    def _obey(self, command: int, data: bytes) -> None:
        answer = b""
        if command not in UNDERSTOOD:
            self._answer(b"\x7f")
            return
        if command == FIRMWARE:
            answer = bytes([self.options.ic, 1, 6, 7])
        elif command == RF and data[:1] == b"\x05":
            self._tries = data[3]
        elif command == RF and data == b"\x01\x00":
            self._field_off()
        elif command == RELEASE:
            self._card = "halted" if self._card == "active" else self._card
            answer = b"\0"
        elif command == LIST:
            self.searches += 1
            self._search(0)
            return
        self._answer(bytes([0xD5, command + 1]) + answer)

    def _search(self, tried: int) -> None:
        self._timer = None
        self._field = True
        if self.uid is not None and self._card == "idle":
            self._card = "active"
            found = bytes([1, 1, 0x00, 0x04, 0x08, len(self.uid)]) + self.uid
            self._answer(bytes([0xD5, LIST + 1]) + found)
        elif self._tries != 0xFF and tried >= self._tries:
            self._answer(bytes([0xD5, LIST + 1, 0]))
        else:
            self._timer = asyncio.get_running_loop().call_later(self.options.search_s, self._search, tried + 1)

    # ------------------------------------------------------------ saying
    def _answer(self, data: bytes) -> None:
        self._last = framed(data)
        self._send(self._last, self.options.answer_s)

    def _send(self, data: bytes, delay_s: float) -> None:
        if data:
            self.line.send(data, delay_s=delay_s)

    def _count(self, what: str) -> None:
        counts = self.line.counters.frames
        counts[what] = counts.get(what, 0) + 1
