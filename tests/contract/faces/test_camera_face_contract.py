"""The role FaceVerifier by a camera: Motion JPEG over HTTP from the simulator, networks in a child process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers import registry
from drivers.faces import engine, models, template
from drivers.faces.camera_face import DRIVER, CameraFace, CameraFaceOptions
from drivers.faces.template import Template
from drivers.ports import (
    Device,
    DeviceStatus,
    DriverError,
    FaceFinding,
    FaceResult,
    FaceVerifier,
    OptionsError,
    Report,
    Surroundings,
)
from hw_sim.camera import Camera, CameraHost
from hw_sim.model.log import PhysicalLog
from tests.unit.faces import heads
from vendingd.kernel.time import SystemClock, SystemRandom
from vendingd.workers import RealWorkers

LONG_S = 60.0  # nothing that succeeds waits for it
SHORT_S = 4.0  # for what ends by the end of its time
REST, NEAR = 0.7, 1.0  # how large the head is


class Watched(RealWorkers):
    """Workers that remember which children they had apart."""

    def __init__(self) -> None:
        super().__init__(threads=1, processes=1)
        self.apart_pids: set[int] = set()

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[RealWorkers]:
        async with super().apart() as own:
            self.apart_pids.add(await own.process(os.getpid, timeout_s=LONG_S))
            yield own


class Rig:
    """A camera of the simulator and the driver before it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/video"
        self.camera = Camera("cam", self.url, PhysicalLog(), random.Random(1))
        self.workers = Watched()
        self.host = CameraHost([self.camera])
        self.said: list[Report] = []
        self.hints: list[str] = []
        self.answers: Callable[[str], Awaitable[None]] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def device(self, **options: Any) -> CameraFace:
        made = DRIVER.make("face", CameraFaceOptions(url=self.url, **options), surroundings(self.workers))
        assert isinstance(made, CameraFace)
        self._spawn(made.run(self.said.append))
        return made

    def _spawn(self, what: Any) -> None:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)

    def hint(self, word: str) -> None:
        self.hints.append(word)
        if self.answers is not None:
            self._spawn(self.answers(word))

    async def show(self, *pictures: Any, live: bool = True) -> None:
        await self.camera.show_pictures([heads.jpeg(one) for one in pictures], 300.0, live)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        self.camera.hide()
        await self.host.stop()
        await self.workers.aclose()

    @property
    def statuses(self) -> list[DeviceStatus]:
        return [report for report in self.said if isinstance(report, DeviceStatus)]


def surroundings(workers: Any) -> Surroundings:
    return Surroundings(
        clock=SystemClock(),
        random=SystemRandom(),
        workers=workers,
        serial=None,  # type: ignore[arg-type]
        pins=lambda: None,
        spawn=asyncio.ensure_future,
    )


def template_of(who: str) -> bytes:
    now = SystemClock().utc_now()
    return template.write(Template(engine.see(heads.alone(who)).vector, now - 10, now + 3600))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    rig = Rig(port)
    await rig.host.start()
    yield rig
    await rig.stop()


async def verify(rig: Rig, device: CameraFace, who: str = "hopper", timeout_s: float = LONG_S) -> FaceResult:
    return await device.verify_face(template_of(who), hint=rig.hint, timeout_s=timeout_s)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# ---------------------------------------------------------------- the role
async def test_it_is_a_device_and_a_face_verifier(rig: Rig) -> None:
    device = rig.device()
    assert isinstance(device, Device) and isinstance(device, FaceVerifier)
    assert device.formats == {"vendingd-face-1"} and device.liveness == "challenge"
    assert rig.device(challenge=False).liveness == "none"
    assert registry.find("camera-face").roles == {"face"}
    await device.forget_face(template_of("hopper"))


async def test_who_is_there_is_verified_and_nobody_else(rig: Rig) -> None:
    device = rig.device(challenge=False)
    await rig.show(heads.alone("hopper"))
    assert await verify(rig, device) == FaceResult(FaceFinding.VERIFIED, "none")
    other = await verify(rig, device, "collins")
    assert (other.finding, other.liveness) == (FaceFinding.WRONG, "none")
    assert rig.statuses[-1].up


async def test_camera_and_process_are_there_for_the_comparison_only(rig: Rig) -> None:
    device = rig.device(challenge=False)
    await rig.show(heads.alone("hopper"))
    assert rig.camera.frames_sent == 0
    assert (await verify(rig, device)).finding is FaceFinding.VERIFIED
    async with asyncio.timeout(LONG_S):
        while rig.camera.viewers:
            await asyncio.sleep(0.01)
    assert rig.workers.children == ()
    (pid,) = rig.workers.apart_pids
    assert gone(pid)


@pytest.mark.long
async def test_an_enrolment_verifies_later(rig: Rig) -> None:
    device = rig.device(challenge=False, template_days=2)
    await rig.show(heads.alone("hopper"))
    made = await device.enrol_face("somebody", hint=rig.hint, timeout_s=LONG_S)
    assert "somebody" not in made.decode() and json.loads(made)["fmt"] == "vendingd-face-1"
    result = await device.verify_face(made, hint=rig.hint, timeout_s=LONG_S)
    assert result.finding is FaceFinding.VERIFIED
    await rig.show(heads.alone("collins"))
    result = await device.verify_face(made, hint=rig.hint, timeout_s=LONG_S)
    assert result.finding is FaceFinding.WRONG


# ---------------------------------------------------------------- challenge
async def obeys(rig: Rig, word: str) -> None:
    """The person does what the screen says."""
    degrees, scale = {"turn_left": (40, REST), "turn_right": (-40, REST), "closer": (0, NEAR)}.get(word, (0, REST))
    await rig.show(heads.alone("hopper", scale, degrees=degrees))


async def test_a_person_who_does_what_is_asked_is_live(rig: Rig) -> None:
    rig.answers = lambda word: obeys(rig, word)
    await obeys(rig, "look_here")
    result = await verify(rig, rig.device(challenge_steps=3))
    assert result == FaceResult(FaceFinding.VERIFIED, "challenge")
    assert len([word for word in rig.hints if word != "look_here"]) == 3


@pytest.mark.long
async def test_a_printed_face_is_none(rig: Rig) -> None:
    """Held up and turned by hand as a head would."""

    async def turned_by_hand(word: str) -> None:
        degrees = {"turn_left": 40, "turn_right": -40}.get(word, 0)
        await rig.show(heads.scene((heads.print_turned("hopper", degrees), REST, 320)))

    rig.answers = turned_by_hand
    await turned_by_hand("")
    result = await verify(rig, rig.device(challenge_steps=1))
    assert (result.finding, result.liveness) == (FaceFinding.WRONG, "none")
    assert "movement" in result.detail


@pytest.mark.long
async def test_another_face_in_the_challenge_is_refused(rig: Rig) -> None:
    """The holder's picture first, then somebody who can move."""

    async def swapped(word: str) -> None:
        if word in ("turn_left", "turn_right"):
            await rig.show(heads.alone("collins", REST))

    rig.answers = swapped
    await rig.show(heads.alone("hopper", REST))
    result = await verify(rig, rig.device(challenge_steps=1))
    assert result.finding is FaceFinding.WRONG and "another one" in result.detail


# ---------------------------------------------------------------- attacks and troubles in the picture
@pytest.mark.long
async def test_a_frozen_picture_is_no_live_camera(rig: Rig) -> None:
    await rig.show(heads.alone("hopper"), live=False)
    result = await verify(rig, rig.device(challenge=False))
    assert result.finding is FaceFinding.UNAVAILABLE and "one picture" in result.detail


@pytest.mark.long
async def test_a_film_that_is_fed_in_again_and_again_is_refused(rig: Rig) -> None:
    film = [heads.lived(heads.alone("hopper", degrees=degrees), degrees) for degrees in (0, 6, 12)]
    await rig.show(*film, live=False)
    result = await verify(rig, rig.device(challenge=True))
    assert result.finding is FaceFinding.WRONG and "there before" in result.detail


@pytest.mark.long
async def test_the_film_of_the_last_comparison_is_refused(rig: Rig) -> None:
    film = [heads.lived(heads.alone("hopper"), seed) for seed in range(40)]
    device = rig.device(challenge=False)
    await rig.show(*film, live=False)
    assert (await verify(rig, device)).finding is FaceFinding.VERIFIED, "recorded as it went"
    await rig.show(*film, live=False)
    again = [await verify(rig, device) for _ in range(2)]
    assert FaceFinding.WRONG in [result.finding for result in again]


@pytest.mark.long
@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (
            lambda: heads.scene((heads.portrait("hopper"), 0.6, 160), (heads.portrait("collins"), 0.6, 480)),
            "one_person",
        ),
        (lambda: heads.alone("hopper", light=0.15), "more_light"),
        (lambda: heads.alone("hopper", 0.3), "closer"),
    ],
)
async def test_what_is_wrong_is_said_and_is_no_attempt(rig: Rig, picture: Callable[[], Any], word: str) -> None:
    await rig.show(picture())
    result = await verify(rig, rig.device(), timeout_s=SHORT_S)
    assert result.finding is FaceFinding.UNAVAILABLE
    assert set(rig.hints) == {word} and word in result.detail


# ---------------------------------------------------------------- troubles of camera and process
@pytest.mark.long
async def test_a_camera_that_is_away_is_no_attempt(rig: Rig) -> None:
    device = rig.device()
    await rig.host.stop()
    result = await verify(rig, device, timeout_s=SHORT_S)
    assert result.finding is FaceFinding.UNAVAILABLE and "no connection" in result.detail
    assert not rig.statuses[-1].up
    await rig.host.start()
    await rig.show(heads.alone("collins"))
    assert (await verify(rig, device)).finding is FaceFinding.WRONG
    assert rig.statuses[-1].up


@pytest.mark.parametrize("given", [b"", b"{}", b'{"fmt": "fm22x-user", "uid": 3}'])
async def test_a_template_of_another_kind_is_no_attempt_and_opens_no_camera(rig: Rig, given: bytes) -> None:
    result = await rig.device().verify_face(given, hint=rig.hint, timeout_s=LONG_S)
    assert result.finding is FaceFinding.UNAVAILABLE and "template" in result.detail
    assert rig.camera.frames_sent == 0 and rig.workers.apart_pids == set()


@pytest.mark.parametrize(
    ("over", "from_s", "unfit"),
    [
        ({}, 0.0, ""),
        ({}, 7200.0, "expired"),
        ({"created": "2020-01-01T00:00:00Z", "expires": "2021-01-01T00:00:00Z"}, -1e9, "expired"),
        ({"model": "sface-of-tomorrow"}, 0.0, "other_model"),
        ({"vector": "AAAA"}, 0.0, "malformed"),
        ({"dim": True}, 0.0, "other_model"),
        ({"more": 1}, 0.0, "malformed"),
    ],
)
async def test_a_template_is_judged_before_anybody_stands_there(
    rig: Rig, over: dict[str, Any], from_s: float, unfit: str
) -> None:
    given = json.dumps(json.loads(template_of("hopper")) | over).encode()
    judged = rig.device().judge_face(given, from_utc=SystemClock().utc_now() + from_s)
    assert judged.unfit == unfit and bool(judged.detail) == bool(unfit)
    assert judged.user == "", "the template is all"
    assert rig.camera.frames_sent == 0


async def test_a_second_comparison_at_once_is_refused_and_the_first_goes_on(rig: Rig) -> None:
    device = rig.device(challenge=False)
    await rig.show(heads.alone("hopper"))
    first, second = await asyncio.gather(verify(rig, device), verify(rig, device))
    assert first.finding is FaceFinding.VERIFIED
    assert second.finding is FaceFinding.UNAVAILABLE and "another comparison" in second.detail


@pytest.mark.long
async def test_a_cancelled_comparison_leaves_neither_camera_nor_process(rig: Rig) -> None:
    device = rig.device()
    running = asyncio.ensure_future(verify(rig, device))
    async with asyncio.timeout(LONG_S):
        while not rig.hints:  # nobody is there: it asks to look here
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        while rig.camera.viewers:
            await asyncio.sleep(0.01)
    assert running.cancelled() and all(gone(pid) for pid in rig.workers.apart_pids)
    await rig.show(heads.alone("collins"))
    assert (await verify(rig, device)).finding is FaceFinding.WRONG, "and it serves again"


@pytest.mark.long
async def test_a_process_that_dies_is_replaced_once(rig: Rig) -> None:
    device = rig.device(challenge=False)
    running = asyncio.ensure_future(verify(rig, device))
    async with asyncio.timeout(LONG_S):
        while not rig.hints:
            await asyncio.sleep(0.01)
        (pid,) = rig.workers.apart_pids
        os.kill(pid, 9)
        while not gone(pid):
            await asyncio.sleep(0.01)
    await rig.show(heads.alone("hopper"))
    assert (await running).finding is FaceFinding.VERIFIED


class Unfit:
    """Workers whose process cannot compare."""

    def __init__(self, exc: Exception, at: Callable[..., Any]) -> None:
        self._exc, self._at = exc, at

    async def thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        return fn(*args)

    async def process(self, fn: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        if fn is self._at:
            raise self._exc
        return None

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[Unfit]:
        yield self


@pytest.mark.parametrize("at", [engine.load, engine.look])
@pytest.mark.parametrize(
    "exc",
    [FileNotFoundError("x is missing"), ValueError("x"), MemoryError(), RuntimeError("error in"), TimeoutError()],
    ids=lambda exc: type(exc).__name__,
)
async def test_a_process_that_cannot_compare_is_no_attempt(rig: Rig, exc: Exception, at: Callable[..., Any]) -> None:
    device = CameraFace("face", CameraFaceOptions(url=rig.url), surroundings(Unfit(exc, at)))
    await rig.show(heads.alone("hopper"))
    result = await verify(rig, device)
    assert result.finding is FaceFinding.UNAVAILABLE and result.detail
    with pytest.raises(DriverError):
        await device.enrol_face("x", hint=rig.hint, timeout_s=LONG_S)


async def test_wrong_model_files_are_told(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / models.DETECTOR.file).write_bytes(b"no network")
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    rig.device()
    async with asyncio.timeout(LONG_S):
        while not rig.statuses:
            await asyncio.sleep(0.01)
    assert not rig.statuses[0].up and "not the expected one" in rig.statuses[0].detail


@pytest.mark.long
async def test_nobody_is_enrolled_who_is_not_there(rig: Rig) -> None:
    with pytest.raises(DriverError, match="look_here"):
        await rig.device().enrol_face("x", hint=rig.hint, timeout_s=SHORT_S)


# ---------------------------------------------------------------- options
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"url": "http://c/", "path": "/dev/video0"},
        {"url": "rtsp://c/"},
        {"url": "http://c/", "threshold": 0.39},
        {"url": "http://c/", "threshold": 0.95},
        {"url": "http://c/", "challenge_steps": 0},
        {"url": "http://c/", "thresh": 0.5},
    ],
)
def test_options_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CameraFaceOptions(**options)


def test_the_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(CameraFaceOptions(url="http://user:hunter2@camera/"))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionsError, match=r"vendingd\[face\]"):
        DRIVER.make("face", CameraFaceOptions(url="http://c/"), surroundings(None))
