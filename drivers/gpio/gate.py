"""`gpio-gate`: the "open" and "close" inputs of powered gates' operators.

The operator owns the safety devices (edges, beams, force limits) and decides whether the gate moves; a pulse
only asks it. Nothing is asked at start or after a loss.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from drivers.gpio.input import each_once
from drivers.gpio.pulse import GAP_MS, PULSE_MOST_MS, PULSE_MS, PulseDevice
from drivers.ports import Device, Driver, Outcome, Sent, Surroundings


class GateOptions(BaseModel):
    """Gate operators, channel n at the n-th pins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open_pins: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        min_length=1,
        description="Line numbers of the site's GPIO chip that ask to open; channel n is the n-th.",
    )
    close_pins: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        min_length=1, description="Lines that ask to close, as many as open_pins."
    )
    pulse_ms: int = Field(default=PULSE_MS, ge=1, le=PULSE_MOST_MS, description="How long a request lasts, in ms.")
    active_low: bool = Field(default=False, description="True where a low level is the request.")
    gap_ms: int = Field(default=GAP_MS, ge=0, le=60_000, description="Rest between two pulses of this device, in ms.")

    @model_validator(mode="after")
    def _pins_fit(self) -> Self:
        if len(self.open_pins) != len(self.close_pins):
            count = f"open_pins has {len(self.open_pins)} pins, close_pins {len(self.close_pins)}"
            raise ValueError(f"{count}: a gate needs one of each")
        each_once(self.lines())
        return self

    def lines(self) -> tuple[int, ...]:
        """Every GPIO line that the device claims."""
        return self.open_pins + self.close_pins


class GpioGate(PulseDevice):
    """Roles: Lock (a request to open) and Gate. One request at a time, so never both at once."""

    def __init__(self, name: str, options: GateOptions, surroundings: Surroundings) -> None:
        super().__init__(
            name,
            options.lines(),
            surroundings,
            pulse_ms=options.pulse_ms,
            active_low=options.active_low,
            gap_ms=options.gap_ms,
        )
        self._open = options.open_pins
        self._close = options.close_pins

    async def unlock(self, channel: int, *, not_after_mono: float) -> Outcome:
        """See ports.Lock: asks the operator to open."""
        return await self._ask(self._open, channel, not_after_mono)

    async def request_close(self, channel: int, *, not_after_mono: float) -> Outcome:
        """See ports.Gate."""
        return await self._ask(self._close, channel, not_after_mono)

    async def _ask(self, pins: tuple[int, ...], channel: int, not_after_mono: float) -> Outcome:
        if not 1 <= channel <= len(pins):
            return Outcome(Sent.NOT_SENT, f"no channel {channel}, there are 1 to {len(pins)}")
        return await self._pulse(pins[channel - 1], not_after_mono)


def _make(name: str, options: GateOptions, surroundings: Surroundings) -> Device:
    return GpioGate(name, options, surroundings)


DRIVER = Driver(
    name="gpio-gate",
    options=GateOptions,
    make=_make,
    roles=frozenset({"lock", "gate"}),
    channels=lambda options: range(1, len(options.open_pins) + 1),
)
