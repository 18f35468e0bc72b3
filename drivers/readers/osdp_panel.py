"""libosdp's control panel without a thread and without a port: bytes in, bytes out, reports of readers.

Traps of libosdp 3.2 that end here:
- Its channel may not raise (a SystemError would come out of `refresh`): ours is two buffers.
- Its wrapper queues every event for ever, and its callback leaks the event: ours is set below the wrapper, and empties
  each event after reading it.
- A reader that was offline is left alone for 300 s: `Panel.step` disables and enables it every few seconds.
- A command that a reader refuses puts it offline: `Panel.offers` says what it may be asked, and remembers a refusal.
- What it would believe without a secure channel does not get to it: see `osdp_frames.admitted`.

libosdp reads the time itself; in simulated time it would stand still.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers.ports import OptionsError
from drivers.readers import osdp_frames as frames

log = logging.getLogger(__name__)

RETRY_S = 3.0  # between two attempts at a reader that is offline; a handshake takes about half a second at 9600 baud
STALE_S = 2.0  # after a silence of this length, what the reader kept for us is too old to act upon
SILENT_S = 3.0  # a reader that says nothing for so long is down; libosdp notices after 8 s
COLOURS = ("off", "red", "green", "amber", "blue", "magenta", "cyan", "white")  # the standard's numbers
OTHER_KEY = "has another key than ours, or none"
INSECURE = "offers no secure channel, and is not used without one: it must be one of OSDP v2"
NO_ANSWER = "does not answer: check its power, the wires A and B, its address and the speed (baud)"
OPTIONAL = frozenset({frames.LSTAT, frames.LED, frames.BUZZER})  # what a reader may not know; asked once
LATE_S = 1.0  # our own process was held up: no silence of the reader's


def import_libosdp() -> Any:
    """libosdp's module `osdp`. Raises OptionsError, saying what to install."""
    try:
        importlib.import_module("osdp_sys")
        library = importlib.import_module("osdp")
    except ImportError as exc:
        raise OptionsError(f"the driver osdp-reader needs libosdp: install vendingd[osdp] ({exc})") from exc
    if not (hasattr(library, "LibFlag") and hasattr(library, "PDInfo")):  # the package `osdp` has neither
        advice = "uninstall the package `osdp`, then install vendingd[osdp] anew"
        raise OptionsError(f"libosdp cannot be used, another package overwrites it: {advice}")
    return library


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that a reader reported over its secure channel. `stale`: it may have happened long ago."""

    reader: int  # index, from 0
    event: dict[str, Any] = field(repr=False)
    stale: bool


@dataclass(slots=True)
class _Reader:
    address: int
    heard_mono: float
    up: bool = False
    drained: bool = False  # it answered a poll with "nothing" since it came back: what it tells now is new
    asked: int = 0  # the newest command to it
    seen: set[int] = field(default_factory=set)  # codes of replies since the last attempt
    refused_after: set[int] = field(default_factory=set)  # commands that it answered with a NAK
    retry_mono: float = 0.0
    trouble: str = ""  # what the newest attempt came to


class _Channel:
    """What libosdp takes for a port. Its methods cannot fail."""

    id = 0

    def __init__(self) -> None:
        self.received = bytearray()
        self.to_send: list[bytes] = []

    def read(self, most: int) -> bytes:
        part = bytes(self.received[:most])
        del self.received[:most]
        return part

    def write(self, data: bytes) -> int:
        self.to_send.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        self.received.clear()


class _Info:
    """A reader as libosdp's wrapper wants to be told; its own class has no speed."""

    def __init__(self, info: Any, baud: int) -> None:
        self.address = info.address
        self._told = {**info.get(), "baud_rate": baud}

    def get(self) -> dict[str, Any]:
        return self._told


class Panel:
    """One bus with its readers. Made anew whenever its port was opened."""

    def __init__(
        self, addresses: Sequence[int], keys: Sequence[bytes], baud: int, now_mono: float, *, install: bool = False
    ) -> None:
        """`install`: a reader in installation mode is given the key; else nothing works without it."""
        self._osdp = import_libosdp()
        self._channel = _Channel()
        flags = [] if install else [self._osdp.LibFlag.EnforceSecure]
        infos = [
            _Info(self._osdp.PDInfo(address, self._channel, scbk=key, flags=flags), baud)
            for address, key in zip(addresses, keys, strict=True)
        ]
        self._events: list[tuple[int, dict[str, Any]]] = []
        self._panel = self._osdp.ControlPanel(infos, log_level=self._osdp.LogLevel.Emergency)
        self._panel.lock = contextlib.nullcontext()
        self._panel.ctx.set_event_callback(_collector(self._events))
        self._panel.ctx.set_command_completion_callback(_completed)
        self._decoder = frames.PacketDecoder()
        self._readers = [_Reader(address, now_mono, retry_mono=now_mono + RETRY_S) for address in addresses]
        self._by_address = {reader.address: reader for reader in self._readers}
        self._stepped_mono = self._late_mono = now_mono
        self.keyset_sent = False  # a key left toward a reader

    # ------------------------------------------------------------ bytes
    def receive(self, data: bytes, now_mono: float) -> bool:
        """What came from the port. Whether a whole reply was in it, which waits for a step."""
        before = len(self._channel.received)
        for packet in self._decoder.feed(data):
            reader = self._by_address.get(packet.address)
            if reader is None or not frames.admitted(packet, secure=reader.up):
                continue
            if now_mono - reader.heard_mono > STALE_S:
                reader.drained = False
            reader.heard_mono = now_mono
            reader.seen.add(packet.code)
            if packet.code == frames.NAK and (packet.block or not reader.up):  # unsealed: it has lost the channel
                reader.refused_after.add(reader.asked)
            elif packet.code == frames.ACK and reader.asked == frames.POLL:
                reader.drained = True
            self._channel.received += packet.raw
        return len(self._channel.received) > before

    def step(self, now_mono: float) -> tuple[bytes, list[Heard]]:
        """Let the panel work: what is to be sent, and what was heard. After each reply, and every 55 ms at least.

        A step takes a reply or sends a command, never both: a reader needs some time to leave the line.
        """
        if now_mono - self._stepped_mono > LATE_S:
            self._late_mono = now_mono
        self._stepped_mono = now_mono
        self._panel.ctx.refresh()
        if not self._channel.to_send:
            self._panel.ctx.refresh()  # makes ready what the next one sends
        heard = [Heard(n, event, not self._readers[n].drained) for n, event in self._events]
        self._events.clear()
        secure = self._panel.ctx.status() & self._panel.ctx.sc_status()
        for n, reader in enumerate(self._readers):
            self._follow(n, reader, bool(secure >> n & 1), now_mono)
        return self._outgoing(), heard

    def _outgoing(self) -> bytes:
        for data in self._channel.to_send:
            packet = frames.packet(data[1:] if data[0] == frames.MARK else data)
            if packet is not None and (reader := self._by_address.get(packet.address)) is not None:
                reader.asked = packet.code
                self.keyset_sent |= packet.code == frames.KEYSET
            self._decoder.reset()  # a reply that was cut short does not go on behind the next question
        out = b"".join(self._channel.to_send)
        self._channel.to_send.clear()
        return out

    def _follow(self, n: int, reader: _Reader, secure: bool, now_mono: float) -> None:
        ctx = self._panel.ctx
        if secure:
            reader.trouble = ""
        else:
            reader.drained = False
            if reader.up:  # just lost
                ctx.flush_commands(n)
                reader.retry_mono = now_mono
            elif now_mono >= reader.retry_mono:
                reader.trouble = self._diagnosed(n, reader, now_mono)
            if not ctx.is_pd_enabled(n):
                reader.seen.clear()
                reader.refused_after &= OPTIONAL
                reader.retry_mono = now_mono + RETRY_S
                ctx.enable_pd(n)
            elif now_mono >= reader.retry_mono:
                reader.retry_mono = now_mono + RETRY_S
                ctx.disable_pd(n)
        reader.up = secure

    def _diagnosed(self, n: int, reader: _Reader, now_mono: float) -> str:
        """Why an attempt came to nothing, by what was heard meanwhile."""
        handshake = frames.CLIENT_CRYPTOGRAM in reader.seen
        if handshake or reader.refused_after & {frames.CHALLENGE, frames.SERVER_CRYPTOGRAM}:
            return OTHER_KEY
        if frames.PDCAP in reader.seen and not self._can_secure(n):
            return INSECURE
        if not self._silent(reader, now_mono):
            return "answers, but does not come up"
        if self._decoder.corrupt:
            return "is not understood: check the speed (baud), the wires A and B and the line's termination"
        return NO_ANSWER

    def _silent(self, reader: _Reader, now_mono: float) -> bool:
        return now_mono - max(reader.heard_mono, self._late_mono) >= SILENT_S

    # ------------------------------------------------------------ readers
    def up(self, n: int, now_mono: float) -> bool:
        """Its secure channel stands, by its own key, and it answers."""
        return self._readers[n].up and not self._silent(self._readers[n], now_mono)

    def insecure(self, n: int) -> str:
        """Why it went on without a secure channel, as it can only where `install` was said; '' where it did not."""
        ctx = self._panel.ctx
        if not ctx.status() & ~ctx.sc_status() & 1 << n:
            return ""
        return OTHER_KEY if self._can_secure(n) else INSECURE

    def _can_secure(self, n: int) -> bool:
        security = self._osdp.Capability.CommunicationSecurity
        return bool(self._panel.ctx.check_capability(n, security)[0] & 1)

    def trouble(self, n: int) -> str:
        """Why it is not up, for a technician; '' before the first attempt has ended."""
        return NO_ANSWER if self._readers[n].up else self._readers[n].trouble

    def offers(self, n: int, capability: str, code: int) -> bool:
        """Whether it has this capability (a name of libosdp's `Capability`) and never refused the command."""
        if code in self._readers[n].refused_after:
            return False
        return bool(self._panel.ctx.check_capability(n, getattr(self._osdp.Capability, capability))[0])

    def refused(self, n: int, code: int) -> bool:
        """It answered this command with a NAK once: it is not asked again."""
        return code in self._readers[n].refused_after

    def light(self, n: int, colour: str, *, blinking: bool = False, tenths: int = 0) -> bool:
        """Queue a colour: for good, or for so many tenths of a second. False while there is no room for it."""
        number = COLOURS.index(colour)
        lit = {"on_count": 5, "off_count": 5 if blinking else 0, "on_color": number, "off_color": 0}
        command = {"command": self._osdp.Command.LED, "reader": 0, "led_number": 0, **lit}
        if tenths:
            command |= {"temporary": True, "control_code": 2, "timer_count": tenths}
        else:
            command |= {"temporary": False, "control_code": 1}
        return self._submit(n, command)

    def beep(self, n: int, times: int) -> bool:
        """Queue beeps of 0.2 s each. False while there is no room for them."""
        sounding = {"control_code": 2, "on_count": 2, "off_count": 1, "rep_count": times}
        return self._submit(n, {"command": self._osdp.Command.Buzzer, "reader": 0, **sounding})

    def ask_status(self, n: int) -> bool:
        """Queue the question for housing and power. False while there is no room for it."""
        asked = {"type": self._osdp.StatusReportType.Local, "report": b""}
        return self._submit(n, {"command": self._osdp.Command.Status, **asked})

    def _submit(self, n: int, command: dict[str, Any]) -> bool:
        return self._readers[n].up and bool(self._panel.ctx.submit_command(n, command))

    def identity(self, n: int) -> str:
        """Vendor, model and serial number as the reader gave them, in hex."""
        told = self._panel.ctx.get_pd_id(n)
        vendor = int(told["vendor_code"]).to_bytes(3, "little").hex().upper()
        return f"{vendor}-{told['model']:02X}-{told['serial_number']:08X}"


def _collector(events: list[tuple[int, dict[str, Any]]]) -> Any:
    """The callback, without a way back to the panel: libosdp's object cannot be collected in a cycle."""

    def collect(reader: int, event: dict[str, Any]) -> int:
        events.append((reader, dict(event)))
        event.clear()  # the binding keeps a reference to it for ever
        return 0

    return collect


def _completed(reader: int, command: dict[str, Any], status: int) -> None:
    """What became of a command is seen by the reader's answers; the wrapper's own callback would be a cycle."""
