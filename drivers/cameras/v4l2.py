"""`v4l2-camera`: a USB or CSI camera of this computer, through linuxpy (extra `vendingd[v4l2]`).

Never tried on a camera: it is written against linuxpy 0.25's sources and the kernel's V4L2 documentation, and
its tests stop short of a device. What they cover is the reading of frames that linuxpy hands over.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import Field

from drivers.cameras.device import CameraDevice, CameraOptions
from drivers.ports import Device, Driver, OptionsError, Surroundings, WireLost
from drivers.vision.frames import Frame

FRAME_S = 5.0  # a camera that streams and sends nothing for so long is restarted
_KINDS: dict[str, Literal["jpeg", "yuyv", "grey"]] = {
    "MJPEG": "jpeg",
    "JPEG": "jpeg",
    "YUYV": "yuyv",
    "GREY": "grey",
}


class V4l2Options(CameraOptions):
    """A camera of this computer."""

    path: str = Field(
        min_length=1,
        description="Device node; by /dev/v4l/by-id, as /dev/videoN changes with the order of plugging.",
    )
    width: int = Field(default=1280, ge=160, le=3840, description="Picture width in pixels, as the camera offers it.")
    height: int = Field(default=720, ge=120, le=2160, description="Picture height in pixels, as the camera offers it.")


def import_linuxpy() -> Any:
    """linuxpy's module of video devices. Raises OptionsError where the extra is not installed."""
    try:
        return importlib.import_module("linuxpy.video.device")
    except ImportError as exc:
        raise OptionsError(f"the driver v4l2-camera needs linuxpy: install vendingd[v4l2] ({exc})") from exc


def frame_of(captured: Any, at_mono: float) -> Frame:
    """Our frame of linuxpy's. Raises WireLost for a pixel format that is not read."""
    kind = _KINDS.get(captured.pixel_format.name)
    if kind is None:
        known = ", ".join(_KINDS)
        raise WireLost(f"the camera sends {captured.pixel_format.name}, which is not read (known: {known})")
    return Frame(kind, bytes(captured), at_mono, captured.width, captured.height)


class V4l2Source:
    """One camera of this computer, opened anew by each `frames()`; only one user can have it at a time."""

    def __init__(self, path: str, width: int, height: int, fps: float, surroundings: Surroundings) -> None:
        """Raises OptionsError where linuxpy is missing."""
        self._video = import_linuxpy()
        self._path, self._width, self._height, self._fps = path, width, height, fps
        self._clock = surroundings.clock
        self._workers = surroundings.workers

    async def frames(self) -> AsyncGenerator[Frame]:
        """Open and yield each frame, without end. Raises WireLost."""
        path = self._path
        try:
            capture = await self._workers.thread(self._open)
            with contextlib.closing(capture.device), contextlib.closing(capture):
                async with contextlib.aclosing(aiter(capture)) as captured:
                    while True:
                        async with asyncio.timeout(FRAME_S):
                            one = await anext(captured)
                        yield frame_of(one, self._clock.monotonic())
        except WireLost:
            raise  # is an OSError too
        except TimeoutError as exc:
            raise WireLost(f"{path}: no frame for {FRAME_S:g} s") from exc
        except StopAsyncIteration as exc:
            raise WireLost(f"{path}: the camera ended its stream") from exc
        except (OSError, ValueError, self._video.V4L2Error) as exc:
            raise WireLost(f"{path}: {exc}; is the camera plugged in, may this user open it (group video)?") from exc

    def _open(self) -> Any:
        """A started capture. Runs in a thread: a USB camera takes its time to answer."""
        with contextlib.ExitStack() as undo:
            device = undo.enter_context(self._video.Device(self._path))
            capture = self._video.VideoCapture(device)
            capture.set_format(self._width, self._height, "MJPG")
            with contextlib.suppress(OSError):  # not every camera lets its rate be set
                capture.set_fps(self._fps)
            capture.open()
            undo.pop_all()
        return capture


class V4l2Camera(CameraDevice):
    """Role: a source of codes, with Attention."""

    def __init__(self, name: str, options: V4l2Options, surroundings: Surroundings) -> None:
        super().__init__(name, options, surroundings)
        fps = max(options.busy_fps, options.idle_fps)
        self._source = V4l2Source(options.path, options.width, options.height, fps, surroundings)

    async def _stream(self) -> None:
        async with contextlib.aclosing(self._source.frames()) as frames:
            async for frame in frames:
                self._got(frame)


def _make(name: str, options: V4l2Options, surroundings: Surroundings) -> Device:
    return V4l2Camera(name, options, surroundings)


DRIVER = Driver(name="v4l2-camera", options=V4l2Options, make=_make, roles=frozenset({"code"}))
