"""Pictures held before a simulated camera: alive, or the same bytes again and again."""

from __future__ import annotations

import asyncio
import base64
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw_sim.acts import Acts
from hw_sim.camera import Camera
from hw_sim.fields import BadRequest
from hw_sim.machine import Machine
from hw_sim.model.log import PhysicalLog
from hw_sim.scenario import parse_scenario
from hw_sim.site import parse_site


def picture(level: int, size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (level, level // 2, 10)).save(out, "JPEG")
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16)


@pytest.fixture
def camera() -> Camera:
    return Camera("cam", "http://127.0.0.1:1/", PhysicalLog(), random.Random(1))


async def test_a_living_picture_is_never_the_same_twice(camera: Camera) -> None:
    await camera.show_pictures([picture(200)], 30.0, True)
    frames = [await camera.picture(n) for n in range(20)]
    assert len({pixels(frame).tobytes() for frame in frames}) == 20
    assert all(abs(int(pixels(frame)[16:32, 16:48, 0].mean()) - 200) < 4 for frame in frames)
    camera.dark = True
    assert pixels(await camera.picture(0)).mean() < 160
    camera.hide()


async def test_a_replay_is_the_same_bytes_in_turn(camera: Camera) -> None:
    shown = [picture(200), picture(90)]
    await camera.show_pictures(shown, 30.0, False)
    assert [await camera.picture(n) for n in range(4)] == shown * 2
    camera.hide()
    assert await camera.picture(0) not in shown


async def test_pictures_of_different_sizes_follow_each_other(camera: Camera) -> None:
    await camera.show_pictures([picture(200), picture(90, (32, 80))], 30.0, True)
    assert [pixels(await camera.picture(n)).shape for n in range(2)] == [(48, 64, 3), (80, 32, 3)]
    camera.hide()


async def test_the_act_takes_a_file_or_base64_and_names_what_is_wrong(tmp_path: Path) -> None:
    face = {"driver": "camera-face", "url": "http://127.0.0.1:9/video"}
    site = {"machine": "m", "devices": {"cam": face | {"driver": "mjpeg-camera"}, "face": face}}
    machine = Machine(parse_site(site), parse_scenario({}), tmp_path, 1)
    acts = Acts(machine)
    assert machine.cameras["cam"] is machine.cameras["face"], "one camera, two devices"
    (tmp_path / "a.jpg").write_bytes(picture(200))
    await acts.do(
        {"do": "show_picture", "device": "face", "paths": [str(tmp_path / "a.jpg")], "live": False, "seconds": 60}
    )
    assert await machine.cameras["cam"].picture(0) == picture(200)
    await acts.do({"do": "show_picture", "device": "face", "jpeg": base64.b64encode(picture(90)).decode()})
    assert abs(int(pixels(await machine.cameras["cam"].picture(0))[16:32, 16:48, 0].mean()) - 90) < 4
    await acts.do({"do": "hide_picture", "device": "cam"})
    for wrong, says in (
        ({}, "either"),
        ({"jpeg": "?"}, "cannot be shown"),
        ({"jpeg": base64.b64encode(b"\xff\xd8nothing").decode()}, "JPEG"),
        ({"paths": [str(tmp_path / "b.jpg")]}, "b.jpg"),
    ):
        with pytest.raises(BadRequest, match=says):
            await acts.do({"do": "show_picture", "device": "face", **wrong})
    acts.stop()
    await asyncio.sleep(0)
