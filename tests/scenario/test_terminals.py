"""What stands where people stand: two terminals, a scanner that is pulled, a camera, the assets' own tags."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from tests.scenario.stand import TOWER, Stand, fast

LASTING = fast(farewell_s=20)  # a refusal stays on the screen until it was read
Make = Callable[..., Stand]


@pytest.mark.long
def test_one_pass_at_two_terminals(make: Make) -> None:
    """Whoever was first is served; the copy is told so, at each stage, and takes nothing from the first."""
    m = make(timing=LASTING)
    text = m.book("r1", "car-1", pin="4071", pin_m=7168, pin_t=5)
    m.show(text)
    m.asked_for_pin(5)
    asked = m.prompt()
    m.show(text)  # a phone held there on and on
    tried_at_the_side(m, text)
    assert m.prompt() == asked
    m.type("4071#")
    m.unlocked("bay-1")
    m.open("bay-1")
    tried_at_the_side(m, text)
    assert m.prompt()["code"] == "take_and_close"
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.heard("rental.on_trip", "r1")
    m.show(text)
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 2, "a place opens for the return")
    tried_at_the_side(m, text)
    m.bring_back("r1", "car-1", bay)
    m.refused("r1", "in_use", count=3)
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised"))


def tried_at_the_side(m: Stand, text: str) -> None:
    m.show(text, "side")
    m.shown("in_use", "side")
    assert m.press("leave", "side")[0] == 200
    m.shown("idle", "side")


def test_two_rentals_of_one_holder_at_two_terminals_at_once(make: Make) -> None:
    """Two passes, each its own bay; the person at each terminal is led by that terminal."""
    m = make(timing=LASTING)
    first, second = m.book("r1", "car-1", holder="h-7"), m.book("r2", "car-2", holder="h-7")
    m.show(first)
    m.show(second, "side")
    m.unlocked("bay-1")
    m.unlocked("bay-2")
    m.open("bay-1")
    m.open("bay-2")
    assert m.prompt("front")["params"] == {"bay": "bay-1"} and m.prompt("side")["params"] == {"bay": "bay-2"}
    m.plant.act("take", bay="bay-2")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.close("bay-2")
    m.heard("rental.on_trip", "r1", asset="car-1", bay="bay-1")
    m.heard("rental.on_trip", "r2", asset="car-2", bay="bay-2")
    m.shown("enjoy", "front")
    m.shown("enjoy", "side")
    m.show(second)  # each pass brings back its own asset
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 3, "a place opens for the return")
    m.bring_back("r2", "car-2", bay)
    assert "rental.returned" not in m.kinds("r1") and m.pulses() == 3


def test_scanner_unplugged_and_back(make: Make) -> None:
    """What was shown meanwhile is not acted upon, nor is half a code glued to the next one."""
    patient = TOWER.replace('port = "scanner"', 'port = "scanner"\nidle_gap_ms = 5000')
    m = make(site=patient, timing=LASTING)
    first, second = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.plant.act("show_code", terminal="front", text=first[: len(first) // 2], via="scanner", ended=False)
    m.until(lambda: m.motions("scan_sent"), "half a code has left the scanner")
    m.plant.fault("link_unplugged", device="scanner")
    m.heard("device.down", "scanner")
    m.show(first)
    m.until(lambda: m.motions("scan_lost"), "the code is shown to a scanner that hangs loose")
    m.plant.fault("link_unplugged", device="scanner", on=False)
    m.heard("device.up", "scanner")
    m.pick_up("r2", "bay-2", second)
    assert m.pulses("bay-1") == 0 and m.pulses() == 1
    assert "rental.claimed" not in m.kinds("r1")
    m.pick_up("r1", "bay-1", first)
    assert m.pulses() == 2


def test_pass_shown_to_a_camera(make: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    camera = f'[devices.camera]\ndriver = "mjpeg-camera"\nurl = "http://127.0.0.1:{port}/front"\n[devices.estop]'
    site = TOWER.replace("[devices.estop]", camera).replace('codes = ["scanner"]', 'codes = ["scanner", "camera"]')
    m = make(site=site, timing=LASTING)
    text = m.book("r1", "car-1")
    m.show(text, via="camera")
    m.unlocked("bay-1")
    m.open("bay-1")
    m.plant.act("take", bay="bay-1")
    m.plant.act("hide_code", terminal="front")
    m.close("bay-1")
    m.heard("rental.on_trip", "r1")
    assert m.pulses() == 1 == len(m.received("rental.claimed"))


@pytest.mark.long
def test_return_by_the_assets_own_tag(make: Make) -> None:
    """One return for each time that somebody asks, and not much later: a car that only passes by opens nothing."""
    site = TOWER.replace('ports = ["tag-desk"]', 'ports = ["tag-desk"]\ngone_ms = 600')
    m = make(site=site, timing=fast(farewell_s=20, return_ask_s=3))
    m.pick_up("r1", "bay-1", m.book("r1", "car-1"))
    passes_by(m, "car-1")
    m.plant.act("press_return", terminal="front")
    time.sleep(3.2)  # the person is called away
    passes_by(m, "car-1")
    m.pick_up("r2", "bay-2", m.book("r2", "car-2"))
    assert m.pulses() == 2
    m.plant.act("press_return", terminal="front")
    hold(m, "car-1")
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 3, "a place opens for the return")
    m.bring_back("r1", "car-1", bay)
    passes_by(m, "car-2")
    m.refused("front", "ask_first", count=3)  # heard two seconds later: the tag can be seen anew by then
    assert m.pulses() == 3 and m.press("return")[0] == 200  # the key on the screen
    hold(m, "car-2")
    bay = m.authorised("return", 2)
    m.until(lambda: m.pulses() == 4, "a place opens for the second return")
    m.bring_back("r2", "car-2", bay)
    assert m.pulses() == 4


def passes_by(m: Stand, asset: str) -> None:
    hold(m, asset)
    m.shown("press_return_first")
    assert m.press("leave")[0] == 200
    m.shown("idle")


def hold(m: Stand, asset: str) -> None:
    """A tag is brought near and taken away."""
    m.plant.act("hold_tag", terminal="front", asset=asset, seconds=0.3)
