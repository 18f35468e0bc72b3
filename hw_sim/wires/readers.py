"""Peers that talk to the daemon: line scanners, serial keypads and RDM6300 tag readers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.frames import Frame, Framer
from hw_sim.wires.line import Line

GM65_ACK = bytes.fromhex("02 00 00 01 00 33 31")  # said before the data of a triggered read
TRIGGER_S = 5.0  # how long a triggered scanner looks; ours, GM65's factory setting is of this order


def crc16(data: bytes) -> int:
    """CRC-16, polynomial 1021, start 0: GM65 commands, from the type byte on."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def _gm65_length(start: bytes) -> int | None:
    if start[0] != 0x7E or (len(start) > 1 and start[1] != 0x00):
        return 0
    return None if len(start) < 4 else 8 + start[3]


def _gm65_valid(frame: bytes) -> bool:
    return frame[-2:] in (b"\xab\xcd", crc16(frame[2:-2]).to_bytes(2, "big"))


def _honeywell_length(start: bytes) -> int | None:
    return 0 if start[0] != 0x16 else 3


@dataclass(slots=True)
class Scanner:
    """A scanner that sends lines. `trigger`: none (reads what it sees), gm65 and honeywell (wait for it)."""

    line: Line
    log: PhysicalLog
    trigger: str = "none"
    suffix: bytes = b"\r"
    silent: bool = False
    shown: bytes | None = None
    looking_until: float = 0.0
    _framer: Framer = field(init=False)
    _hide: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        if self.trigger == "honeywell":
            valid: Callable[[bytes], bool] = lambda f: f in (b"\x16T\r", b"\x16U\r")  # noqa: E731
            self._framer = Framer(_honeywell_length, valid, self.act, self._rejected)
        else:
            self._framer = Framer(_gm65_length, _gm65_valid, self.act, self._rejected)
        self.line.received = self._framer.feed

    def _rejected(self, data: bytes, t: float) -> None:
        self.log.add(t, "bad_bytes", device=self.line.name, data=data.hex(" "))

    def act(self, frame: Frame) -> None:
        """Obey a command of the daemon."""
        if self.silent:
            return
        if self.trigger == "gm65" and frame.data[2:7] == bytes.fromhex("08 01 00 02 01"):
            self.line.send(GM65_ACK)
            self._look(frame.t_last)
        elif self.trigger == "honeywell" and frame.data == b"\x16T\r":
            self._look(frame.t_last)
        elif self.trigger == "honeywell":
            self.looking_until = 0.0
        else:
            self.log.add(frame.t_last, "unknown_frame", device=self.line.name, frame=frame.data.hex(" "))

    def _look(self, now: float) -> None:
        counts = self.line.counters.frames
        counts["trigger"] = counts.get("trigger", 0) + 1
        self.looking_until = now + TRIGGER_S
        self._read(now)

    def show(self, data: bytes, seconds: float, *, ended: bool = True, paced: bool = True) -> None:
        """Hold a code before the scanner; it is read at once where no trigger is needed."""
        self.shown = data + (self.suffix if ended else b"")
        if self._hide is not None:
            self._hide.cancel()
        self._hide = asyncio.get_running_loop().call_later(seconds, self.hide)
        if self.trigger == "none":
            self._emit(paced=paced)
        else:
            self._read(time.monotonic())

    def hide(self) -> None:
        self.shown = None
        if self._hide is not None:
            self._hide.cancel()
            self._hide = None

    def _read(self, now: float) -> None:
        if self.shown is not None and now < self.looking_until:
            self.looking_until = 0.0  # one trigger, one read
            self._emit(paced=True)

    def _emit(self, *, paced: bool) -> None:
        if self.silent or self.shown is None:
            return
        data = self.shown
        if not self.line.plugged or not self.line.peer_open:
            self.log.add(time.monotonic(), "scan_lost", device=self.line.name, length=len(data))
            return
        first = time.monotonic()
        self.line.send(data, paced=paced, done=lambda t: self._sent(first, t, len(data)))

    def _sent(self, first: float, last: float, length: int) -> None:
        self.log.add(last, "scan_sent", device=self.line.name, length=length, t_first=first)


@dataclass(slots=True)
class Keypad:
    """A serial keypad: one byte a key."""

    line: Line
    log: PhysicalLog
    silent: bool = False

    def type(self, keys: str, gap_s: float) -> None:
        """Press keys one after the other. What was typed is not logged, only how much."""
        if self.silent:
            return
        for i, key in enumerate(keys.encode("ascii")):
            self.line.send(bytes([key]), delay_s=i * gap_s)
        self.log.add(time.monotonic(), "keys_typed", device=self.line.name, count=len(keys))


def rdm6300(tag: str) -> bytes:
    """The frame of a tag: 02, ten hex characters, checksum (XOR of the five bytes), 03. Raises ValueError."""
    raw = bytes.fromhex(tag)
    if len(raw) != 5:
        raise ValueError(f"{tag!r} is not five bytes in hex")
    return b"\x02" + raw.hex().upper().encode() + f"{reduce(xor, raw):02X}".encode() + b"\x03"


@dataclass(slots=True)
class TagReader:
    """An RDM6300: repeats a tag's frame for as long as the tag is in its field."""

    line: Line
    log: PhysicalLog
    repeat_s: float = 0.5
    silent: bool = False
    tag: str | None = None
    _timer: asyncio.TimerHandle | None = None

    def see(self, tag: str | None) -> None:
        """The tag in the field now, or None."""
        if tag == self.tag:
            return
        self.tag = tag
        self.log.add(time.monotonic(), "tag_in_field", device=self.line.name, tag=tag or "")
        self.stop()
        if tag is not None:
            self._repeat()

    def _repeat(self) -> None:
        assert self.tag is not None
        if not self.silent and self.line.plugged:
            self.line.send(rdm6300(self.tag))
        self._timer = asyncio.get_running_loop().call_later(self.repeat_s, self._repeat)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
