"""An IP camera: MJPEG over HTTP (multipart/x-mixed-replace) of an empty scene or a phone that shows a code."""

from __future__ import annotations

import asyncio
import io
import math
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import zxingcpp
from aiohttp import web
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from hw_sim.model.log import PhysicalLog
from hw_sim.site import DeviceSpec, SiteError

WIDTH, HEIGHT = 800, 600
FPS = 8.0
POSES = 4  # a hand is never still: so many pictures of one code, shown in turn
LOOKS = ("clean", "blurred", "dark", "glare", "noisy", "tilted")
BOUNDARY = "hwsimframe"


def draw_qr(text: str, ec_level: str = "M") -> Image.Image:
    """The code alone, one pixel a module, with its quiet zone. Raises ValueError where it does not fit."""
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=ec_level)
    return Image.fromarray(np.array(zxingcpp.write_barcode_to_image(code, scale=1)))


def empty_scene(rng: random.Random) -> Image.Image:
    """A hall in dim light: a slow gradient with the grain of a sensor."""
    across = np.linspace(90, 150, WIDTH)[None, :] + np.linspace(-20, 25, HEIGHT)[:, None]
    return Image.fromarray(_grain(across, rng, 4.0))


def _grain(grey: NDArray[np.float64], rng: random.Random, sigma: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(rng.getrandbits(64)).normal(0.0, sigma, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def phone_scene(text: str, rng: random.Random, look: str = "clean") -> Image.Image:
    """A phone held before the camera, a little turned and off the middle, as `look` says. Raises ValueError."""
    if look not in LOOKS:
        raise ValueError(f"no look {look!r}; there are: {', '.join(LOOKS)}")
    code = draw_qr(text)
    scale = max(2, min(8, 400 // code.width))
    code = code.resize((code.width * scale, code.height * scale), Image.Resampling.NEAREST)
    side = code.width
    phone = Image.new("L", (side + 60, side + 160), 235)
    phone.paste(code, (30, 80))
    mask = Image.new("L", phone.size, 255)
    turn = rng.uniform(-8, 8) if look != "tilted" else rng.choice((-1, 1)) * rng.uniform(18, 30)
    corner = 0.015 if look != "tilted" else 0.05
    quad = _perspective(phone.size, rng, corner)
    phone = phone.transform(phone.size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    phone = phone.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    mask = mask.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    if phone.height > HEIGHT * 1.15:  # the code must stay in the picture
        shrink = HEIGHT * 1.15 / phone.height
        size = (int(phone.width * shrink), int(phone.height * shrink))
        phone, mask = phone.resize(size), mask.resize(size)
    scene = empty_scene(rng)
    left = (WIDTH - phone.width) // 2 + rng.randint(-40, 40)
    top = (HEIGHT - phone.height) // 2 + rng.randint(-10, 10)
    scene.paste(phone, (left, top), mask)
    return _spoil(scene, rng, look)


def _perspective(size: tuple[int, int], rng: random.Random, most: float) -> tuple[float, ...]:
    w, h = size

    def off(span: int) -> float:
        return rng.uniform(-most, 0.0) * span

    return (off(w), off(h), off(w), h - off(h), w - off(w), h - off(h), w - off(w), off(h))


def _spoil(scene: Image.Image, rng: random.Random, look: str) -> Image.Image:
    if look == "blurred":
        return scene.filter(ImageFilter.GaussianBlur(1.6))
    if look == "dark":
        return ImageEnhance.Brightness(scene).enhance(0.3)
    if look == "noisy":
        return Image.fromarray(_grain(np.asarray(scene, dtype=np.float64), rng, 28.0))
    if look == "glare":
        light = Image.new("L", scene.size, 0)
        x, y = WIDTH / 2 + rng.uniform(-90, 90), HEIGHT / 2 + rng.uniform(-90, 90)
        r = rng.uniform(30, 50)
        ImageDraw.Draw(light).ellipse((x - r, y - r, x + r, y + r), fill=255)
        light = light.filter(ImageFilter.GaussianBlur(12))
        return Image.composite(Image.new("L", scene.size, 255), scene, light)
    return scene


def jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


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
    _hide: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self._empty = [jpeg(empty_scene(self.rng)) for _ in range(2)]

    async def show(self, text: str, seconds: float, look: str) -> None:
        """Hold a code before the camera; drawing takes a few ms in a thread. Raises ValueError."""
        self.hide()
        self._shown = await asyncio.to_thread(lambda: [jpeg(phone_scene(text, self.rng, look)) for _ in range(POSES)])
        self.log.add(time.monotonic(), "code_shown", device=self.name, length=len(text), look=look)
        self._hide = asyncio.get_running_loop().call_later(seconds, self.hide)

    def hide(self) -> None:
        self._shown = []
        if self._hide is not None:
            self._hide.cancel()
            self._hide = None

    def picture(self, n: int) -> bytes:
        """The n-th frame of the stream."""
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
                    picture = self.picture(n)
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
            for camera in cameras:
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
