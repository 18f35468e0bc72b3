"""`gpio-input`: contacts, beams, buttons and e-stop circuits, one line each.

Edges arrive as events and are reported undebounced; every CHECK_S the levels are read again, because an edge
can be lost. The defaults suit contacts that are closed in the safe state, with a pull-up: a cut wire then
reads as door open, bolt not locked, e-stop pressed, housing open.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drivers.gpio.device import GpioDevice
from drivers.ports import Device, Driver, LevelRead, Sense, Surroundings, WireLost
from drivers.wires.gpio import Line, Pull

_TRUE_IS: dict[Sense, Literal["high", "low"]] = {
    Sense.DOOR: "high",
    Sense.BOLT: "low",
    Sense.PRESENCE: "low",
    Sense.BUTTON: "low",
    Sense.ESTOP: "high",
    Sense.TAMPER: "high",
}


class InputOptions(BaseModel):
    """Contacts of one kind, channel n at the n-th pin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sense: Sense = Field(description="What the contacts tell: door, bolt, presence, button, estop or tamper.")
    pins: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        min_length=1, description="Line numbers of the site's GPIO chip; channel n is the n-th."
    )
    true_is: Literal["high", "low"] | None = Field(
        default=None,
        description="The level that means open, locked, occupied or pressed. Left out: bolt, presence and "
        "button low; door, estop and tamper high, so that with a pull-up a cut wire reads unsafe.",
    )
    pull: Literal["up", "down", "none"] = Field(
        default="up", description="The chip's own resistor; none where the wiring has one."
    )

    @field_validator("pins")
    @classmethod
    def _no_pin_twice(cls, pins: tuple[int, ...]) -> tuple[int, ...]:
        return each_once(pins)

    def lines(self) -> tuple[int, ...]:
        """Every GPIO line that the device claims."""
        return self.pins

    def senses(self) -> frozenset[Sense]:
        """What this very device senses."""
        return frozenset({self.sense})


def each_once(pins: tuple[int, ...]) -> tuple[int, ...]:
    """Raise ValueError naming the pins that stand there twice."""
    twice = sorted({pin for pin in pins if pins.count(pin) > 1})
    if twice:
        raise ValueError(f"pin used twice: {', '.join(map(str, twice))}")
    return pins


class GpioInput(GpioDevice):
    """Roles: the sense of its options, and Sampling."""

    def __init__(self, name: str, options: InputOptions, surroundings: Surroundings) -> None:
        super().__init__(name, options.pins, surroundings)
        self._sense = options.sense
        self._true_when_high = (options.true_is or _TRUE_IS[options.sense]) == "high"
        self._pull: Pull = "floating" if options.pull == "none" else options.pull
        self._channels = {pin: channel for channel, pin in enumerate(options.pins, start=1)}
        self._reported: dict[int, bool | None] = {}

    async def sample(self) -> None:
        """See ports.Sampling. Waits for the first attempt to claim the lines."""
        await self._tried.wait()
        self._read_all(every=True)

    def _prepare(self, line: Line) -> None:
        line.release(self._pull)
        line.listen(self._edge)

    def _check(self) -> None:
        for number, line in self._lines.items():
            self._report(number, line.high(), every=False)

    def _report_lost(self) -> None:
        for number in self._numbers:
            self._report(number, None, every=False)

    def _read_all(self, *, every: bool) -> None:
        for number in self._numbers:
            line = self._lines.get(number)
            high: bool | None = None
            if line is not None:
                try:
                    high = line.high()
                except WireLost as exc:
                    self._fail(str(exc))
            self._report(number, high, every=every)

    def _edge(self, number: int, high: bool) -> None:
        # the edge's own level, not the present one: a short press is over by now
        self._report(number, high, every=True)

    def _report(self, number: int, high: bool | None, *, every: bool) -> None:
        value = None if high is None else high == self._true_when_high
        if every or number not in self._reported or self._reported[number] != value:
            self._reported[number] = value
            self._sink(LevelRead(self.name, self._sense, self._channels[number], value))


def _make(name: str, options: InputOptions, surroundings: Surroundings) -> Device:
    return GpioInput(name, options, surroundings)


DRIVER = Driver(
    name="gpio-input",
    options=InputOptions,
    make=_make,
    senses=frozenset(Sense),
    roles=frozenset({"door", "bolt", "presence", "button", "estop", "tamper"}),
    channels=lambda options: range(1, len(options.pins) + 1),
)
