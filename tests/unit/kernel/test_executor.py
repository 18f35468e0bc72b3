"""Exactly one outcome for each effect, whatever the device does; nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from drivers.ports import DriverError, Outcome, Sent
from fsm.effects import CheckFace, CheckPin, EraseSecrets, StopFace, Unlock
from fsm.events import Event, FaceChecked, FaceForgotten, FaceHint, PinChecked, UnlockOutcome
from tests.unit.virtual import LoopClock, simulate
from vendingd.kernel.executor import GRACE_S, Executor, FaceWord


class Device:
    """A lock that does what the test says, and counts."""

    def __init__(self, doing: Callable[[float], Awaitable[Outcome]]) -> None:
        self.doing = doing
        self.calls: list[tuple[int, float]] = []

    async def unlock(self, channel: int, *, not_after_mono: float) -> Outcome:
        self.calls.append((channel, not_after_mono))
        return await self.doing(not_after_mono)


def executor_of(device: Device, told: list[Event]) -> Executor:
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
    return executor


async def run(doing: Callable[[float], Awaitable[Outcome]]) -> tuple[list[Event], Device, Executor, float]:
    told: list[Event] = []
    device = Device(doing)
    executor = executor_of(device, told)
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
    executor = executor_of(device, told)
    executor.perform(Unlock("b1", "b1.1"), late=True)
    await asyncio.sleep(0)
    assert device.calls == [] and [(t.sent, t.grant) for t in told if isinstance(t, UnlockOutcome)] == [
        ("not_sent", "b1.1")
    ]


# ---------------------------------------------------------------- faces
class Faces:
    """A comparison that the test ends; forgetting that fails as often as it says."""

    def __init__(self, failures: int = 0) -> None:
        self.begun: list[CheckFace] = []
        self.called_off: list[CheckFace] = []
        self.word: asyncio.Future[FaceWord] | None = None
        self.failures = failures
        self.tried = 0

    async def check(self, effect: CheckFace, hint: Callable[[str], None]) -> FaceWord:
        self.begun.append(effect)
        hint("closer")
        self.word = asyncio.get_running_loop().create_future()
        try:
            return await self.word
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)  # it takes a camera a moment to look away
            self.called_off.append(effect)
            raise

    async def forget(self, rental: str, sealed: str) -> None:
        self.tried += 1
        if self.tried <= self.failures:
            raise DriverError("unplugged") if self.tried % 2 else ZeroDivisionError


def looking(faces: Faces) -> tuple[Executor, list[Event]]:
    told: list[Event] = []

    async def pin(effect: CheckPin) -> bool | None:
        return None

    executor = Executor(
        clock=LoopClock(),
        locks={},
        gates={},
        check_pin=pin,
        life_s=5.0,
        spawn=lambda coro, name: asyncio.get_running_loop().create_task(coro),
        check_face=faces.check,
        forget_face=faces.forget,
    )
    executor.connect(told.append)
    return executor, told


FIRST, SECOND = CheckFace("front", 3, 1, "r1", "sealed"), CheckFace("front", 4, 1, "r2", "sealed")


def test_a_face_is_compared_and_its_hints_are_told() -> None:
    async def story() -> list[Event]:
        faces = Faces()
        executor, told = looking(faces)
        executor.perform(FIRST)
        await asyncio.sleep(1)
        assert faces.word is not None
        faces.word.set_result((False, "challenge", "no_movement"))
        await asyncio.sleep(1)
        executor.perform(StopFace("front", 3, 1))  # too late: it is over
        await asyncio.sleep(1)
        return told

    assert simulate(story()) == [
        FaceHint("front", 3, 1, "r1", "closer"),
        FaceChecked("front", 3, 1, "r1", False, "challenge", "no_movement"),
    ]


def test_a_comparison_that_is_called_off_tells_nothing() -> None:
    async def story() -> tuple[list[Event], Faces]:
        faces = Faces()
        executor, told = looking(faces)
        executor.perform(FIRST)
        await asyncio.sleep(1)
        executor.perform(StopFace("front", 3, 2))  # another one's
        await asyncio.sleep(1)
        assert faces.called_off == []
        executor.perform(StopFace("front", 3, 1))
        await asyncio.sleep(1)
        return told, faces

    told, faces = simulate(story())
    assert faces.called_off == [FIRST] and [type(one) for one in told] == [FaceHint]


def test_one_device_looks_at_one_person_at_a_time() -> None:
    async def story() -> Faces:
        faces = Faces()
        executor, _ = looking(faces)
        executor.perform(FIRST)
        await asyncio.sleep(1)
        executor.perform(SECOND)
        executor.perform(StopFace("front", 3, 1))  # of the same step, and no harm to the second
        await asyncio.sleep(0.1)
        assert faces.begun == [FIRST], "the first has not looked away yet"
        await asyncio.sleep(1)
        return faces

    faces = simulate(story())
    assert faces.begun == [FIRST, SECOND] and faces.called_off == [FIRST]


def test_a_driver_that_raises_has_compared_nothing() -> None:
    async def story() -> list[Event]:
        faces = Faces()
        executor, told = looking(faces)
        executor.perform(FIRST)
        await asyncio.sleep(1)
        assert faces.word is not None
        faces.word.set_exception(ZeroDivisionError())
        await asyncio.sleep(1)
        return told

    assert simulate(story())[-1] == FaceChecked("front", 3, 1, "r1", None, "none", "driver_failed")


def test_after_the_journal_was_away_nobody_is_looked_at() -> None:
    async def story() -> Faces:
        faces = Faces()
        executor, _ = looking(faces)
        executor.perform(FIRST)
        await asyncio.sleep(1)
        executor.tell_again()
        await asyncio.sleep(1)
        return faces

    assert simulate(story()).called_off == [FIRST]


def test_a_device_is_asked_to_forget_until_it_has() -> None:
    async def story() -> tuple[list[Event], Faces]:
        faces = Faces(failures=4)
        executor, told = looking(faces)
        executor.perform(EraseSecrets("r1"))
        executor.perform(EraseSecrets("r1", "sealed"))
        await asyncio.sleep(3600)
        return told, faces

    told, faces = simulate(story())
    assert told == [FaceForgotten("r1", "sealed")] and faces.tried == 5
