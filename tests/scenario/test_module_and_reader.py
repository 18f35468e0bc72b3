"""A face module and a badge reader at a terminal: whoever the reservation means is let in, and nobody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenario.stand import CARS, TOWER, Stand
from tests.scenario.test_incidents import ctl

KEY = bytes(range(32))
CARD, OTHER = "nfc:04112233", "nfc:0511223344AABB"
SITE = (
    TOWER.replace('keys = "keys.json"', 'keys = "keys.json"\nbadge_key = "badge.key"')
    .replace('tag = "desk"\n', 'tag = "desk"\nbadge = "badges"\nface = "eye"\n', 1)
    .replace(
        "[devices.estop]",
        '[devices.badges]\ndriver = "pn532"\nport = "badges"\n'
        '[devices.eye]\ndriver = "fm22x"\nport = "eye"\n[devices.estop]',
    )
)
PEOPLE = CARS + '\n[devices.eye]\nserial = "HLK-7"\nenrolled = { alice = 1, bob = 2 }\n'
ALICE = {"fmt": "fm22x-user", "uid": 1, "device": "HLK-7", "mark": hashlib.sha256(b"alice").hexdigest()[:16]}
Make = Callable[..., Stand]


def ready(make: Make, tmp_path: Path) -> Stand:
    key = tmp_path / "m" / "badge.key"
    key.parent.mkdir()
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(base64.b64encode(KEY).decode())
    return make(site=SITE, scenario=PEOPLE)


def hashed(badge: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(KEY, badge.encode(), hashlib.sha256)).rstrip(b"=").decode()


@pytest.mark.long
def test_the_enrolled_face_opens_and_another_does_not(make: Make, tmp_path: Path) -> None:
    m = ready(make, tmp_path)
    text = m.book(
        "r1", demands=["pass+live-face", "pass+pin"], pin="4071", pin_m=7168, pin_t=5, override={"face": ALICE}
    )
    m.plant.act("show_face", terminal="front", person="bob", seconds=60)
    m.show(text)
    m.heard("credential.refused", "r1", reason="wrong_face")
    assert m.pulses() == 0
    m.plant.act("show_face", terminal="front", person="alice", seconds=60)
    m.show(text)
    m.unlocked("bay-1")
    assert m.pulses() == 1


def test_who_is_enrolled_at_the_machine_is_let_in_and_forgotten_with_the_last_booking(
    make: Make, tmp_path: Path
) -> None:
    m = ready(make, tmp_path)
    m.plant.act("show_face", terminal="front", person="zoe", seconds=60)
    file = tmp_path / "zoe.json"
    ctl(m, "face", "enrol", "front", "--name", "r-zoe", "--out", str(file), "--reason", "at the desk")
    made = json.loads(file.read_text())
    assert made["fmt"] == "fm22x-user" and made["device"] == "HLK-7" and "zoe" not in json.dumps(made)
    more = {"pin": "4071", "pin_m": 7168, "pin_t": 5, "override": {"face": made}}
    m.book("r1", "car-1", demands=["pass+live-face", "pass+pin"], **more)
    text = m.book("r2", "car-2", demands=["pass+live-face", "pass+pin"], **more)
    ctl(m, "face", "forget", "front", str(file), "--reason", "tidying", code=3)
    m.cloud.act("cancel", rental="r1")
    m.heard("rental.secrets_erased", "r1")
    m.show(text)
    m.unlocked("bay-2")
    assert m.heard("rental.identified", "r2")["data"]["liveness"] == "hardware"


def test_the_badge_of_the_reservation_is_asked_for_beside_the_pass(make: Make, tmp_path: Path) -> None:
    m = ready(make, tmp_path)
    text = m.book("r1", demands=["pass+badge"], override={"badges": [hashed(CARD)]})
    m.show(text)
    m.heard("rental.claimed", "r1")
    m.plant.act("hold_badge", terminal="front", badge=OTHER, seconds=1)
    m.heard("credential.refused", reason="wrong_badge")
    assert m.pulses() == 0
    m.plant.act("hold_badge", terminal="front", badge=CARD, seconds=5)
    m.unlocked("bay-1")
