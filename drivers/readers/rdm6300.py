"""Driver `rdm6300`: RDM6300 tag readers, one on each serial port. Facts and their sources: see the codec.

A reader repeats a tag while it is in the field, and says nothing when it leaves: a pause of `gone_ms` says
so. A field that is empty from the beginning is told after the same pause. Nothing shows that a reader without
a tag is alive: its status speaks of its port only.
"""

from __future__ import annotations

import logging
from typing import Self

from pydantic import Field, model_validator

from drivers.link import Link, Statuses, noteworthy, read_within, together
from drivers.options import Options, Port, no_doubles
from drivers.ports import ByteWire, Device, Driver, SerialSettings, Sink, Surroundings, TagRead
from drivers.readers.rdm6300_frames import TagDecoder

log = logging.getLogger(__name__)


class Rdm6300Options(Options):
    """RDM6300 readers. Channel n is the n-th port."""

    ports: tuple[Port, ...] = Field(min_length=1, description="Paths of the readers' serial ports, in order.")
    baud: int = Field(9600, ge=1200, le=230400, description="Speed of the ports.")
    gone_ms: int = Field(1500, ge=200, le=60000, description="A tag unread for this long has left the field.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        no_doubles("port", self.ports)
        return self


class Rdm6300:
    """Device of one or more readers."""

    def __init__(self, name: str, options: Rdm6300Options, around: Surroundings) -> None:
        self.name = name
        self._statuses = Statuses(name, {port: (n,) for n, port in enumerate(options.ports, start=1)})
        self._readers = [
            _Reader(name, channel=n, port=port, options=options, around=around, statuses=self._statuses)
            for n, port in enumerate(options.ports, start=1)
        ]

    async def run(self, sink: Sink) -> None:
        await together(*(reader.run(sink) for reader in self._readers))


class _Reader:
    def __init__(
        self,
        device: str,
        *,
        channel: int,
        port: str,
        options: Rdm6300Options,
        around: Surroundings,
        statuses: Statuses,
    ) -> None:
        self._device = device
        self._channel = channel
        self._port = port
        self._gone_s = options.gone_ms / 1000
        self._clock = around.clock
        self._statuses = statuses
        self._decoder = TagDecoder()
        self._link = Link(device, around.serial(SerialSettings(port, options.baud)), around.clock, around.random)

    async def run(self, sink: Sink) -> None:
        await self._link.run(
            lambda wire: self._serve(wire, sink),
            lambda detail: self._statuses.tell(sink, False, detail, self._port),
        )

    async def _serve(self, wire: ByteWire, sink: Sink) -> None:
        self._decoder.reset()
        self._statuses.tell(sink, True, "", self._port)
        present: str | None = None
        gone_mono: float | None = self._clock.monotonic() + self._gone_s  # None: known to be empty
        while True:
            left_s = None if gone_mono is None else max(0.0, gone_mono - self._clock.monotonic())
            data = await read_within(wire, left_s)
            if data is None:
                present = gone_mono = None
                self._decoder.reset()
                sink(TagRead(self._device, self._channel, None, self._clock.monotonic()))
                continue
            for tag in self._feed(data):
                now = self._clock.monotonic()
                gone_mono = now + self._gone_s
                if tag != present:
                    present = tag
                    sink(TagRead(self._device, self._channel, tag, now))

    def _feed(self, data: bytes) -> list[str]:
        before = self._decoder.corrupt
        tags = self._decoder.feed(data)
        if self._decoder.corrupt > before and noteworthy(self._decoder.corrupt):
            log.warning("%s:%d: %d broken frames so far", self._device, self._channel, self._decoder.corrupt)
        return tags


def _make(name: str, options: Rdm6300Options, around: Surroundings) -> Device:
    return Rdm6300(name, options, around)


def _channels(options: Rdm6300Options) -> range:
    return range(1, len(options.ports) + 1)


DRIVER = Driver(name="rdm6300", options=Rdm6300Options, make=_make, roles=frozenset({"tag"}), channels=_channels)
