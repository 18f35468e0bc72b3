"""An IP camera: MJPEG over HTTP (multipart/x-mixed-replace) of an empty scene, a phone that shows a code, or pictures
that are held before it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from hw_sim.model.log import PhysicalLog
from hw_sim.site import DeviceSpec, SiteError

if TYPE_CHECKING:
    from hw_sim.scenes import Living

WIDTH, HEIGHT = 800, 600
FPS = 8.0
POSES = 4  # a hand is never still: so many pictures of one code, shown in turn
LOOKS = ("clean", "blurred", "dark", "glare", "noisy", "tilted")
BOUNDARY = "hwsimframe"


@dataclass(slots=True)
class Camera:
    """One camera. Its pictures are drawn when the scene changes, not for each frame."""

    name: str
    url: str
    log: PhysicalLog
    rng: random.Random
    fps: float = FPS
    dark: bool = False  # a fault: nothing to be seen
    frozen: bool = False  # a fault: the stream stays open and sends nothing more
    viewers: int = 0
    frames_sent: int = 0
    _empty: list[bytes] = field(default_factory=list)
    _shown: list[bytes] = field(default_factory=list)
    _living: Living | None = None
    _hide: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        from hw_sim.scenes import empty_scene, jpeg

        self._empty = [jpeg(empty_scene(self.rng)) for _ in range(2)]

    async def show(self, text: str, seconds: float, look: str) -> None:
        """Hold a code before the camera; drawing takes a few ms in a thread. Raises ValueError."""
        from hw_sim.scenes import jpeg, phone_scene

        self.hide()
        self._shown = await asyncio.to_thread(lambda: [jpeg(phone_scene(text, self.rng, look)) for _ in range(POSES)])
        self.log.add(time.monotonic(), "code_shown", device=self.name, length=len(text), look=look)
        self._hide = asyncio.get_running_loop().call_later(seconds, self.hide)

    async def show_pictures(self, pictures: list[bytes], seconds: float, live: bool) -> None:
        """Show JPEG pictures in turn: as a live sensor sees them, or the very bytes, again and again (a replay).

        Raises ValueError for what is no picture.
        """
        from hw_sim.scenes import Living

        living = await asyncio.to_thread(Living, pictures, self.rng)
        self.hide()
        self._shown, self._living = pictures, living if live else None
        self.log.add(time.monotonic(), "picture_shown", device=self.name, pictures=len(pictures), live=live)
        self._hide = asyncio.get_running_loop().call_later(seconds, self.hide)

    def hide(self) -> None:
        self._shown, self._living = [], None
        if self._hide is not None:
            self._hide.cancel()
            self._hide = None

    async def picture(self, n: int) -> bytes:
        """The n-th frame of the stream."""
        if self._living is not None and not self.dark:
            return await asyncio.to_thread(self._living.frame, n)
        pictures = self._shown if self._shown and not self.dark else self._empty
        return pictures[n % len(pictures)]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve one viewer until it hangs up."""
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        head = {"Content-Type": kind, "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=head)
        await response.prepare(request)
        self.viewers += 1
        loop, n = asyncio.get_running_loop(), 0
        due = loop.time()
        try:
            while True:
                if not self.frozen:
                    picture = await self.picture(n)
                    part = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    await response.write(part.encode() + picture + b"\r\n")
                    self.frames_sent += 1
                n += 1
                due = max(due + 1 / self.fps, loop.time())
                await asyncio.sleep(due - loop.time())
        except ConnectionError:
            return response
        finally:
            self.viewers -= 1


class CameraHost:
    """The web servers of all cameras, one for each host and port."""

    def __init__(self, cameras: Iterable[Camera]) -> None:
        self._by_host: dict[tuple[str, int], list[Camera]] = {}
        self._runners: list[web.AppRunner] = []
        for camera in cameras:
            url = urlsplit(camera.url)
            if url.scheme != "http" or not url.hostname:
                raise SiteError(f"devices.{camera.name}: url {camera.url!r} is not http://host:port/path")
            self._by_host.setdefault((url.hostname, url.port or 80), []).append(camera)

    async def start(self) -> None:
        """Listen; idempotent. Raises OSError."""
        if self._runners:
            return
        for (host, port), cameras in self._by_host.items():
            app = web.Application()
            for camera in {urlsplit(camera.url).path: camera for camera in cameras}.values():
                app.router.add_get(urlsplit(camera.url).path or "/", camera.stream)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, host, port, reuse_address=True).start()

    async def stop(self) -> None:
        """Stop listening and hang up on all viewers."""
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()


def camera_of(device: DeviceSpec, log: PhysicalLog, rng: random.Random, fps: float) -> Camera:
    url = device.get("url", None)
    if not isinstance(url, str):
        raise SiteError(f"devices.{device.name}: has no url")
    return Camera(device.name, url, log, rng, fps if math.isfinite(fps) and fps > 0 else FPS)
