"""An OSDP reader with keypad at a terminal: badge and PIN from a commissioned reader alone, its housing watched."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.stand import TOWER, Stand

KEY = bytes(range(32))
CARD, OTHER = "wiegand26:0123ABC0", "wiegand26:FF23ABC0"
READER = """
[devices.reader]
driver = "osdp-reader"
port = "rs485"
baud = 115200
scbk = "reader.key"
idle_light = "blue"
[tamper]
input = "reader"
[devices.estop]"""
SITE = (
    TOWER.replace('keys = "keys.json"', 'keys = "keys.json"\nbadge_key = "badge.key"')
    .replace('keypad = "pad"\n', 'keypad = "reader"\nbadge = "reader"\n', 1)
    .replace('[devices.pad]\ndriver = "serial-keypad"\nport = "keypad"\n', "")
    .replace("[devices.estop]", READER)
)
Make = Callable[..., Stand]


def private(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)


def ready(make: Make, tmp_path: Path, *, commissioned: bool = True) -> Stand:
    private(tmp_path / "m" / "badge.key", base64.b64encode(KEY).decode())
    if commissioned:
        private(tmp_path / "m" / "reader.key", os.urandom(16).hex())
    m = make(site=SITE)
    if commissioned:
        m.until(lambda: reader(m)["light"]["steady"] == "blue" or None, "the reader shows that nobody is there")
    return m


def reader(m: Stand) -> dict[str, Any]:
    found: dict[str, Any] = m.plant.get("/state")["readers"]["reader"][0]
    return found


def hashed(badge: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(KEY, badge.encode(), hashlib.sha256)).rstrip(b"=").decode()


def test_badge_and_pin_come_from_the_reader_and_its_light_follows(make: Make, tmp_path: Path) -> None:
    m = ready(make, tmp_path)
    text = m.book("r1", demands=["pass+badge"], override={"badges": [hashed(CARD)]})
    m.show(text)
    m.until(lambda: reader(m)["light"]["steady"] == "amber" or None, "the reader shows that it waits")
    m.plant.act("hold_badge", terminal="front", badge=OTHER)
    m.heard("credential.refused", reason="wrong_badge")
    assert m.pulses() == 0
    m.plant.act("hold_badge", terminal="front", badge=CARD)
    m.unlocked("bay-1")
    m.until(lambda: reader(m)["light"]["now"] == "green" or None, "the reader shows green")
    m.secured("bay-2")
    m.plant.act("pickup", bay="bay-1", wait=20)
    m.heard("rental.on_trip", "r1")

    text = m.book("r2", "car-2", pin="4071", pin_m=7168, pin_t=5)
    m.show(text)
    m.asked_for_pin(5)
    m.type("9*4071#")
    m.unlocked("bay-2")
    assert m.pulses() == 2 and reader(m)["plain_polls"] == 0
    assert "0123ABC0" not in m.log("daemon") and "4071" not in m.log("daemon")


def test_an_opened_housing_is_an_alarm(make: Make, tmp_path: Path) -> None:
    m = ready(make, tmp_path)
    m.plant.fault("reader_opened", device="reader")
    m.heard("machine.alarm_raised", alarm="tamper")


@pytest.mark.long
def test_a_reader_is_commissioned_while_the_daemon_runs_and_taken_up_by_itself(make: Make, tmp_path: Path) -> None:
    m = ready(make, tmp_path, commissioned=False)
    status = m.until(lambda: down(m), "the reader is down")
    assert "vendingctl reader commission" in status
    command = [sys.executable, "-m", "vendingd.cli.main", "reader", "commission", "reader", "--site", "site.toml"]

    def commissioned() -> bool | None:  # the daemon has the port for a moment now and then
        done = subprocess.run(command, cwd=m.folder, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 6), done.stderr
        return done.returncode == 0 or None

    m.until(commissioned, "the port is free for a moment")
    m.until(lambda: reader(m)["light"]["steady"] == "blue" or None, "the daemon has taken up the new key")
    assert reader(m)["keys_taken"] == 1 and reader(m)["secure"]
    text = m.book(pin="4071", pin_m=7168, pin_t=5)
    m.show(text)
    m.asked_for_pin(5)
    m.type("4071#")
    m.unlocked("bay-1")


def down(m: Stand) -> str | None:
    found: list[dict[str, Any]] = m.api.get("/v1/devices")["devices"]
    told = [one for one in found if one["device"] == "reader" and not one["up"]]
    return str(told[0]["detail"]) if told else None
