"""A serial port in memory, both ends of it: for tests and for whole machines in simulated time.

`MemoryWire` is the end that a device opens; `MemoryPeer` is the end of whatever speaks as the hardware. Bytes
cross at once, in order; the peer decides when it reads, answers, is unplugged or refuses bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.link import WireLostUnwritten
from drivers.ports import ByteWire, SerialSettings, WireLost


class MemoryWire(ByteWire):
    """The device's end."""

    def __init__(self, port: str = "memory") -> None:
        self.port = port
        self.plugged = True
        self.is_open = False
        self.room: int | None = None  # bytes that may still be written; None: no limit
        self.cut_when_full = False  # with `room` used up: the wire is lost (True) or waits (False)
        self._lost = False  # hung up while open; replugging alone does not bring it back
        self._inbox = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()
        self.peer = MemoryPeer(self)

    async def open(self) -> None:
        """Open empty: what the peer sent before is gone."""
        if self.is_open:
            raise RuntimeError(f"port {self.port} is open already")
        if not self.plugged:
            raise WireLost(f"port {self.port} is not there: check the cable")
        self._inbox.clear()
        self._lost = False
        self.is_open = True
        self.peer.opened.set()

    async def read(self) -> bytes:
        """At least one byte. Safe to cancel."""
        while not self._inbox:
            self._check()
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        data = bytes(self._inbox)
        self._inbox.clear()
        return data

    async def write(self, data: bytes) -> None:
        """Hand over all bytes. Raises WireLostUnwritten where none left, else WireLost."""
        sent = 0
        while sent < len(data):
            if not self._usable or (self.room == 0 and self.cut_when_full):
                detail = f"port {self.port} went away"
                raise WireLost(detail) if sent else WireLostUnwritten(detail)
            take = len(data) - sent if self.room is None else min(self.room, len(data) - sent)
            if take == 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            if self.room is not None:
                self.room -= take
            self.peer.take(data[sent : sent + take])
            sent += take

    def close(self) -> None:
        self.is_open = False
        self.peer.opened.clear()
        self.changed()

    def arrive(self, data: bytes) -> None:
        """The peer's bytes; dropped while nobody has the port open."""
        if self._usable:
            self._inbox += data
            self._wake()

    def hang_up(self) -> None:
        """The cable is pulled."""
        self.plugged = False
        self._lost = True
        self.changed()

    def changed(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()
        self._wake()

    def _check(self) -> None:
        if not self._usable:
            raise WireLost(f"port {self.port} went away")

    @property
    def _usable(self) -> bool:
        return self.is_open and not self._lost

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class MemoryPeer:
    """The hardware's end."""

    def __init__(self, wire: MemoryWire) -> None:
        self.opened = asyncio.Event()  # set while the device has the port open
        self.on_bytes: Callable[[bytes], None] | None = None  # gets what is written; else read() does
        self._wire = wire
        self._inbox = bytearray()
        self._arrived = asyncio.Event()

    def send(self, data: bytes) -> None:
        """Send to the device; lost while the port is closed."""
        self._wire.arrive(data)

    async def read(self) -> bytes:
        """What the device wrote, at least one byte."""
        while not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._inbox)
        self._inbox.clear()
        return data

    def take(self, data: bytes) -> None:
        """Bytes from the device (called by the wire)."""
        if self.on_bytes is not None:
            self.on_bytes(data)
            return
        self._inbox += data
        self._arrived.set()

    def unplug(self) -> None:
        self._wire.hang_up()

    def plug(self) -> None:
        self._wire.plugged = True

    def limit(self, room: int | None, *, cut: bool = False) -> None:
        """Take only `room` more bytes (None: all); then lose the wire (`cut`) or let the writer wait."""
        self._wire.room = room
        self._wire.cut_when_full = cut
        self._wire.changed()


class MemoryPorts:
    """Memory ports by name: a `SerialOpener` for `Surroundings.serial`, and the peers behind it."""

    def __init__(self) -> None:
        self._wires: dict[str, MemoryWire] = {}

    def __call__(self, settings: SerialSettings) -> ByteWire:
        return self._wire(settings.port)

    def peer(self, port: str) -> MemoryPeer:
        """The other end of this port, whether or not it has been opened yet."""
        return self._wire(port).peer

    def _wire(self, port: str) -> MemoryWire:
        if port not in self._wires:
            self._wires[port] = MemoryWire(port)
        return self._wires[port]
