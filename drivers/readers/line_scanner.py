"""Driver `line-scanner`: a QR scanner that sends lines over a serial port. Facts and their sources: see the
codec.

A scanner with a trigger is asked to look while somebody is there: once when attention begins, again after
each code and every few seconds, because modules stop looking by themselves after a time of their own.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from pydantic import Field

from drivers.link import Link, Statuses, noteworthy, read_within, together
from drivers.options import Options, Port
from drivers.ports import ByteWire, CodeRead, Device, Driver, SerialSettings, Sink, Surroundings
from drivers.readers import lines

log = logging.getLogger(__name__)

RETRIGGER_S = 3.0  # ours; GM65 modules look for 5 s by default

_TRIGGERS = {
    "none": (b"", b"", b""),  # start, stop, acknowledgement
    "gm65": (lines.GM65_TRIGGER, b"", lines.GM65_ACK),
    "honeywell": (lines.HONEYWELL_TRIGGER, lines.HONEYWELL_STOP, b""),
}


class LineScannerOptions(Options):
    """A scanner whose codes arrive as lines."""

    port: Port
    baud: int = Field(9600, ge=1200, le=921600, description="Speed of the port.")
    trigger: Literal["none", "gm65", "honeywell"] = Field(
        "none", description="How the scanner is told to look; none: it looks all the time or by itself."
    )
    idle_gap_ms: int = Field(100, ge=10, le=5000, description="A pause this long ends a line without a line end.")
    max_length: int = Field(
        4296,
        ge=16,
        le=65536,
        description="Longer lines are dropped whole (a QR code holds 4296 characters at most).",
    )


class LineScanner:
    """Device and Attention of one scanner."""

    def __init__(self, name: str, options: LineScannerOptions, around: Surroundings) -> None:
        self.name = name
        self._options = options
        self._clock = around.clock
        self._start, self._stop, acknowledgement = _TRIGGERS[options.trigger]
        self._decoder = lines.LineDecoder(options.max_length, acknowledgement)
        wire = around.serial(SerialSettings(options.port, options.baud))
        self._link = Link(name, wire, around.clock, around.random)
        self._statuses = Statuses(name, {options.port: (1,)})
        self._busy = False
        self._wake = asyncio.Event()

    async def run(self, sink: Sink) -> None:
        await self._link.run(
            lambda wire: self._serve(wire, sink), lambda detail: self._statuses.tell(sink, False, detail)
        )

    def attend(self, busy: bool) -> None:
        """Look for codes while somebody is there; nothing to do for a scanner without a trigger."""
        self._busy = busy
        self._wake.set()

    async def _serve(self, wire: ByteWire, sink: Sink) -> None:
        self._decoder.reset()
        self._statuses.tell(sink, True, "")
        if self._start:
            await together(self._read(wire, sink), self._trigger(wire))
        else:
            await self._read(wire, sink)

    async def _read(self, wire: ByteWire, sink: Sink) -> None:
        gap_s = self._options.idle_gap_ms / 1000
        at_mono = self._clock.monotonic()  # of the last byte: a pause that ends a line does not make it newer
        paused = False
        while True:
            data = await read_within(wire, gap_s if self._decoder.pending and not paused else None)
            paused = data is None
            if data is None:
                found = self._decoder.pause()
            else:
                at_mono = self._clock.monotonic()
                found = self._feed(data, sink)
            for line in found:
                sink(CodeRead(self.name, line, at_mono))
            if found:
                self._wake.set()

    def _feed(self, data: bytes, sink: Sink) -> list[bytes]:
        before = self._decoder.dropped
        found = self._decoder.feed(data)
        if self._decoder.dropped > before and (before == 0 or noteworthy(self._decoder.dropped)):
            detail = f"dropped lines over {self._options.max_length} bytes: {self._decoder.dropped} so far"
            log.warning("%s: %s", self.name, detail)
            self._statuses.tell(sink, True, detail)
        return found

    async def _trigger(self, wire: ByteWire) -> None:
        looking = False
        while True:
            self._wake.clear()
            if self._busy:
                await wire.write(self._start)
                looking = True
            elif looking:
                looking = False
                if self._stop:
                    await wire.write(self._stop)
            try:
                async with asyncio.timeout(RETRIGGER_S if self._busy else None):
                    await self._wake.wait()
            except TimeoutError:
                continue


def _make(name: str, options: LineScannerOptions, around: Surroundings) -> Device:
    return LineScanner(name, options, around)


DRIVER = Driver(name="line-scanner", options=LineScannerOptions, make=_make, roles=frozenset({"code"}))
