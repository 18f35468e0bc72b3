"""Runs effects, each once, and tells exactly one outcome for each. Nothing is sent again.

Effects of different bays run at the same time; those of one wire are put in turn by its device. An actuating effect
expires `unlock_life_s` after its commit: an unlock behind an unplugged adapter never fires later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from drivers.ports import Clock, Expectant, Gate, Lock, Outcome, Sent
from fsm import effects as f
from fsm.events import CloseOutcome, Event, PinChecked, UnlockOutcome

_log = logging.getLogger(__name__)
GRACE_S = 5.0  # past not_after: a pulse that began in time may still be going on

CheckPin = Callable[[f.CheckPin], Awaitable[bool | None]]


class Executor:
    """`locks` and `gates`: bay -> (device, channel)."""

    def __init__(
        self,
        *,
        clock: Clock,
        locks: Mapping[str, tuple[Lock, int]],
        gates: Mapping[str, tuple[Gate, int]],
        check_pin: CheckPin,
        life_s: float,
        spawn: Callable[[Any, str], asyncio.Task[Any]],
        erased: Callable[[str], None] = lambda rental: None,
    ) -> None:
        self._clock = clock
        self._locks = locks
        self._gates = gates
        self._check_pin = check_pin
        self._life_s = life_s
        self._spawn = spawn
        self._erased = erased
        self._tell: Callable[[Event], None] | None = None
        self._told: list[Event] = []  # outcomes not yet durable

    def connect(self, tell: Callable[[Event], None]) -> None:
        """Where outcomes go; set once, by the composition root."""
        self._tell = tell

    # ------------------------------------------------ for the mailbox
    def perform(self, effect: f.Effect) -> None:
        not_after = self._clock.monotonic() + self._life_s
        if isinstance(effect, f.Unlock):
            self._spawn(self._unlock(effect, not_after), f"unlock {effect.bay}")
        elif isinstance(effect, f.CloseGate):
            self._spawn(self._close(effect, not_after), f"close {effect.bay}")
        elif isinstance(effect, f.CheckPin):
            self._spawn(self._pin(effect), f"pin at {effect.terminal}")
        else:
            self._erased(effect.rental)

    def foresee(self, effect: f.Effect) -> None:
        """The lock's wire is kept free while the commit is on its way."""
        if isinstance(effect, f.Unlock):
            lock, _ = self._locks[effect.bay]
            if isinstance(lock, Expectant):
                lock.expect()

    def journalled(self, event: Event) -> None:
        self._told = [told for told in self._told if told is not event]

    def tell_again(self) -> None:
        told, self._told = self._told, []
        for event in told:
            self._say(event)

    # ------------------------------------------------ doing
    def _say(self, event: Event) -> None:
        assert self._tell is not None
        self._told.append(event)
        self._tell(event)

    async def _unlock(self, effect: f.Unlock, not_after: float) -> None:
        lock, channel = self._locks[effect.bay]
        outcome = await self._bounded(lock.unlock(channel, not_after_mono=not_after), not_after)
        _log.info("unlock %s (%s): %s %s", effect.bay, effect.grant, outcome.sent, outcome.detail)
        self._say(UnlockOutcome(effect.bay, effect.grant, str(outcome.sent), outcome.detail))

    async def _close(self, effect: f.CloseGate, not_after: float) -> None:
        gate, channel = self._gates[effect.bay]
        outcome = await self._bounded(gate.request_close(channel, not_after_mono=not_after), not_after)
        self._say(CloseOutcome(effect.bay, str(outcome.sent), outcome.detail))

    async def _bounded(self, doing: Awaitable[Outcome], not_after: float) -> Outcome:
        try:
            async with asyncio.timeout(max(0.0, not_after - self._clock.monotonic()) + GRACE_S):
                return await doing
        except TimeoutError:
            return Outcome(Sent.UNKNOWN, "the device did not answer in time")
        except asyncio.CancelledError:
            raise
        except Exception as why:  # noqa: BLE001 - a driver's defect must still have its one outcome
            _log.exception("a driver raised while sending")
            return Outcome(Sent.UNKNOWN, f"the driver failed: {type(why).__name__}")

    async def _pin(self, effect: f.CheckPin) -> None:
        ok = await self._check_pin(effect)
        self._say(PinChecked(effect.terminal, effect.visit, effect.rental, ok))
