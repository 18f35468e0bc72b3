"""Serial lines and GPIO of the simulation: bytes at their baud rate, and what can go wrong with them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from gpiozero import Factory, Pin

from drivers.link import WireLostUnwritten
from drivers.ports import SerialSettings, WireLost
from drivers.wires.gpio import chip_board
from tests.simulation.year.loop import SimLoop, Timeline


class Port:
    """The plant's end of a serial port; outlives every boot."""

    def __init__(self, name: str, line: Timeline, chance: random.Random) -> None:
        self.name = name
        self.line = line
        self.chance = chance
        self.plugged = True
        self.drop = 0.0  # chance that a frame loses a byte
        self.corrupt = 0.0
        self.repeat = 0.0
        self.late_s = 0.0
        self.echo = False
        self.tears: float | None = None  # the next write gets so far through its bytes, then the plug is out
        self.received: Callable[[bytes], None] = lambda data: None
        self.wire: Wire | None = None

    def faulty(self, drop: float = 0.0, corrupt: float = 0.0, repeat: float = 0.0, late_s: float = 0.0) -> None:
        self.drop, self.corrupt, self.repeat, self.late_s = drop, corrupt, repeat, late_s

    def unplug(self) -> None:
        self.plugged = False
        if self.wire is not None:
            self.wire.lose()

    def plug(self) -> None:
        self.plugged = True

    def _spoiled(self, data: bytes) -> bytes:
        chance = self.chance
        if self.drop and chance.random() < self.drop:
            at = chance.randrange(len(data))
            data = data[:at] + data[at + 1 :]
        if self.corrupt and data and chance.random() < self.corrupt:
            at = chance.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        return data

    # toward the daemon
    def send(self, data: bytes) -> None:
        wire = self.wire
        if wire is None or not wire.open_now:
            return
        data = self._spoiled(data)
        if self.repeat and self.chance.random() < self.repeat:
            data += data  # only what boards say: a command that comes twice is two commands
        took = len(data) * 10 / wire.baud + self.late_s * self.chance.random()
        if len(data) > 1 and self.chance.random() < 0.1:  # in two pieces
            at = self.chance.randrange(1, len(data))
            self.line.after(took * at / len(data), lambda: wire.arrive(data[:at]))
            self.line.after(took, lambda: wire.arrive(data[at:]))
        elif data:
            self.line.after(took, lambda: wire.arrive(data))

    # from the daemon
    def written(self, data: bytes, wire: Wire) -> None:
        self.line.after(len(data) * 10 / wire.baud, lambda: self._deliver(data, wire))

    def torn(self, data: bytes, wire: Wire) -> None:
        if data:
            self.received(data)
        self.unplug()

    def _deliver(self, data: bytes, wire: Wire) -> None:
        if wire.dead and self.chance.random() < 0.5:  # the power went while the bytes were leaving
            return
        if not self.plugged:
            return
        if self.echo:
            wire.arrive(data)
        if spoiled := self._spoiled(data):
            self.received(spoiled)


class Wire:
    """The daemon's end in one boot: a ByteWire."""

    def __init__(self, port: Port, baud: int, loop: SimLoop) -> None:
        self.port = port
        self.baud = baud
        self.open_now = False
        self.dead = False  # of an earlier boot
        self._loop = loop
        self._inbox = bytearray()
        self._waiting: Any = None

    async def open(self) -> None:
        if not self.port.plugged:
            raise WireLost(f"port {self.port.name} is not there")
        self._inbox.clear()
        self.open_now = True
        self.port.wire = self

    async def read(self) -> bytes:
        while not self._inbox:
            if not self.open_now:
                raise WireLost(f"port {self.port.name} went away")
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        data = bytes(self._inbox)
        self._inbox.clear()
        return data

    async def write(self, data: bytes) -> None:
        if not self.open_now or not self.port.plugged:
            raise WireLostUnwritten(f"port {self.port.name} went away")
        if self.dead:
            return
        if (tears := self.port.tears) is not None:
            self.port.tears = None
            self.port.torn(data[: int(tears * (len(data) + 1))], self)
            raise WireLost(f"port {self.port.name} went away in the midst of a write")
        self.port.written(data, self)

    def close(self) -> None:
        self.open_now = False
        self._wake()

    def arrive(self, data: bytes) -> None:
        if self.open_now and not self.dead:
            self._inbox += data
            self._wake()

    def lose(self) -> None:
        self.open_now = False
        if not self.dead:
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done() and not self.dead:
            self._waiting.set_result(None)


class Ports:
    """A SerialOpener for one boot."""

    def __init__(self, ports: dict[str, Port], loop: SimLoop) -> None:
        self._ports = ports
        self._loop = loop
        self.made: list[Wire] = []

    def __call__(self, settings: SerialSettings) -> Wire:
        name = settings.port.rsplit("/", 1)[-1]
        self.made.append(Wire(self._ports[name], settings.baud, self._loop))
        return self.made[-1]

    def die(self) -> None:
        for wire in self.made:
            wire.dead = True
            wire.open_now = False


# ---------------------------------------------------------------- GPIO
BOARD = chip_board(64)


class Lines:
    """The plant's end of a GPIO chip; outlives every boot."""

    def __init__(self) -> None:
        self.levels: dict[int, bool] = {}  # driven by the plant
        self.driven: Callable[[int, bool], None] = lambda number, high: None
        self.chip: Chip | None = None
        self.there = True

    def set(self, number: int, high: bool) -> None:
        if self.levels.get(number) == high:
            return
        self.levels[number] = high
        if self.chip is not None and not self.chip.dead:
            self.chip.edge(number, high)


class Chip(Factory):  # type: ignore[misc]  # gpiozero is untyped
    """A pin factory of one boot."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.lines = lines
        self.dead = False
        self.pins: dict[int, Line] = {}
        lines.chip = self

    def _get_board_info(self) -> Any:
        return BOARD

    def pin(self, name: int) -> Line:
        if name not in self.pins:
            self.pins[name] = Line(self, name)
        return self.pins[name]

    def edge(self, number: int, high: bool) -> None:
        pin = self.pins.get(number)
        if pin is not None and pin.handler is not None:
            pin.handler(0, high)

    def ticks(self) -> float:
        return 0.0

    def ticks_diff(self, later: float, earlier: float) -> float:
        return later - earlier


class Line(Pin):  # type: ignore[misc]
    """One line: an output that the plant feels, or an input that it sets."""

    bounce: Any = None
    edges: Any = "both"

    def __init__(self, chip: Chip, number: int) -> None:
        self.chip, self.number = chip, number
        self._function = "input"
        self._out = False
        self.handler: Callable[[int, bool], None] | None = None

    @property
    def info(self) -> Any:
        return next(iter(BOARD.find_pin(self.number)))[1]

    def _drive(self, high: bool) -> None:
        if self._out != high:
            self._out = high
            if not self.chip.dead:
                self.chip.lines.driven(self.number, high)

    @property
    def function(self) -> str:
        return self._function

    @function.setter
    def function(self, value: str) -> None:
        self._function = value
        if value == "input":
            self._drive(False)

    def input_with_pull(self, pull: str) -> None:
        self.function = "input"

    def output_with_state(self, state: bool) -> None:
        self._function = "output"
        self._drive(bool(state))

    @property
    def state(self) -> bool:
        return self._out if self._function == "output" else self.chip.lines.levels.get(self.number, True)

    @state.setter
    def state(self, value: bool) -> None:
        self._drive(bool(value))

    @property
    def when_changed(self) -> Any:
        return self.handler

    @when_changed.setter
    def when_changed(self, value: Any) -> None:
        self.handler = value

    def close(self) -> None:
        self.handler = None
        self.function = "input"
