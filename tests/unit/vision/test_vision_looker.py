"""Which frames are looked at and what is reported, with the decoder in a real child process where it matters."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from drivers.ports import CodeRead, OptionsError, Report, Surroundings, WorkerDied
from drivers.vision import looker as looker_module
from drivers.vision import qr
from drivers.vision.frames import Frame, Seen
from drivers.vision.looker import FAILURES_TOLD, Looker, require_decoders
from tests.unit.drivers_gpio.conftest import Halves, ManualClock
from tests.unit.vision import qr_scenes
from vendingd.workers import RealWorkers


class Scripted:
    """Workers that answer as told and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, tuple[str, ...]]] = []
        self.answer: Callable[[Frame], Seen] = lambda frame: Seen((frame.data,))
        self.gate: asyncio.Event | None = None

    async def thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        return fn(*args)

    async def process(self, fn: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        assert fn is qr.look
        frame, steps = args
        self.asked.append((frame.data, steps))
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(frame)


class Rig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.workers = Scripted()
        self.said: list[Report] = []
        self.troubles: list[str] = []
        self.looker = Looker(
            "cam",
            surroundings(self.clock, self.workers),
            busy_fps=8,
            idle_fps=1,
            repeat_s=3,
            told=self.troubles.append,
        )

    def offer(self, data: bytes) -> None:
        self.looker.offer(Frame("jpeg", data, self.clock.now))

    def codes(self) -> list[bytes]:
        return [r.data for r in self.said if isinstance(r, CodeRead)]


def surroundings(clock: Any, workers: Any) -> Surroundings:
    return Surroundings(
        clock=clock,
        random=Halves(),
        workers=workers,
        serial=None,  # type: ignore[arg-type]
        pins=lambda: None,
        spawn=asyncio.ensure_future,
    )


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    task = asyncio.ensure_future(rig.looker.run(rig.said.append))
    yield rig
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_only_the_newest_frame_is_looked_at(rig: Rig) -> None:
    rig.workers.gate = asyncio.Event()
    rig.offer(b"ONE")
    await rig.clock.settle()
    for data in (b"TWO", b"THREE", b"FOUR"):
        rig.offer(data)
    rig.workers.gate.set()
    await rig.clock.advance(1)
    assert [data for data, _ in rig.workers.asked] == [b"ONE", b"FOUR"]
    assert rig.codes() == [b"ONE", b"FOUR"]
    await rig.clock.advance(10)
    assert len(rig.workers.asked) == 2  # a camera that sends nothing new is not looked at


async def flow(rig: Rig, seconds: float, fps: int = 25) -> None:
    for n in range(int(seconds * fps)):
        rig.offer(b"FRAME %d" % n)
        await rig.clock.advance(1 / fps)


async def test_idle_it_looks_once_a_second_with_the_cheap_decoder(rig: Rig) -> None:
    await flow(rig, 10)
    assert len(rig.workers.asked) == 10
    assert {steps for _, steps in rig.workers.asked} == {(qr.CHEAP,)}


async def test_busy_it_looks_often_and_takes_turns(rig: Rig) -> None:
    rig.looker.attend(True)
    await flow(rig, 2)
    assert 13 <= len(rig.workers.asked) <= 17
    assert [steps[0] for _, steps in rig.workers.asked] == [qr.CHEAP] * len(rig.workers.asked)
    assert tuple(steps[1:] for _, steps in rig.workers.asked[:5]) == (*qr.ROTATION, qr.ROTATION[0])
    rig.looker.attend(False)
    rig.workers.asked.clear()
    await flow(rig, 5)
    assert len(rig.workers.asked) <= 6


async def test_attended_to_it_looks_at_once(rig: Rig) -> None:
    await flow(rig, 0.2)
    assert len(rig.workers.asked) == 1
    rig.looker.attend(True)
    await rig.clock.settle()
    assert len(rig.workers.asked) == 2


async def test_the_same_code_is_reported_again_only_after_a_while(rig: Rig) -> None:
    rig.looker.attend(True)
    for _ in range(100):
        rig.offer(b"SAME")
        await rig.clock.advance(0.1)
    assert rig.codes() == [b"SAME"] * 4  # at 0, 3, 6 and 9 s
    rig.offer(b"OTHER")
    await rig.clock.advance(1)
    assert rig.codes()[-1] == b"OTHER"


async def test_what_was_seen_before_a_loss_is_not_reported_after_it(rig: Rig) -> None:
    rig.workers.gate = asyncio.Event()
    rig.offer(b"ONE")
    await rig.clock.settle()
    rig.offer(b"TWO")
    rig.looker.purge()
    rig.workers.gate.set()
    await rig.clock.advance(5)
    assert rig.codes() == []
    rig.offer(b"THREE")
    await rig.clock.advance(5)
    assert rig.codes() == [b"THREE"]


async def test_the_time_of_a_code_is_its_frames(rig: Rig) -> None:
    rig.workers.gate = asyncio.Event()
    arrived = rig.clock.now
    rig.offer(b"ONE")
    await rig.clock.advance(2)
    rig.workers.gate.set()
    await rig.clock.settle()
    (said,) = [r for r in rig.said if isinstance(r, CodeRead)]
    assert said.at_mono == arrived
    assert "ONE" not in repr(said)


async def test_a_worker_that_answers_junk_is_not_believed(rig: Rig) -> None:
    rig.workers.answer = lambda frame: Seen((b"\x00\xff", b"A" * 10_000_000, b"GOOD"))
    rig.offer(b"X")
    await rig.clock.settle()
    assert rig.codes() == [b"GOOD"]


@pytest.mark.parametrize("error", [TimeoutError(), WorkerDied("aborted"), ImportError("libzbar"), MemoryError()])
async def test_failures_are_told_survived_and_paced(rig: Rig, error: Exception) -> None:
    def fail(frame: Frame) -> Seen:
        raise error

    rig.looker.attend(True)
    rig.workers.answer = fail
    await flow(rig, 10)
    assert FAILURES_TOLD <= len(rig.workers.asked) <= 11
    assert rig.troubles
    assert all("QR decoder" in trouble for trouble in rig.troubles)
    rig.workers.answer = lambda frame: Seen((frame.data,))
    rig.offer(b"AGAIN")
    await rig.clock.advance(2)
    assert rig.troubles[-1] == ""
    assert rig.codes() == [b"AGAIN"]


async def test_one_bad_frame_is_nobodys_business(rig: Rig) -> None:
    rig.workers.answer = lambda frame: Seen(refused="not a JPEG picture")
    rig.offer(b"X")
    await rig.clock.advance(2)
    assert rig.troubles == []
    for _ in range(3):
        rig.offer(b"X")
        await rig.clock.advance(2)
    assert set(rig.troubles) == {"not a JPEG picture"}


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_decoders.cache_clear()
    monkeypatch.setattr(looker_module.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(OptionsError, match="libzbar0"):
        require_decoders()
    require_decoders.cache_clear()


# ---------------------------------------------------------------- a real child process
@pytest.fixture
async def workers() -> AsyncIterator[RealWorkers]:
    workers = RealWorkers(processes=1)
    yield workers
    await workers.aclose()


async def looked(workers: RealWorkers, frames: list[bytes], want: int = 1) -> list[bytes]:
    """The codes that come out of these frames, waited for."""
    clock = ManualClock()
    codes: list[bytes] = []
    enough = asyncio.Event()

    def sink(report: Report) -> None:
        if isinstance(report, CodeRead):
            codes.append(report.data)
            if len(codes) >= want:
                enough.set()

    looker = Looker("cam", surroundings(clock, workers), busy_fps=8, idle_fps=1, repeat_s=3, told=lambda trouble: None)
    task = asyncio.ensure_future(looker.run(sink))
    try:
        async with asyncio.timeout(30):
            for data in frames:
                looker.offer(Frame("jpeg", data, clock.now))
                await asyncio.sleep(0)
                await clock.advance(1)
            while not enough.is_set():
                await asyncio.sleep(0.01)
                await clock.advance(1)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return codes


async def test_a_code_is_read_in_a_child_process(workers: RealWorkers) -> None:
    payload = "6BF+70790T9WJWG.FKY*4GO0"
    assert await looked(workers, [qr_scenes.jpeg(qr_scenes.code(payload))]) == [payload.encode()]
    assert len(workers.children) == 1


def abort(frame: Frame, steps: tuple[str, ...]) -> Seen:
    """What zbar's assertions do to their process."""
    os.kill(os.getpid(), signal.SIGABRT)
    return Seen()


async def test_the_death_of_the_decoder_is_survived(workers: RealWorkers) -> None:
    with pytest.raises(WorkerDied):
        await workers.process(abort, Frame("jpeg", b"", 0.0), (), timeout_s=30)
    assert await looked(workers, [qr_scenes.jpeg(qr_scenes.code("AFTERWARDS"))]) == [b"AFTERWARDS"]
