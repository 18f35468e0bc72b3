"""OSDP readers on one RS-485 line, written from the standard (SIA OSDP 2.2): cards, keys, housing, light and buzzer.

A reader obeys what it gets in the clear, too, as readers do that are not told otherwise: whoever does without the
secure channel learns everything from it. It keeps what people did until it is asked.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.frames import Frame, Framer
from hw_sim.wires.line import Line
from hw_sim.wires.osdp_secure import DEFAULT_KEY, MAC_SENT, Channel

SOM, REPLY = 0x53, 0x80
MARK_SENT = b"\xff"  # before a packet, to let the line settle
POLL, ID, CAP, LSTAT, LED, BUZ, KEYSET, CHLNG, SCRYPT = 0x60, 0x61, 0x62, 0x64, 0x69, 0x6A, 0x75, 0x76, 0x77
ACK, NAK, PDID, PDCAP, LSTATR, RAW, KEYPAD, CCRYPT, RMAC_I = 0x40, 0x41, 0x45, 0x46, 0x48, 0x50, 0x53, 0x76, 0x78
UNKNOWN_COMMAND, BAD_SEQUENCE, NO_SUCH_SECURITY, SECURITY_WANTED, BAD_RECORD = 3, 4, 5, 6, 9
SESSION_S = 8.0  # a session without a command for so long is over
KEPT = 16  # cards and keys that a reader keeps; the oldest go first
COLOURS = ("off", "red", "green", "amber", "blue", "magenta", "cyan", "white")


def crc16(data: bytes) -> int:
    """CRC-16, polynomial 1021, start 1D0F."""
    crc = 0x1D0F
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def packet_length(start: bytes) -> int | None:
    """For a `Framer`."""
    if start[0] != SOM:
        return 0
    if len(start) < 4:
        return None
    length = start[2] | start[3] << 8
    return length if 8 <= length <= 1440 else 0


def packet_valid(frame: bytes) -> bool:
    """For a `Framer`."""
    return bool(frame[4] & 0x04) and crc16(frame[:-2]) == frame[-2] | frame[-1] << 8


@dataclass(slots=True)
class ReaderOptions:
    """One reader. `key` None: it has none yet. `install`: it takes the well-known key, and a new one by it."""

    key: bytes | None = None
    install: bool = False
    led: bool = True
    buzzer: bool = True
    secure: bool = True  # knows the secure channel
    status: bool = True  # knows osdp_LSTAT
    serial: int = 0x00C0FFEE


@dataclass(slots=True)
class Reader:
    """One peripheral device at its address."""

    address: int
    options: ReaderOptions
    rng: random.Random
    silent: bool = False
    tampered: bool = False
    lights: dict[str, Any] = field(default_factory=lambda: {"steady": "off", "blinking": False, "now": None})
    beeps: int = 0
    keys_taken: int = 0
    plain_polls: int = 0  # polls answered without a secure channel
    kept: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=KEPT))
    channel: Channel | None = None
    _own: bytes | None = None  # the key that it had before it was reset
    _sequence: int = -1
    _answer: bytes = b""
    _heard: float = 0.0

    # ------------------------------------------------------------ people
    def show_card(self, bits: int, data: bytes, form: int = 1) -> None:
        """A card of so many bits, left-aligned in `data`. `form`: 0 not said, 1 Wiegand."""
        self.kept.append((RAW, bytes([0, form]) + bits.to_bytes(2, "little") + data))

    def press(self, keys: str) -> None:
        """Keys as the standard codes them: * is 7F, # is 0D."""
        coded = keys.translate({ord("*"): 0x7F, ord("#"): 0x0D}).encode("latin-1")
        self.kept.append((KEYPAD, bytes([0, len(coded)]) + coded))

    def open_housing(self, opened: bool) -> None:
        self.tampered = opened
        self.kept.append((LSTATR, bytes([int(opened), 0])))

    def present(self, badge: str | None) -> None:
        """Hold `wiegand26:0123ABC0` before it, or take it away, which it does not tell. Raises ValueError."""
        if badge is None:
            return
        form, _, text = badge.partition(":")
        data = bytes.fromhex(text)
        number = form.removeprefix("wiegand")
        if number == form or not number.isdigit() or not 0 < int(number) <= 8 * len(data) < int(number) + 8:
            raise ValueError(f"{badge!r} is no badge of this reader: want wiegandBITS:HEX, such as wiegand26:0123ABC0")
        self.show_card(int(number), data)

    def reset(self, on: bool) -> None:
        """Back as it came from its maker, in installation mode; off: with the key that it had."""
        if on:
            self._own, self.options.key = self.options.key, None
        elif self._own is not None:
            self._own, self.options.key = None, self._own
        self.options.install = self.options.key is None
        self.restarted()

    def stop(self) -> None:
        """Its power went."""
        self.restarted()

    def restarted(self) -> None:
        """Its power went and came: everything but the key is forgotten."""
        self.channel, self._sequence, self._answer = None, -1, b""
        self.kept.clear()
        self.lights.update(steady="off", blinking=False, now=None)

    # ------------------------------------------------------------ packets
    def handle(self, packet: bytes, now: float) -> bytes | None:
        """The answer to a packet whose check is right."""
        if packet[1] != self.address or self.silent:
            return None
        if self.channel is not None and now - self._heard > SESSION_S:
            self.channel = None
        self._heard = now
        sequence, block = packet[4] & 0x03, b""
        body = packet[5:-2]
        if packet[4] & 0x08:
            block, body = body[: body[0]], body[body[0] :]
        if sequence == 0:
            if self.channel is not None and self.channel.stands:
                self.channel = None
        elif sequence == self._sequence and self._answer:
            return self._answer  # it was lost on the way
        elif self._sequence < 0 or sequence != self._sequence % 3 + 1:
            return self._plain(sequence, NAK, bytes([BAD_SEQUENCE]))
        self._sequence = sequence
        self._answer = self._answered(packet, sequence, block, body)
        return self._answer

    def _answered(self, packet: bytes, sequence: int, block: bytes, body: bytes) -> bytes:
        kind = block[1] if block else 0
        if kind in (0x11, 0x13):
            return self._handshake(sequence, kind, block, body)
        if kind in (0x15, 0x17):
            return self._sealed(packet, sequence, kind, body)
        if kind:
            return self._plain(sequence, NAK, bytes([NO_SUCH_SECURITY]))
        self.plain_polls += body[0] == POLL
        if body[0] == KEYSET:
            return self._plain(sequence, NAK, bytes([SECURITY_WANTED]))
        if self.channel is not None and self.channel.stands:
            self.channel = None
            return self._plain(sequence, NAK, bytes([SECURITY_WANTED]))
        return self._plain(sequence, *self._obey(body[0], body[1:]))

    def _handshake(self, sequence: int, kind: int, block: bytes, body: bytes) -> bytes:
        own = bool(block[2])
        key = self.options.key if own else DEFAULT_KEY if self.options.install else None
        if key is None or not self.options.secure:
            return self._plain(sequence, NAK, bytes([NO_SUCH_SECURITY]))
        if kind == 0x11 and body[0] == CHLNG and len(body) == 9:
            self.channel = Channel.begin(key, body[1:], self.rng.randbytes(8))
            uid = b"\xca\xfe\x42\x01" + self.options.serial.to_bytes(4, "little")
            said = uid + self.channel.rnd_b + self.channel.client_cryptogram
            return self._packet(sequence, bytes([3, 0x12, block[2]]), CCRYPT, said)
        channel = self.channel
        if kind == 0x13 and body[0] == SCRYPT and channel is not None and body[1:] == channel.server_cryptogram:
            return self._packet(sequence, b"\x03\x14\x01", RMAC_I, channel.stand())
        self.channel = None
        return self._plain(sequence, NAK, bytes([SECURITY_WANTED]))

    def _sealed(self, packet: bytes, sequence: int, kind: int, body: bytes) -> bytes:
        channel = self.channel
        if channel is None or not channel.stands or len(body) < 1 + MAC_SENT:
            return self._plain(sequence, NAK, bytes([SECURITY_WANTED]))
        data, mac = body[1:-MAC_SENT], body[-MAC_SENT:]
        try:
            data = channel.decipher(data) if kind == 0x17 else data
        except ValueError:
            mac = b""
        if not channel.accept(packet[: -2 - MAC_SENT], mac):
            self.channel = None
            return self._plain(sequence, NAK, bytes([SECURITY_WANTED]))
        code, said = self._obey(body[0], data, sealed=True)
        carried = channel.encipher(said) if said else b""
        start = self._start(sequence, bytes([2, 0x18 if said else 0x16]), code, carried, MAC_SENT)
        return self._checked(start + channel.sign(start))

    def _obey(self, command: int, data: bytes, *, sealed: bool = False) -> tuple[int, bytes]:
        match command:
            case 0x60:
                return self.kept.popleft() if self.kept else (ACK, b"")
            case 0x61:
                return PDID, b"\x00\xca\xfe\x01\x02" + self.options.serial.to_bytes(4, "little") + b"\x01\x02\x03"
            case 0x62:
                return PDCAP, self._capabilities()
            case 0x64 if self.options.status:
                return LSTATR, bytes([int(self.tampered), 0])
            case 0x69 if self.options.led and len(data) == 14:
                self._light(data)
                return ACK, b""
            case 0x6A if self.options.buzzer and len(data) == 5:
                self.beeps += data[4] if data[1] > 1 else 0
                return ACK, b""
            case 0x75 if sealed and data[:2] == b"\x01\x10" and len(data) == 18:
                self.options.key, self.options.install = data[2:], False
                self.keys_taken += 1
                return ACK, b""
        return NAK, bytes([UNKNOWN_COMMAND])

    def _capabilities(self) -> bytes:
        one = self.options
        listed = {3: (1, 0), 8: (1, 0), 9: (1, 1) if one.secure else (0, 0), 10: (0, 1), 14: (1, 0)}
        listed |= {4: (4, 1)} if one.led else {}
        listed |= {5: (2, 1)} if one.buzzer else {}
        return b"".join(bytes([code, *values]) for code, values in sorted(listed.items()))

    def _light(self, data: bytes) -> None:
        if data[2] == 2:
            self.lights["now"] = COLOURS[data[5] & 7]
        elif data[2] == 1:
            self.lights["now"] = None
        if data[9] == 1:
            self.lights.update(steady=COLOURS[data[12] & 7], blinking=data[11] > 0 and data[10] > 0)

    def _plain(self, sequence: int, code: int, data: bytes) -> bytes:
        return self._packet(sequence, b"", code, data)

    def _packet(self, sequence: int, block: bytes, code: int, data: bytes) -> bytes:
        return self._checked(self._start(sequence, block, code, data, 0))

    def _start(self, sequence: int, block: bytes, code: int, data: bytes, behind: int) -> bytes:
        """From SOM to the data; the length counts what comes behind it, too."""
        length = 5 + len(block) + 1 + len(data) + behind + 2
        control = sequence | 0x04 | (0x08 if block else 0)
        return bytes([SOM, self.address | REPLY, length & 0xFF, length >> 8, control]) + block + bytes([code]) + data

    def _checked(self, start: bytes) -> bytes:
        return start + crc16(start).to_bytes(2, "little")

    def to_json(self) -> dict[str, Any]:
        return {
            "address": self.address, "secure": self.channel is not None and self.channel.stands,
            "install": self.options.install, "keys_taken": self.keys_taken, "plain_polls": self.plain_polls,
            "light": dict(self.lights), "beeps": self.beeps, "tampered": self.tampered, "kept": len(self.kept),
        }  # fmt: skip


@dataclass(slots=True)
class ReaderKeys:
    """The keypad of one reader."""

    reader: Reader
    log: PhysicalLog
    device: str

    @property
    def silent(self) -> bool:
        return self.reader.silent

    @silent.setter
    def silent(self, on: bool) -> None:
        self.reader.silent = on

    def type(self, keys: str, gap_s: float) -> None:
        """Press keys one after the other. What was typed is not logged, only how much."""
        for i, key in enumerate(keys):
            asyncio.get_running_loop().call_later(i * gap_s, self.reader.press, key)
        self.log.add(time.monotonic(), "keys_typed", device=self.device, count=len(keys))


class ReaderBus:
    """The readers of one line."""

    def __init__(self, line: Line, readers: Sequence[Reader], log: PhysicalLog, *, answer_s: float = 0.003) -> None:
        self.line, self.log, self.answer_s = line, log, answer_s
        self.readers = tuple(readers)
        # marks and noise are no packets, and said by nobody in particular
        self._framer = Framer(packet_length, packet_valid, self._heard, lambda data, t: None)
        line.received = self._framer.feed

    def _heard(self, frame: Frame) -> None:
        for reader in self.readers:
            answer = reader.handle(frame.data, frame.t_last)
            if answer is not None:
                counts = self.line.counters.frames
                counts["answers"] = counts.get("answers", 0) + 1
                self.line.send(MARK_SENT + answer, delay_s=self.answer_s)

    def stop(self) -> None:
        """The readers' power went."""
        self.restarted()

    def restarted(self) -> None:
        """The readers' power came back."""
        for reader in self.readers:
            reader.restarted()

    @property
    def silent(self) -> bool:
        return all(reader.silent for reader in self.readers)

    @silent.setter
    def silent(self, on: bool) -> None:
        for reader in self.readers:
            reader.silent = on

    def to_json(self) -> list[dict[str, Any]]:
        return [reader.to_json() for reader in self.readers]
