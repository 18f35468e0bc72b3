"""Keeps a wire open: backoff, reopening, and the words that devices share about it. Owns no protocol.

A device gives its `Link` a coroutine that serves the open wire until `WireLost`; the link closes, tells the
device, waits with exponential backoff and jitter, and opens again, for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from drivers.ports import ByteWire, Clock, DeviceStatus, Random, Sink, WireLost

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.1  # a replugged adapter is back after about half a second of udev's work
LONGEST_RETRY_S = 5.0  # opening a missing port costs microseconds; a person with the cable in hand is waiting
STEADY_S = 10.0  # a link that stayed up this long starts its backoff anew


class WireLostUnwritten(WireLost):
    """The wire went away under a write before its first byte left: safe to authorise anew."""


class Backoff:
    """Delays that double from `first_s` to `longest_s`, each between half and the whole of it by chance."""

    def __init__(self, random: Random, *, first_s: float = FIRST_RETRY_S, longest_s: float = LONGEST_RETRY_S) -> None:
        self._random = random
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The delay before the next try, in seconds."""
        ceiling = self._next_s
        self._next_s = min(self._longest_s, ceiling * 2)
        return ceiling * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        self._next_s = self._first_s


class Link:
    """One wire, reopened for ever."""

    def __init__(self, device: str, wire: ByteWire, clock: Clock, random: Random) -> None:
        self.up = False
        self.tried = asyncio.Event()  # the first attempt to open has ended, one way or the other
        self._device = device
        self._wire = wire
        self._clock = clock
        self._backoff = Backoff(random)

    async def run(self, serve: Callable[[ByteWire], Awaitable[None]], down: Callable[[str], None]) -> None:
        """Open, serve, reopen until cancelled. `down(detail)` is called after each close."""
        while True:
            detail = await self._once(serve)
            down(detail)
            self.tried.set()
            await self._clock.sleep_until(self._clock.monotonic() + self._backoff.next_s())

    async def _once(self, serve: Callable[[ByteWire], Awaitable[None]]) -> str:
        opened_mono: float | None = None
        try:
            await self._wire.open()
            opened_mono = self._clock.monotonic()
            self.up = True
            self.tried.set()
            log.info("%s: link open", self._device)
            await serve(self._wire)
        except WireLost as exc:
            if opened_mono is not None:
                log.warning("%s: link lost: %s", self._device, exc)
            return str(exc)
        finally:
            self.up = False
            self._wire.close()
            if opened_mono is not None and self._clock.monotonic() - opened_mono >= STEADY_S:
                self._backoff.reset()
        raise RuntimeError(f"{self._device}: serving ended without the loss of its wire")


async def read_within(wire: ByteWire, seconds: float | None) -> bytes | None:
    """What arrives, or None after a silence of `seconds`.

    A process that was late itself finds bytes and a time-out at once: that was no silence.
    """
    try:
        async with asyncio.timeout(seconds):
            return await wire.read()
    except TimeoutError:
        pass
    try:
        async with asyncio.timeout(0):  # what has arrived is given without waiting
            return await wire.read()
    except TimeoutError:
        return None


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until one ends or fails, cancel the others, raise what the failed one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Statuses:
    """Turns what is known of a device's units (boards, ports) into `DeviceStatus`, on changes only.

    The whole device (channel None) is up while any unit is. A device of several units reports each unit's
    channels as well, so that one dead board does not condemn the others.
    """

    def __init__(self, device: str, units: Mapping[str, Sequence[int]]) -> None:
        self._device = device
        self._units = {unit: tuple(channels) for unit, channels in units.items()}
        self._now: dict[str, tuple[bool, str]] = {}
        self._told: dict[int | None, tuple[bool, str]] = {}

    def tell(self, sink: Sink, up: bool, detail: str, *units: str) -> None:
        """The named units (all, where none is named) are up or down."""
        for unit in units or tuple(self._units):
            self._now[unit] = (up, detail)
        if len(self._units) > 1:
            for unit, state in self._now.items():
                for channel in self._units[unit]:
                    self._change(sink, channel, state)
        if any(up for up, _ in self._now.values()):
            troubles = {detail: None for up, detail in self._now.values() if not up or detail}
            self._change(sink, None, (True, "; ".join(troubles)))
        elif len(self._now) == len(self._units):
            self._change(sink, None, (False, "; ".join({detail: None for _, detail in self._now.values()})))

    def _change(self, sink: Sink, channel: int | None, state: tuple[bool, str]) -> None:
        if self._told.get(channel) != state:
            self._told[channel] = state
            sink(DeviceStatus(self._device, state[0], state[1], channel))


def noteworthy(count: int) -> bool:
    """True for 1, 2, 4, 8 …: counts of broken input that are worth a line in the log."""
    return count & (count - 1) == 0
