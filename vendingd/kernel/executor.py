"""Runs effects, each once, and tells exactly one outcome for each. Nothing is sent again.

Effects of different bays run at the same time; those of one wire are put in turn by its device. An actuating effect
expires `unlock_life_s` after its commit: an unlock behind an unplugged adapter never fires later. A comparison of a
face is the one effect that can be called off, and then tells nothing: nobody is there to hear of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from drivers.ports import Clock, DriverError, Expectant, Gate, Lock, Outcome, Sent
from fsm import effects as f
from fsm.events import CloseOutcome, Event, FaceChecked, FaceForgotten, FaceHint, PinChecked, UnlockOutcome

_log = logging.getLogger(__name__)
BEFORE_EFFECT = "effect.before"  # durable, and nothing has moved yet
AFTER_EFFECT = "effect.after"  # the device has answered, and nobody has heard of it yet
TOO_LATE = "the journal took so long that nobody waits there any more"
GRACE_S = 5.0  # past not_after: a pulse that began in time may still be going on

FORGET_FIRST_S, FORGET_MOST_S = 2.0, 600.0  # between tries to have a device forget a face

CheckPin = Callable[[f.CheckPin], Awaitable[bool | None]]
FaceWord = tuple[bool | None, str, str]  # right, wrong or None for not compared; the liveness; why not right
CheckFace = Callable[[f.CheckFace, Callable[[str], None]], Awaitable[FaceWord]]
ForgetFace = Callable[[str, str], Awaitable[None]]


async def _no_face(effect: f.CheckFace, hint: Callable[[str], None]) -> FaceWord:
    return None, "none", "no_device"


async def _nothing_kept(rental: str, sealed: str) -> None:
    return None


class Executor:
    """`locks` and `gates`: bay -> (device, channel). `check_face` gives a `FaceWord`."""

    def __init__(
        self,
        *,
        clock: Clock,
        locks: Mapping[str, tuple[Lock, int]],
        gates: Mapping[str, tuple[Gate, int]],
        check_pin: CheckPin,
        life_s: float,
        spawn: Callable[[Any, str], asyncio.Task[Any]],
        check_face: CheckFace = _no_face,
        forget_face: ForgetFace = _nothing_kept,
        probe: Callable[[str], None] = lambda label: None,
    ) -> None:
        """`probe` is called at labelled points of each effect; a crash test may kill the process there."""
        self._probe = probe
        self._clock = clock
        self._locks = locks
        self._gates = gates
        self._check_pin = check_pin
        self._life_s = life_s
        self._spawn = spawn
        self._check_face = check_face
        self._forget_face = forget_face
        self._looking: dict[str, tuple[int, int, asyncio.Task[Any]]] = {}  # terminal -> visit, look
        self._tell: Callable[[Event], None] | None = None
        self._told: list[Event] = []  # outcomes not yet durable

    def connect(self, tell: Callable[[Event], None]) -> None:
        """Where outcomes go; set once, by the composition root."""
        self._tell = tell

    # ------------------------------------------------ for the mailbox
    def perform(self, effect: f.Effect, *, late: bool = False) -> None:
        not_after = self._clock.monotonic() + self._life_s
        if late and isinstance(effect, f.Unlock):
            self._say(UnlockOutcome(effect.bay, effect.grant, str(Sent.NOT_SENT), TOO_LATE))
        elif late and isinstance(effect, f.CloseGate):
            self._say(CloseOutcome(effect.bay, str(Sent.NOT_SENT), TOO_LATE))
        elif isinstance(effect, f.Unlock):
            self._spawn(self._unlock(effect, not_after), f"unlock {effect.bay}")
        elif isinstance(effect, f.CloseGate):
            self._spawn(self._close(effect, not_after), f"close {effect.bay}")
        elif isinstance(effect, f.CheckPin):
            self._spawn(self._pin(effect), f"pin at {effect.terminal}")
        elif isinstance(effect, f.CheckFace):
            self._look(effect)
        elif isinstance(effect, f.StopFace):
            self._look_away(effect)
        elif effect.face is not None:
            self._spawn(self._forget(effect.rental, effect.face), "forget a face")

    def foresee(self, effect: f.Effect) -> None:
        """The lock's wire is kept free while the commit is on its way."""
        if isinstance(effect, f.Unlock):
            lock, _ = self._locks[effect.bay]
            if isinstance(lock, Expectant):
                lock.expect()

    def journalled(self, event: Event) -> None:
        self._told = [told for told in self._told if told is not event]

    def tell_again(self) -> None:
        self.look_away()  # whoever was looked at is not known here any more
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
        self._probe(BEFORE_EFFECT)
        try:
            async with asyncio.timeout(max(0.0, not_after - self._clock.monotonic()) + GRACE_S):
                outcome = await doing
            self._probe(AFTER_EFFECT)
            return outcome
        except TimeoutError:
            return Outcome(Sent.UNKNOWN, "the device did not answer in time")
        except asyncio.CancelledError:
            raise
        except Exception as why:  # noqa: BLE001 - a driver's defect must still have its one outcome
            _log.exception("a driver raised while sending")
            return Outcome(Sent.UNKNOWN, f"the driver failed: {type(why).__name__}")

    async def _pin(self, effect: f.CheckPin) -> None:
        self._probe(BEFORE_EFFECT)
        ok = await self._check_pin(effect)
        self._probe(AFTER_EFFECT)
        self._say(PinChecked(effect.terminal, effect.visit, effect.rental, ok))

    # ------------------------------------------------ faces
    def look_away(self) -> None:
        """End every comparison of a face."""
        for _, _, task in self._looking.values():
            task.cancel()
        self._looking.clear()

    def _look(self, effect: f.CheckFace) -> None:
        before = self._looking.get(effect.terminal)
        if before is not None:
            before[2].cancel()
        task = self._spawn(self._face(effect, before[2] if before is not None else None), f"face at {effect.terminal}")
        self._looking[effect.terminal] = (effect.visit, effect.look, task)

    def _look_away(self, effect: f.StopFace) -> None:
        visit, look, task = self._looking.get(effect.terminal, (0, 0, None))
        if task is not None and (visit, look) == (effect.visit, effect.look):
            del self._looking[effect.terminal]
            task.cancel()

    async def _face(self, effect: f.CheckFace, before: asyncio.Task[Any] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))  # one device looks at one person

        def hint(word: str) -> None:
            assert self._tell is not None
            self._tell(FaceHint(effect.terminal, effect.visit, effect.look, effect.rental, word))

        try:
            ok, liveness, why = await self._check_face(effect, hint)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a driver's defect must still have its one outcome
            _log.exception("a driver raised while comparing a face")
            ok, liveness, why = None, "none", "driver_failed"
        if self._looking.get(effect.terminal, (0, 0, None))[:2] == (effect.visit, effect.look):
            del self._looking[effect.terminal]
        self._say(FaceChecked(effect.terminal, effect.visit, effect.look, effect.rental, ok, liveness, why))

    async def _forget(self, rental: str, sealed: str) -> None:
        """Until the device has; after a restart the domain asks again."""
        pause = FORGET_FIRST_S
        while True:
            try:
                await self._forget_face(rental, sealed)
                break
            except DriverError as why:
                _log.warning("a device cannot forget a face yet: %s", why)
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 - a driver's defect is no reason to stop the machine
                _log.exception("a driver raised while forgetting a face")
            await self._clock.sleep_until(self._clock.monotonic() + pause)
            pause = min(pause * 2, FORGET_MOST_S)
        self._say(FaceForgotten(rental, sealed))
