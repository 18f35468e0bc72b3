"""`camera-face`: compares the face before a plain camera, offline, with a template (extra `vendingd[face]`).

Camera and networks are there for one comparison only: the stream is opened and the process with the networks
started when it begins, and both are gone when it ends. Between visits nobody is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Protocol, Self, TypeVar

from pydantic import Field, model_validator

from drivers.faces import engine, models, template
from drivers.faces.gates import Look
from drivers.faces.session import THRESHOLD_FLOOR, Broken, Enrolment, Verification, Watch
from drivers.faces.template import TemplateRefused, read
from drivers.link import together
from drivers.options import Options
from drivers.ports import (
    Device,
    DeviceStatus,
    Driver,
    DriverError,
    FaceFinding,
    FaceJudgement,
    FaceResult,
    OptionsError,
    Sink,
    Surroundings,
    WireLost,
    WorkerDied,
    Workers,
)
from drivers.vision.frames import Frame

log = logging.getLogger(__name__)

T = TypeVar("T")

LOAD_S = 30.0  # reading 11 MB and building the networks: a second on a desktop, several on a small board
LOOK_S = 5.0
REOPEN_S = 0.5
DEATHS_MOST = 2  # frames that end the process: one may be chance
DIGESTS_KEPT = 512  # frames of earlier comparisons, which must not come again
DAY_S = 86_400


class CameraFaceOptions(Options):
    """A camera before which a face is compared. Exactly one of url and path."""

    url: str | None = Field(
        default=None,
        repr=False,  # may hold a password
        description="An IP camera's Motion JPEG stream, http:// or https://, with user:password@ where it needs that.",
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        description="Device node of a camera of this computer (extra v4l2); not one that another device uses.",
    )
    width: int = Field(default=1280, ge=160, le=3840, description="With path: picture width in pixels.")
    height: int = Field(default=720, ge=120, le=2160, description="With path: picture height in pixels.")
    timeout_s: float = Field(default=5, gt=0, le=60, description="With url: without a frame for so long it is down.")
    threshold: float = Field(
        default=0.45,
        ge=THRESHOLD_FLOOR,
        le=0.9,
        description="Least cosine of three pictures' mean and the template; see docs/faces.md before changing it.",
    )
    challenge: bool = Field(
        default=True,
        description="Ask for movements that nobody can foretell: liveness 'challenge' instead of 'none'.",
    )
    challenge_steps: int = Field(default=2, ge=1, le=4, description="How many movements are asked for.")
    mirrored: bool = Field(default=False, description="The camera gives mirror images: left and right are swapped.")
    template_days: float = Field(
        default=30, gt=0, le=3660, description="How many days a template lasts that was enrolled here."
    )

    @model_validator(mode="after")
    def _one_camera(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("name exactly one of url and path")
        if self.url is not None:
            from drivers.cameras.mjpeg import http_address

            http_address(self.url)
        return self


class InUse(DriverError):
    """One person at a time."""


class Source(Protocol):
    """A camera that can be opened."""

    def frames(self) -> AsyncGenerator[Frame]: ...


class CameraFace:
    """Role: FaceVerifier."""

    def __init__(
        self,
        name: str,
        options: CameraFaceOptions,
        surroundings: Surroundings,
        *,
        below: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        """`below` chooses movements and moments; it must be unforeseeable. Raises OptionsError: what to install."""
        if lacking := models.missing():
            raise OptionsError(lacking)
        self.name = name
        self._options = options
        self._clock = surroundings.clock
        self._workers = surroundings.workers
        self._below = below
        self._source = _source(options, surroundings)
        self._in_use = False
        self._earlier: deque[bytes] = deque(maxlen=DIGESTS_KEPT)
        self._sink: Sink = lambda report: None
        self._status: tuple[bool, str] | None = None

    @property
    def formats(self) -> frozenset[str]:
        """See ports.FaceVerifier."""
        return frozenset({template.FORMAT})

    @property
    def liveness(self) -> str:
        """See ports.FaceVerifier."""
        return "challenge" if self._options.challenge else "none"

    async def run(self, sink: Sink) -> None:
        """See ports.Device. Up: the networks' files are sound, and the camera answered when last it was asked."""
        self._sink = sink
        try:
            await self._workers.thread(models.check)
            self._tell("")
        except (FileNotFoundError, ValueError) as exc:
            self._tell(str(exc))
        await asyncio.Event().wait()

    def judge_face(self, template: bytes, *, from_utc: float) -> FaceJudgement:
        """See ports.FaceVerifier."""
        try:
            read(template, max(from_utc, self._clock.utc_now()))
        except TemplateRefused as exc:
            return FaceJudgement(exc.word, str(exc))
        return FaceJudgement()

    async def verify_face(self, template: bytes, *, hint: Callable[[str], None], timeout_s: float) -> FaceResult:
        """See ports.FaceVerifier."""
        watch: Verification | None = None
        try:
            watch = self._verification(template, hint)
            result = await self._watch(watch, watch.saw, timeout_s)
            return watch.timed_out() if result is None else result
        except TemplateRefused as exc:
            return FaceResult(FaceFinding.UNAVAILABLE, detail=str(exc), why="template")
        except InUse as exc:
            return FaceResult(FaceFinding.UNAVAILABLE, detail=str(exc), why="device_busy")
        except (DriverError, ValueError) as exc:
            assert watch is not None
            return watch.broken(str(exc), "device_down")
        finally:
            if watch is not None:
                self._earlier.extend(watch.replay.digests)

    async def enrol_face(self, name: str, *, hint: Callable[[str], None], timeout_s: float) -> bytes:
        """See ports.FaceVerifier. `name` is not kept: the template is all."""
        watch = Enrolment(hint, frozenset(self._earlier))
        try:
            vector = await self._watch(watch, watch.saw, timeout_s)
        except (Broken, ValueError) as exc:
            raise DriverError(str(exc)) from None
        finally:
            self._earlier.extend(watch.replay.digests)
        if vector is None:
            raise DriverError(f"no good pictures of one face in time; last: {watch.last_word or 'none at all'}")
        now = self._clock.utc_now()
        made = template.Template(vector, now, now + self._options.template_days * DAY_S)
        return template.write(made)

    async def forget_face(self, template: bytes) -> None:
        """See ports.FaceVerifier: nothing is kept here."""

    # ------------------------------------------------------------ inside
    def _verification(self, given: bytes, hint: Callable[[str], None]) -> Verification:
        """Raises TemplateRefused."""
        wanted = read(given, self._clock.utc_now())
        return Verification(
            wanted.vector,
            hint,
            threshold=self._options.threshold,
            challenge_steps=self._options.challenge_steps if self._options.challenge else 0,
            below=self._below,
            earlier=frozenset(self._earlier),
        )

    async def _watch(self, watch: Watch, saw: Callable[[Look, float], T | None], timeout_s: float) -> T | None:
        """Feed frames to it until it has a result; None when time is up. Raises DriverError, and what `saw` does."""
        if self._in_use:
            raise InUse("another comparison is running before this camera")
        self._in_use = True
        slot = _Slot()
        found: list[T] = []

        async def looking(workers: Workers) -> None:
            await self._load(workers)
            found.append(await self._look_on(workers, slot, watch, saw))

        try:
            async with asyncio.timeout(timeout_s) as limit, self._workers.apart() as workers:
                await together(looking(workers), self._fill(slot))
        except TimeoutError:
            if not limit.expired():
                raise DriverError("the process that compares faces did not answer in time") from None
            if slot.trouble:
                raise DriverError(slot.trouble) from None
        finally:
            self._in_use = False
        return found[0] if found else None

    async def _load(self, workers: Workers) -> None:
        try:
            await workers.process(engine.load, timeout_s=LOAD_S)
        except (DriverError, TimeoutError):
            raise
        except Exception as exc:  # whatever is wrong there must not end the machine
            raise self._unfit(exc) from exc

    async def _look_on(self, workers: Workers, slot: _Slot, watch: Watch, saw: Callable[[Look, float], T | None]) -> T:
        deaths = 0
        while True:
            frame = await slot.take()
            started = self._clock.monotonic()
            try:
                look = await workers.process(engine.look, frame, self._options.mirrored, timeout_s=LOOK_S)
            except WorkerDied as exc:
                deaths += 1
                log.warning("%s: %s", self.name, exc)
                if deaths >= DEATHS_MOST:
                    raise DriverError("pictures end the process that compares faces: check the camera") from exc
                continue
            except TimeoutError:
                raise
            except Exception as exc:  # as in _load
                raise self._unfit(exc) from exc
            if (result := saw(look, frame.at_mono)) is not None:
                return result
            await self._clock.sleep_until(started + watch.next_look_s)

    def _unfit(self, exc: Exception) -> DriverError:
        """The error for a process that answers and cannot compare."""
        trouble = f"faces cannot be compared: {exc or type(exc).__name__}"
        self._tell(trouble)
        return DriverError(trouble)

    async def _fill(self, slot: _Slot) -> None:
        """Keep the newest frame in the slot; open the camera again after a loss."""
        while True:
            try:
                async with contextlib.aclosing(self._source.frames()) as frames:
                    async for frame in frames:
                        slot.trouble = ""
                        slot.put(frame)
                        self._tell("")
            except WireLost as exc:
                slot.trouble = str(exc)
                self._tell(str(exc))
            await self._clock.sleep_until(self._clock.monotonic() + REOPEN_S)

    def _tell(self, trouble: str) -> None:
        status = (not trouble, trouble)
        if status != self._status:
            self._status = status
            log.log(logging.WARNING if trouble else logging.INFO, "%s: %s", self.name, trouble or "ready")
            self._sink(DeviceStatus(self.name, *status))


class _Slot:
    """The newest frame; one that nobody has looked at is gone."""

    def __init__(self) -> None:
        self.trouble = ""
        self._frame: Frame | None = None
        self._filled = asyncio.Event()

    def put(self, frame: Frame) -> None:
        self._frame = frame
        self._filled.set()

    async def take(self) -> Frame:
        await self._filled.wait()
        self._filled.clear()
        frame, self._frame = self._frame, None
        assert frame is not None
        return frame


def _source(options: CameraFaceOptions, surroundings: Surroundings) -> Source:
    if options.url is not None:
        from drivers.cameras.mjpeg import MjpegSource

        return MjpegSource(options.url, options.timeout_s, surroundings.clock)
    from drivers.cameras.v4l2 import V4l2Source

    assert options.path is not None
    return V4l2Source(options.path, options.width, options.height, 8, surroundings)


def _make(name: str, options: CameraFaceOptions, surroundings: Surroundings) -> Device:
    return CameraFace(name, options, surroundings)


DRIVER = Driver(name="camera-face", options=CameraFaceOptions, make=_make, roles=frozenset({"face"}))
