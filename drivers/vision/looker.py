"""Decides which frames are looked at, how hard, and which codes are reported. Lives beside one camera.

Owns the slot (newest frame only), the pace, the turn of strategies and the memory of codes just read. Must
not know where frames come from, nor import a decoder: `qr.look` runs in a worker process.
"""

from __future__ import annotations

import asyncio
import ctypes.util
import functools
import hashlib
import logging
from collections.abc import Callable

from drivers.link import noteworthy, together
from drivers.ports import CodeRead, OptionsError, Sink, Surroundings
from drivers.vision import qr
from drivers.vision.frames import Frame, Seen, acceptable

log = logging.getLogger(__name__)

DECODE_S = 3.0  # the slowest strategy takes some 0.2 s on a desktop; a decoder that hangs is replaced
AFTER_FAILURE_S = 1.0  # a new process is costly; a frame that kills it comes again with the next picture
FAILURES_TOLD = 3  # one bad frame is the weather, three in a row are for a technician


@functools.cache
def require_decoders() -> None:
    """Find what the worker process will load, without loading it. Raises OptionsError: what to install."""
    if ctypes.util.find_library("zbar") is None:
        raise OptionsError("cameras need the zbar library, which is not installed: on Debian, apt-get install libzbar0")


class Looker:
    """Takes every frame of a camera, looks at some, reports codes. `told(trouble)` hears of changes; '' is well."""

    def __init__(
        self,
        device: str,
        surroundings: Surroundings,
        *,
        busy_fps: float,
        idle_fps: float,
        repeat_s: float,
        told: Callable[[str], None],
    ) -> None:
        self._device = device
        self._clock = surroundings.clock
        self._workers = surroundings.workers
        self._busy_fps = busy_fps
        self._idle_fps = idle_fps
        self._repeat_s = repeat_s
        self._told = told
        self._busy = False
        self._turned_busy = asyncio.Event()
        self._slot: Frame | None = None
        self._filled = asyncio.Event()
        self._epoch = 0  # of the camera's link; what was seen before a loss is not reported after it
        self._turn = 0
        self._reported: dict[bytes, float] = {}  # by digest: a code is secret
        self._failures = 0
        self._failed_ever = 0

    def offer(self, frame: Frame) -> None:
        """Put the frame into the slot; one that nobody has looked at is gone."""
        self._slot = frame
        self._filled.set()

    def purge(self) -> None:
        """The link was lost: forget what it delivered."""
        self._slot = None
        self._filled.clear()
        self._epoch += 1

    def attend(self, busy: bool) -> None:
        """See ports.Attention."""
        self._busy = busy
        if busy:
            self._turned_busy.set()
        else:
            self._turned_busy.clear()

    async def run(self, sink: Sink) -> None:
        """Look until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            frame, self._slot = self._slot, None
            if frame is None:
                continue
            started = self._clock.monotonic()
            epoch = self._epoch
            seen = await self._look(frame)
            if epoch == self._epoch:
                for code in seen.codes:
                    self._report(code, frame.at_mono, sink)
            await self._pause(started)

    # ------------------------------------------------------------ inside
    async def _look(self, frame: Frame) -> Seen:
        trouble = ""
        seen = Seen()
        try:
            seen = await self._workers.process(qr.look, frame, self._steps(), timeout_s=DECODE_S)
            trouble = seen.refused
        except TimeoutError:
            trouble = f"the QR decoder did not answer within {DECODE_S:g} s"
        except Exception as exc:  # noqa: BLE001  # whatever ends a decoder must not end the machine
            trouble = f"the QR decoder failed: {type(exc).__name__}: {exc}"
        if trouble:
            self._failures += 1
            self._failed_ever += 1
            if noteworthy(self._failed_ever):
                log.warning("%s: %s (%d frames so far)", self._device, trouble, self._failed_ever)
            if self._failures >= FAILURES_TOLD:
                self._told(trouble)
        else:
            self._failures = 0
            self._told("")
        return seen

    def _steps(self) -> tuple[str, ...]:
        if not self._busy:
            return (qr.CHEAP,)
        steps = qr.ROTATION[self._turn % len(qr.ROTATION)]
        self._turn += 1
        return (qr.CHEAP, *steps)

    async def _pause(self, started: float) -> None:
        """Wait for the next look's time; an idle camera that is attended to looks at once."""
        if self._failures:
            await self._clock.sleep_until(started + AFTER_FAILURE_S)
        while True:
            due = started + 1 / (self._busy_fps if self._busy else self._idle_fps)
            if self._clock.monotonic() >= due:
                return
            if self._busy:
                await self._clock.sleep_until(due)
                return
            await together(self._clock.sleep_until(due), self._until_busy())

    async def _until_busy(self) -> None:
        await self._turned_busy.wait()

    def _report(self, code: bytes, at_mono: float, sink: Sink) -> None:
        if not acceptable(code):
            return
        now = self._clock.monotonic()
        self._reported = {d: at for d, at in self._reported.items() if now - at < self._repeat_s}
        digest = hashlib.sha256(code).digest()
        if digest not in self._reported:
            self._reported[digest] = now
            sink(CodeRead(self._device, code, at_mono))
