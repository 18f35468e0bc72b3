"""`mjpeg-camera`: an IP camera's Motion JPEG over HTTP (multipart/x-mixed-replace).

The stream is read at the camera's own rate and all frames but the newest are dropped: reading slower would
fill buffers on the way and show what was in front of the camera seconds ago.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import urlsplit

import aiohttp
from pydantic import Field, field_validator

from drivers.cameras.device import CameraDevice, CameraOptions
from drivers.cameras.multipart import MultipartFrames, boundary_of
from drivers.ports import Clock, Device, Driver, Surroundings, WireLost
from drivers.vision.frames import FRAME_MOST_BYTES, Frame


def http_address(url: str) -> str:
    """The url itself. Raises ValueError where it is none of http."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http://host/path or https://host/path")
    return url


class MjpegOptions(CameraOptions):
    """An IP camera with a Motion JPEG stream."""

    url: str = Field(
        repr=False,  # may hold a password
        description="http:// or https:// address of the stream, with user:password@ where it needs that.",
    )
    timeout_s: float = Field(
        default=5,
        gt=0,
        le=60,
        description="Without a whole frame for this long, in seconds, the camera is down.",
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return http_address(url)


class MjpegSource:
    """The stream of one camera, opened anew by each `frames()`."""

    def __init__(self, url: str, timeout_s: float, clock: Clock) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._clock = clock

    async def frames(self) -> AsyncGenerator[Frame]:
        """Connect and yield the newest whole frame each time, without end. Raises WireLost."""
        async with self._body() as response:
            content_type = response.headers.get("Content-Type", "")
            boundary = boundary_of(content_type)
            if boundary is None:
                raise WireLost(f"the camera answers {content_type[:60]!r}, not a Motion JPEG stream: check the url")
            parts = MultipartFrames(boundary, FRAME_MOST_BYTES)
            while True:
                yield await self._next(response, parts)

    async def _next(self, response: aiohttp.ClientResponse, frames: MultipartFrames) -> Frame:
        """The newest whole frame that the next bytes complete."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    data = await response.content.readany()
                    if not data:
                        raise WireLost("the camera ended its stream")
                    complete = frames.feed(data)
                    if complete:
                        return Frame("jpeg", complete[-1], self._clock.monotonic())
        except TimeoutError as exc:
            dropped = f", {frames.dropped} unusable ones" if frames.dropped else ""
            raise WireLost(f"no frame for {self._timeout_s:g} s{dropped}: is the camera busy or broken?") from exc

    @contextlib.asynccontextmanager
    async def _body(self) -> AsyncIterator[aiohttp.ClientResponse]:
        # messages are made without the url: it may hold a password
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s)
        try:
            async with aiohttp.ClientSession(timeout=limits, auto_decompress=False) as session:
                async with asyncio.timeout(self._timeout_s):
                    response = await session.get(self._url)
                async with response:
                    if response.status != 200:
                        raise WireLost(f"the camera answers HTTP {response.status} {response.reason}")
                    yield response
        except WireLost:
            raise  # is an OSError too
        except TimeoutError as exc:
            raise WireLost("the camera does not answer: check its power, its cable and the url") from exc
        except aiohttp.ClientConnectorError as exc:
            raise WireLost(f"no connection to the camera: {exc.strerror or type(exc.os_error).__name__}") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise WireLost(f"the camera's stream broke: {type(exc).__name__}") from exc


class MjpegCamera(CameraDevice):
    """Role: a source of codes, with Attention."""

    def __init__(self, name: str, options: MjpegOptions, surroundings: Surroundings) -> None:
        super().__init__(name, options, surroundings)
        self._source = MjpegSource(options.url, options.timeout_s, surroundings.clock)

    async def _stream(self) -> None:
        async with contextlib.aclosing(self._source.frames()) as frames:
            async for frame in frames:
                self._got(frame)


def _make(name: str, options: MjpegOptions, surroundings: Surroundings) -> Device:
    return MjpegCamera(name, options, surroundings)


DRIVER = Driver(name="mjpeg-camera", options=MjpegOptions, make=_make, roles=frozenset({"code"}))
