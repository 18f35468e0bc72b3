"""A plain camera at a terminal: pass and face release, another face does not, and the networks are gone afterwards."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from drivers.faces import engine, template
from drivers.faces.template import Template
from tests.perf.figures import children
from tests.scenario.stand import TOWER, Stand
from tests.unit.faces import heads

Make = Callable[..., Stand]
REST, NEAR = 0.7, 1.0  # how large the head is


def site(options: str) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    device = f'[devices.face]\ndriver = "camera-face"\nurl = "http://127.0.0.1:{port}/face"\n{options}\n[devices.estop]'
    return TOWER.replace("[devices.estop]", device).replace('tag = "desk"\n', 'tag = "desk"\nface = "face"\n', 1)


def template_of(who: str) -> dict[str, Any]:
    now = time.time()
    vector = engine.see(heads.alone(who)).vector
    made: dict[str, Any] = json.loads(template.write(Template(vector, now - 60, now + 3600)))
    return made


def show(m: Stand, picture: Any) -> None:
    """Hold it before the camera, until something else is."""
    (m.folder / "shown.jpg").write_bytes(heads.jpeg(picture))
    m.plant.act("show_picture", device="face", paths=["shown.jpg"], seconds=120)


def book(m: Stand, who: str) -> tuple[str, dict[str, Any]]:
    made = template_of(who)
    more = {"pin": "4071", "pin_m": 7168, "pin_t": 5, "override": {"face": made}}
    return m.book("r1", demands=["pass+face", "pass+pin"], **more), made


def test_pass_and_face_release_and_another_face_does_not(make: Make) -> None:
    m = make(site=site("challenge = false"))
    text, made = book(m, "hopper")
    show(m, heads.alone("collins"))
    m.show(text)
    m.heard("credential.refused", "r1", reason="wrong_face")
    assert m.pulses() == 0
    show(m, heads.alone("hopper"))
    m.show(text)
    m.unlocked("bay-1")
    assert m.pulses() == 1
    m.until(lambda: not children(m.daemon_pid), "the process with the networks is gone", 60.0)
    m.all_there()
    kept = [path for path in (m.folder / m.state_dir).rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in [*kept, m.folder / "daemon.log"])
    assert kept and made["vector"].encode() not in written


@pytest.mark.long
def test_the_movements_that_the_screen_asks_for_release(make: Make) -> None:
    m = make(site=site("challenge_steps = 2"))
    text, _ = book(m, "hopper")
    show(m, heads.alone("hopper", REST))
    m.show(text)
    asked, done = "", 0
    end = time.monotonic() + 60
    while not m.pulses():
        assert time.monotonic() < end, m.story()
        prompt = m.prompt()
        word = prompt.get("params", {}).get("looking", "")
        if word and word != asked:
            asked = word
            done += word in ("turn_left", "turn_right", "closer")
            degrees, scale = {"turn_left": (40, REST), "turn_right": (-40, REST), "closer": (0, NEAR)}.get(
                word, (0, REST)
            )
            show(m, heads.alone("hopper", scale, degrees=degrees))
        time.sleep(0.05)
    assert done == 2
    claimed = m.heard("rental.claimed", "r1")
    assert claimed["data"]
