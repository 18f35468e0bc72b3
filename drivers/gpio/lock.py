"""`gpio-lock`: solenoid locks and strikes, one line each, opened by a pulse.

Wire them so that an undriven line leaves the lock unpowered (see `drivers.gpio.pulse`). Defaults are ours,
from what small solenoids stand: 400 ms, never over 1 s, 500 ms between two on one supply.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drivers.gpio.input import each_once
from drivers.gpio.pulse import GAP_MS, PULSE_MOST_MS, PULSE_MS, PulseDevice
from drivers.ports import Device, Driver, Outcome, Sent, Surroundings


class LockOptions(BaseModel):
    """Locks on one supply, channel n at the n-th pin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pins: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        min_length=1, description="Line numbers of the site's GPIO chip; channel n is the n-th."
    )
    pulse_ms: int = Field(default=PULSE_MS, ge=1, le=PULSE_MOST_MS, description="How long a lock is powered, in ms.")
    active_low: bool = Field(default=False, description="True where a low level powers the lock.")
    gap_ms: int = Field(
        default=GAP_MS,
        ge=0,
        le=60_000,
        description="Rest of the supply between two pulses of this device, in ms.",
    )

    @field_validator("pins")
    @classmethod
    def _no_pin_twice(cls, pins: tuple[int, ...]) -> tuple[int, ...]:
        return each_once(pins)

    def lines(self) -> tuple[int, ...]:
        """Every GPIO line that the device claims."""
        return self.pins


class GpioLock(PulseDevice):
    """Role: Lock."""

    def __init__(self, name: str, options: LockOptions, surroundings: Surroundings) -> None:
        super().__init__(
            name,
            options.pins,
            surroundings,
            pulse_ms=options.pulse_ms,
            active_low=options.active_low,
            gap_ms=options.gap_ms,
        )

    async def unlock(self, channel: int, *, not_after_mono: float) -> Outcome:
        """See ports.Lock."""
        if not 1 <= channel <= len(self._numbers):
            return Outcome(Sent.NOT_SENT, f"no channel {channel}, there are 1 to {len(self._numbers)}")
        return await self._pulse(self._numbers[channel - 1], not_after_mono)


def _make(name: str, options: LockOptions, surroundings: Surroundings) -> Device:
    return GpioLock(name, options, surroundings)


DRIVER = Driver(
    name="gpio-lock",
    options=LockOptions,
    make=_make,
    roles=frozenset({"lock"}),
    channels=lambda options: range(1, len(options.pins) + 1),
)
