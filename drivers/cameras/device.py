"""What all cameras share: frames come from a stream that breaks, and go to a `Looker`.

Owns the reopening and the status. Must not know how a frame is fetched, nor what is in it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

from pydantic import BaseModel, ConfigDict, Field

from drivers.link import STEADY_S, Backoff, together
from drivers.ports import DeviceStatus, Sink, Surroundings, WireLost
from drivers.vision.frames import Frame
from drivers.vision.looker import Looker, require_decoders

log = logging.getLogger(__name__)


class CameraOptions(BaseModel):
    """How often a camera is looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    busy_fps: float = Field(
        default=8, gt=0, le=30, description="Looks a second while somebody is there; both decoders."
    )
    idle_fps: float = Field(default=1, gt=0, le=30, description="Looks a second otherwise; the cheap decoder only.")
    repeat_s: float = Field(
        default=3,
        ge=0,
        le=60,
        description="The same code is not reported again within this time, in seconds.",
    )


class CameraDevice(ABC):
    """Role: a source of codes, with Attention. Subclasses stream."""

    def __init__(self, name: str, options: CameraOptions, surroundings: Surroundings) -> None:
        """Raises OptionsError where a decoder's library is missing."""
        require_decoders()
        self.name = name
        self._clock = surroundings.clock
        self._backoff = Backoff(surroundings.random)
        self._looker = Looker(
            name,
            surroundings,
            busy_fps=options.busy_fps,
            idle_fps=options.idle_fps,
            repeat_s=options.repeat_s,
            told=self._decoding,
        )
        self._sink: Sink = lambda report: None
        self._stream_detail: str | None = None  # None: not known yet; "": frames arrive
        self._decoding_detail = ""
        self._status: tuple[bool, str] | None = None

    def attend(self, busy: bool) -> None:
        """See ports.Attention."""
        self._looker.attend(busy)

    async def run(self, sink: Sink) -> None:
        """See ports.Device."""
        self._sink = sink
        await together(self._looker.run(sink), self._keep_open())

    @abstractmethod
    async def _stream(self) -> None:
        """Open the camera and pass each frame to `_got` until that fails. Raises WireLost, returns never."""

    def _got(self, frame: Frame) -> None:
        """A whole frame has arrived."""
        if self._stream_detail != "":
            self._stream_detail = ""
            self._tell()
        self._looker.offer(frame)

    # ------------------------------------------------------------ inside
    async def _keep_open(self) -> None:
        while True:
            opened = self._clock.monotonic()
            try:
                await self._stream()
            except WireLost as exc:
                self._looker.purge()
                self._stream_detail = str(exc)
                self._tell()
            if self._clock.monotonic() - opened >= STEADY_S:
                self._backoff.reset()
            await self._clock.sleep_until(self._clock.monotonic() + self._backoff.next_s())

    def _decoding(self, trouble: str) -> None:
        if trouble != self._decoding_detail:
            self._decoding_detail = trouble
            self._tell()

    def _tell(self) -> None:
        if self._stream_detail is None:
            return
        detail = self._stream_detail or self._decoding_detail
        status = (not detail, detail)
        if status != self._status:
            self._status = status
            log.log(logging.WARNING if detail else logging.INFO, "%s: %s", self.name, detail or "frames arrive")
            self._sink(DeviceStatus(self.name, *status))
