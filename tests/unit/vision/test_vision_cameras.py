"""The cameras: Motion JPEG from a server on loopback that behaves and misbehaves, and what there is of V4L2."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.cameras import v4l2
from drivers.cameras.mjpeg import DRIVER as MJPEG
from drivers.cameras.mjpeg import MjpegOptions
from drivers.ports import Attention, CodeRead, Device, DeviceStatus, OptionsError, Report, WireLost
from drivers.vision import qr
from drivers.vision.frames import Frame, Seen
from tests.unit.vision import qr_scenes
from tests.unit.vision.test_vision_looker import Scripted, surroundings
from vendingd.workers import RealWorkers

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RealClock:
    """Sleeps a tenth of what it is asked to: backoff is not what is tested."""

    def monotonic(self) -> float:
        return time.monotonic() * 10

    def utc_now(self) -> float:
        return time.time()

    async def sleep_until(self, deadline_mono: float) -> None:
        await asyncio.sleep(max(0.0, (deadline_mono - self.monotonic()) / 10))


class Camera:
    """The far end: a server that runs `serve` for each connection, and the near end's reports."""

    def __init__(self) -> None:
        self.serve: Serve = stream([b"\xff\xd8x"])
        self.connections = 0
        self.requests: list[bytes] = []
        self.said: list[Report] = []
        self._more = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def listen(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the camera's client went away
        finally:
            writer.close()

    def watch(self, device: Device) -> None:
        def sink(report: Report) -> None:
            self.said.append(report)
            self._more.set()

        self._task = asyncio.ensure_future(device.run(sink))

    async def until(self, seen: Callable[[Camera], bool]) -> None:
        async with asyncio.timeout(30):
            while not seen(self):
                assert self._task is not None
                if self._task.done():
                    self._task.result()
                self._more.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), 0.05)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._server is not None:
            self._server.close()

    @property
    def statuses(self) -> list[DeviceStatus]:
        return [r for r in self.said if isinstance(r, DeviceStatus)]

    @property
    def codes(self) -> list[bytes]:
        return [r.data for r in self.said if isinstance(r, CodeRead)]


def answer(content_type: str = "multipart/x-mixed-replace; boundary=cam", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode()


def part(frame: bytes) -> bytes:
    return b"--cam\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(frame), frame)


def stream(frames: list[bytes], *, then_end: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        for frame in frames:
            writer.write(part(frame))
            await writer.drain()
        if not then_end:
            await reader.read()  # until the client hangs up

    return serve


def raw(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await reader.read()

    return serve


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    camera = Camera()
    yield camera
    await camera.stop()


def device(port: int, workers: Any = None, **options: Any) -> Any:
    url = f"http://127.0.0.1:{port}/stream"
    near = surroundings(RealClock(), workers or Scripted())
    return MJPEG.make("cam", MjpegOptions(**{"url": url, **options}), near)


def up(camera: Camera) -> bool:
    return any(s.up for s in camera.statuses)


def down(camera: Camera) -> bool:
    return any(not s.up for s in camera.statuses)


async def test_a_code_comes_from_the_stream_through_a_child_process(camera: Camera) -> None:
    workers = RealWorkers(processes=1)
    payload = "6BF+70790T9WJWG.FKY*4GO0"
    picture = qr_scenes.jpeg(qr_scenes.code(payload))
    camera.serve = stream([qr_scenes.jpeg(qr_scenes.code("A").resize((60, 60))), picture])
    near = device(await camera.listen(), workers)
    assert isinstance(near, Attention)
    try:
        near.attend(True)
        camera.watch(near)
        await camera.until(lambda c: payload.encode() in c.codes)
        assert [s.up for s in camera.statuses] == [True]
    finally:
        await camera.stop()
        await workers.aclose()


async def test_a_stream_that_ends_is_opened_again(camera: Camera) -> None:
    camera.serve = stream([b"\xff\xd8ONE"], then_end=True)
    camera.watch(device(await camera.listen()))
    await camera.until(lambda c: c.connections >= 3)
    assert [s.up for s in camera.statuses[:4]] == [True, False, True, False]
    assert "ended" in camera.statuses[1].detail


async def test_a_camera_that_is_off_and_comes_back(camera: Camera) -> None:
    probe = Camera()
    port = await probe.listen()
    await probe.stop()
    camera.watch(device(port))
    await camera.until(down)
    assert "no connection" in camera.statuses[0].detail
    await camera.listen(port)
    await camera.until(up)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (answer(status="401 Unauthorized"), "HTTP 401"),
        (answer("text/html"), "'text/html', not a Motion JPEG"),
        (answer("multipart/x-mixed-replace"), "not a Motion JPEG"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "broke"),
        (answer() + b"--cam\r\n\r\n" + b"x" * 100, "no frame"),
        (answer() + part(b"GIF89a") * 3, "3 unusable"),
        (answer() + b"--cam\r\n" + b"y" * 20_000, "no frame"),
        (b"", "does not answer"),
    ],
    ids=["refused", "html", "no boundary", "not http", "half a frame", "no jpeg", "endless headers", "silent"],
)
async def test_bad_cameras_are_down_for_a_plain_reason(camera: Camera, data: bytes, detail: str) -> None:
    camera.serve = raw(data)
    camera.watch(device(await camera.listen(), timeout_s=0.2))
    await camera.until(down)
    assert detail in camera.statuses[0].detail
    camera.serve = stream([b"\xff\xd8GOOD"])
    await camera.until(up)


async def test_a_flood_leaves_only_the_newest_frame(camera: Camera) -> None:
    workers = Scripted()
    workers.answer = lambda frame: Seen((frame.data[2:],))
    camera.serve = stream([b"\xff\xd8" + b"%d" % n for n in range(500)])
    camera.watch(device(await camera.listen(), workers, idle_fps=30))
    await camera.until(lambda c: b"499" in c.codes)
    assert len(workers.asked) < 50


async def test_a_decoder_that_keeps_failing_is_the_cameras_trouble(camera: Camera) -> None:
    workers = Scripted()
    workers.answer = lambda frame: Seen(refused="not a JPEG picture: OSError")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        while not reader.at_eof():
            writer.write(part(b"\xff\xd8X"))
            await writer.drain()
            await asyncio.sleep(0.01)

    camera.serve = serve
    camera.watch(device(await camera.listen(), workers, idle_fps=30))
    await camera.until(down)
    assert "not a JPEG" in camera.statuses[-1].detail
    workers.answer = lambda frame: Seen()
    await camera.until(lambda c: c.statuses[-1].up)


async def test_the_password_is_sent_but_never_said(camera: Camera, caplog: pytest.LogCaptureFixture) -> None:
    port = await camera.listen()
    camera.serve = raw(answer(status="403 Forbidden"))
    url = f"http://user:hunter2@127.0.0.1:{port}/"
    options = MjpegOptions(url=url)
    camera.watch(device(port, url=url))
    await camera.until(down)
    assert b"Authorization: Basic" in camera.requests[0]
    assert "hunter2" not in repr(options) + repr(camera.said) + caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"url": "rtsp://camera/1"},
        {"url": "/dev/video0"},
        {"url": "http://"},
        {"url": "http://c/", "busy_fps": 0},
        {"url": "http://c/", "fps": 3},
    ],
)
def test_options_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MjpegOptions(**options)


# ---------------------------------------------------------------- V4L2
def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "linuxpy.video.device", None)
    with pytest.raises(OptionsError, match=r"vendingd\[v4l2\]"):
        v4l2.DRIVER.make("cam", v4l2.V4l2Options(path="/dev/video9"), surroundings(RealClock(), Scripted()))


def captured(pixel_format: str, data: bytes, width: int, height: int) -> Any:
    """A frame of linuxpy's own class, as it comes out of a capture."""
    video = pytest.importorskip("linuxpy.video.device", reason="an extra")
    picture = SimpleNamespace(pixel_format=video.PixelFormat[pixel_format], width=width, height=height)
    return video.Frame(data, None, picture)


def test_frames_of_linuxpy_are_read() -> None:
    code = qr_scenes.code("USB", box=6)
    jpeg = qr_scenes.jpeg(code)
    assert qr.look(v4l2.frame_of(captured("MJPEG", jpeg, 1, 1), 2.0), ("zxing",)).codes == (b"USB",)
    grey = v4l2.frame_of(captured("GREY", code.tobytes(), *code.size), 2.0)
    assert grey == Frame("grey", code.tobytes(), 2.0, *code.size)
    with pytest.raises(WireLost, match="NV12"):
        v4l2.frame_of(captured("NV12", b"", 1, 1), 2.0)


async def test_a_missing_camera_is_down_with_its_path(camera: Camera) -> None:
    pytest.importorskip("linuxpy", reason="an extra")
    near = v4l2.DRIVER.make("cam", v4l2.V4l2Options(path="/dev/video97"), surroundings(RealClock(), Scripted()))
    camera.watch(near)
    await camera.until(down)
    assert "/dev/video97" in camera.statuses[0].detail


async def test_a_device_that_is_no_camera_is_down_too(camera: Camera) -> None:
    pytest.importorskip("linuxpy", reason="an extra")
    near = v4l2.DRIVER.make("cam", v4l2.V4l2Options(path="/dev/null"), surroundings(RealClock(), Scripted()))
    camera.watch(near)
    await camera.until(down)
    assert "/dev/null" in camera.statuses[0].detail
