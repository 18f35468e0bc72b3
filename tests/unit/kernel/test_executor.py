"""Exactly one outcome for each effect, whatever the device does; nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from drivers.ports import Outcome, Sent
from fsm.effects import CheckPin, Unlock
from fsm.events import Event, PinChecked, UnlockOutcome
from tests.unit.virtual import LoopClock, simulate
from vendingd.kernel.executor import GRACE_S, Executor


class Device:
    """A lock that does what the test says, and counts."""

    def __init__(self, doing: Callable[[float], Awaitable[Outcome]]) -> None:
        self.doing = doing
        self.calls: list[tuple[int, float]] = []

    async def unlock(self, channel: int, *, not_after_mono: float) -> Outcome:
        self.calls.append((channel, not_after_mono))
        return await self.doing(not_after_mono)


async def run(doing: Callable[[float], Awaitable[Outcome]]) -> tuple[list[Event], Device, Executor, float]:
    told: list[Event] = []
    device = Device(doing)

    async def pin(effect: CheckPin) -> bool | None:
        return effect.digits == "1234"

    executor = Executor(
        clock=LoopClock(),
        locks={"b1": (device, 7)},
        gates={},
        check_pin=pin,
        life_s=5.0,
        spawn=lambda coro, name: asyncio.get_running_loop().create_task(coro),
    )
    executor.connect(told.append)
    executor.perform(Unlock("b1", "b1.1"))
    await asyncio.sleep(60)
    return told, device, executor, 0.0


async def sends(not_after: float) -> Outcome:
    return Outcome(Sent.SENT)


async def hangs(not_after: float) -> Outcome:
    await asyncio.sleep(1e6)
    raise AssertionError


async def breaks(not_after: float) -> Outcome:
    raise ZeroDivisionError


def test_a_sent_unlock_has_its_channel_and_its_expiry() -> None:
    told, device, _, _ = simulate(run(sends))
    assert told == [UnlockOutcome("b1", "b1.1", "sent")] and device.calls == [(7, 5.0)]


def test_a_device_that_hangs_gives_unknown_in_the_end() -> None:
    told, device, _, _ = simulate(run(hangs))
    assert [(type(e), e.sent) for e in told if isinstance(e, UnlockOutcome)] == [(UnlockOutcome, "unknown")]
    assert len(device.calls) == 1 and GRACE_S > 0


def test_a_driver_that_raises_gives_unknown() -> None:
    told, device, _, _ = simulate(run(breaks))
    assert [e.sent for e in told if isinstance(e, UnlockOutcome)] == ["unknown"] and len(device.calls) == 1


def test_what_was_not_journalled_is_told_again_and_no_pulse_is() -> None:
    async def story() -> tuple[list[Event], Device]:
        told, device, executor, _ = await run(sends)
        executor.tell_again()
        executor.journalled(told[-1])
        executor.tell_again()
        return told, device

    told, device = simulate(story())
    assert told == [UnlockOutcome("b1", "b1.1", "sent")] * 2 and len(device.calls) == 1


def test_a_pin_is_checked_outside_the_loop_of_events() -> None:
    async def story() -> list[Event]:
        told, _, executor, _ = await run(sends)
        executor.perform(CheckPin("front", 3, "r1", "sealed", "1234"))
        await asyncio.sleep(1)
        return told

    assert simulate(story())[-1] == PinChecked("front", 3, "r1", True)


async def test_what_is_late_does_not_move_and_says_so() -> None:
    told: list[Event] = []
    device = Device(sends)

    async def pin(effect: CheckPin) -> bool | None:
        return None

    executor = Executor(
        clock=LoopClock(),
        locks={"b1": (device, 7)},
        gates={},
        check_pin=pin,
        life_s=5.0,
        spawn=lambda coro, name: asyncio.get_running_loop().create_task(coro),
    )
    executor.connect(told.append)
    executor.perform(Unlock("b1", "b1.1"), late=True)
    await asyncio.sleep(0)
    assert device.calls == [] and [(t.sent, t.grant) for t in told if isinstance(t, UnlockOutcome)] == [
        ("not_sent", "b1.1")
    ]
