"""One pulse at a time on the lines of one supply. Shared by locks and gates.

Between pulses a line is *undriven*, held at its idle level by a resistor. That makes one safe state of all of
them: at construction, at rest, at close, after a crash and before the daemon was started. An output that is
driven while idle would hide a wiring that is unsafe when undriven until the first crash shows it, and an
active-low one would blip when it is made an output.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from drivers.gpio.device import GpioDevice
from drivers.ports import Outcome, Sent, Surroundings, WireLost
from drivers.wires.gpio import Line, Pull

PULSE_MOST_MS = 1000  # a solenoid's coil is not made for more
PULSE_MS = 400
GAP_MS = 500


class PulseDevice(GpioDevice):
    """Lines that are energised for a moment, never two at once, `gap_ms` apart: they share one supply."""

    def __init__(
        self,
        name: str,
        numbers: Sequence[int],
        surroundings: Surroundings,
        *,
        pulse_ms: int,
        active_low: bool,
        gap_ms: int,
    ) -> None:
        super().__init__(name, numbers, surroundings)
        self._pulse_s = min(pulse_ms, PULSE_MOST_MS) / 1000
        self._gap_s = gap_ms / 1000
        self._active = not active_low
        self._idle: Pull = "up" if active_low else "down"
        self._supply = asyncio.Lock()
        self._rested_mono = float("-inf")  # from when the supply may be loaded again

    def _prepare(self, line: Line) -> None:
        line.release(self._idle)

    def _check(self) -> None:
        self._lines[self._numbers[0]].high()  # any line will do: all of them go away together

    def _report_lost(self) -> None:
        """Lines that are only driven tell of nothing that could be forgotten."""

    async def _pulse(self, number: int, not_after_mono: float) -> Outcome:
        """Energise one line for the pulse's length, once. Cancellation ends the pulse first."""
        async with self._supply:
            if self._clock.monotonic() < self._rested_mono:
                await self._clock.sleep_until(self._rested_mono)
            line = self._lines.get(number)
            if line is None:
                return Outcome(Sent.NOT_SENT, "link down")
            if self._clock.monotonic() > not_after_mono:
                return Outcome(Sent.NOT_SENT, "expired")
            trouble = ""
            try:
                line.drive(self._active)
                await self._clock.sleep_until(self._clock.monotonic() + self._pulse_s)
            except WireLost as exc:
                trouble = str(exc)
            finally:
                trouble = self._end(line) or trouble
                self._rested_mono = self._clock.monotonic() + self._gap_s
                if trouble:
                    self._fail(trouble)
            return Outcome(Sent.UNKNOWN, trouble) if trouble else Outcome(Sent.SENT)

    def _end(self, line: Line) -> str:
        """De-energise; returns what went wrong."""
        if line.closed:
            return f"the lines were lost during the pulse of GPIO {line.number}"
        try:
            line.drive(not self._active)
            line.release(self._idle)
        except WireLost as exc:
            with contextlib.suppress(WireLost):
                line.release("floating")
            line.close()
            return str(exc)
        return ""
