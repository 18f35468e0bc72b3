"""Badges at a real reader: alone, chosen among by the keypad, and a second person's consent; back by badge, too."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.stand import TOWER, Stand, fast

KEY = base64.b64encode(bytes(range(32))).decode()
HOLDER, BOSS, STRANGER = "nfc:04A1B2C3", "nfc:04D4E5F6", "nfc:04999999"
SITE = (
    TOWER.replace('keys = "keys.json"', 'keys = "keys.json"\nbadge_key = "badge.key"')
    .replace('car = ["pass"]', 'car = ["pass", "badge"]')
    .replace("[devices.estop]", '[devices.nfc]\ndriver = "pn532"\nport = "nfc"\n[devices.estop]')
    .replace('keypad = "pad"\ntag', 'keypad = "pad"\nbadge = "nfc"\ntag')
)


@pytest.fixture
def m(make: Callable[..., Stand], tmp_path: Path) -> Stand:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "badge.key").write_text(KEY)
    (folder / "badge.key").chmod(0o600)
    made = make(site=SITE, timing=fast(farewell_s=20))
    made.cloud.act("badge_key", key=KEY)
    return made


def hold(m: Stand, badge: str, seconds: float = 1.0) -> None:
    m.plant.act("hold_badge", terminal="front", badge=badge, seconds=seconds)


def choices(m: Stand) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]] | None:
        said = m.prompt()
        return said["params"]["choices"] if said["code"] == "choose_rental" else None

    return m.until(look, "the front terminal offers a choice")


def test_out_and_back_by_badge(m: Stand) -> None:
    m.book("r1", "car-1", badge=HOLDER)
    hold(m, STRANGER)
    m.refused("front", "unknown_badge")
    assert m.prompt()["code"] == "refused" and m.pulses() == 0
    hold(m, HOLDER, 8.0)  # it lies on the reader all the while
    m.unlocked("bay-1")
    m.drive_out("r1", "bay-1")
    assert m.pulses() == 1, "a badge that was never lifted brings nothing back"
    m.until(lambda: m.prompt()["code"] in ("enjoy", "idle"), "the visit is over")
    assert m.received("rental.return_started") == []
    hold(m, STRANGER)  # another card in between: the next one is laid on anew
    m.refused("front", "unknown_badge", 2)
    hold(m, HOLDER)
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 2, "a place opens for the return")
    m.bring_back("r1", "car-1", bay)
    assert m.received("rental.claimed")[0]["data"]["by"] == "badge"


def test_two_rentals_are_told_apart_at_the_keypad(m: Stand) -> None:
    m.book("r1", "car-1", badge=HOLDER)
    m.book("r2", "car-2", badge=HOLDER, window_from=-30)
    hold(m, HOLDER)
    assert [(one["ref"], one["asset"]) for one in choices(m)] == [("1", "car-1"), ("2", "car-2")]
    assert m.pulses() == 0
    m.type("9#")
    m.refused("front", "unknown_choice")
    m.type("2#")
    m.unlocked("bay-2")
    m.drive_out("r2", "bay-2")
    hold(m, STRANGER)
    m.refused("front", "unknown_badge")
    hold(m, HOLDER)
    assert [one["act"] for one in choices(m)] == ["pick_up", "return"]
    assert m.press("choose", ref="1")[0] == 200, "the screen picks as well"
    m.unlocked("bay-1")


def test_a_car_that_a_second_person_must_agree_to(m: Stand) -> None:
    m.cloud.act("directory", put=[{"id": "car-1", "class": "car", "tags": ["62E3080001"], "authorisers": [BOSS]}])
    text = m.book("r1", "car-1", badge=HOLDER)
    m.show(text)
    m.shown("show_second_badge")
    hold(m, HOLDER)  # agrees with themselves
    hold(m, STRANGER)
    m.refused("front", "wrong_badge")
    assert m.prompt()["code"] == "show_second_badge" and m.pulses() == 0
    hold(m, BOSS)
    m.unlocked("bay-1")
    record = m.received("rental.identified")[0]["data"]
    assert {"authoriser", "pass"} <= set(record["factors"]) and len(record["authoriser"]) == 12
    m.drive_out("r1", "bay-1")
    assert m.pulses() == 1
