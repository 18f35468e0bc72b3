"""OSDP readers as a part of the simulated machine: people, faults and what it shows of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import BadgeRead, DigitsEntered, LevelRead
from hw_sim.acts import Acts
from hw_sim.faults import Faults
from hw_sim.fields import BadRequest
from hw_sim.machine import Machine
from hw_sim.model.world import Unknown
from hw_sim.scenario import Scenario, parse_scenario
from hw_sim.site import parse_site
from tests.contract.osdp.line import BADGE, KEY, key_file, so
from tests.contract.serial.cables import Rig

SITE: dict[str, Any] = {
    "machine": "cabinet-1",
    "devices": {
        "reader": {
            "driver": "osdp-reader", "port": "rs485", "baud": 115200, "addresses": [0, 4],
            "scbk": ["front.key", "back.key"],
        },
    },
    "bays": [],
    "terminals": [{"id": "front", "badge": "reader"}, {"id": "back", "badge": "reader:2", "keypad": "reader:2"}],
}  # fmt: skip


@dataclass
class Stand:
    machine: Machine
    acts: Acts
    faults: Faults
    rig: Any

    async def do(self, **act: Any) -> None:
        await self.acts.do(act)

    async def fault(self, name: str, *, on: bool = True, **given: Any) -> None:
        await self.faults.switch({"name": name, "device": "reader", "on": on, **given})

    async def polled(self) -> None:
        """Until every reader has said that it keeps nothing."""
        counts = self.machine.lines["reader", 1].counters.frames
        target = counts["answers"] + 10
        await so(lambda: counts["answers"] >= target)

    def shown(self, n: int) -> dict[str, Any]:
        state: dict[str, Any] = self.machine.to_json()["readers"]["reader"][n - 1]
        return state


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    keys = [str(key_file(tmp_path / "front.key")), str(key_file(tmp_path / "back.key", bytes(range(16))))]
    machine = Machine(parse_site(SITE), Scenario(), tmp_path, 1)
    await machine.start()
    acts = Acts(machine)
    options = {"port": str(tmp_path / "rs485"), "scbk": tuple(keys), "addresses": (0, 4), "baud": 115200}
    rig = Rig("osdp-reader", [], **options)
    yield Stand(machine, acts, Faults(machine), rig)
    await rig.stop()
    acts.stop()
    await machine.stop()


async def test_people_show_badges_and_type(stand: Stand) -> None:
    rig = stand.rig
    await rig.until(lambda: rig.up(1) is True and rig.up(2) is True)
    await so(lambda: stand.shown(1)["secure"] and stand.shown(1)["light"]["steady"] == "off")
    await stand.polled()
    await stand.do(do="hold_badge", terminal="back", badge=BADGE)
    await stand.do(do="type", terminal="back", keys="42#", gap_ms=30)
    await rig.until(lambda: bool(rig.of(BadgeRead)) and bool(rig.of(DigitsEntered)))
    assert [(read.channel, read.badge) for read in rig.of(BadgeRead)] == [(2, BADGE)]
    assert [(read.channel, read.digits) for read in rig.of(DigitsEntered)] == [(2, "42")]
    with pytest.raises(BadRequest, match="no badge of this reader"):
        await stand.do(do="hold_badge", terminal="back", badge="nfc:04112233")


async def test_its_faults(stand: Stand) -> None:
    rig = stand.rig
    await rig.until(lambda: rig.levels() == {1: False, 2: False})
    await stand.fault("reader_opened", channel=2)
    await rig.until(lambda: rig.levels() == {1: False, 2: True})
    await stand.fault("reader_reset", channel=1)
    await rig.until(lambda: rig.up(1) is False and rig.levels()[1] is None)
    assert stand.shown(1)["install"] and not stand.shown(1)["secure"] and rig.up(2) is True
    await stand.fault("reader_reset", on=False, channel=1)
    await rig.until(lambda: rig.up(1) is True)
    await stand.fault("device_restarts")
    await rig.until(lambda: rig.up() is False)
    await rig.until(lambda: rig.up(1) is True and rig.up(2) is True)
    await stand.fault("link_unplugged")
    await rig.until(lambda: rig.up() is False)
    await stand.do(do="hold_badge", terminal="front", badge=BADGE)
    await stand.fault("link_unplugged", on=False)
    await rig.until(lambda: rig.up(1) is True and rig.up(2) is True)
    await so(lambda: stand.shown(1)["kept"] == 0)
    await rig.until(lambda: rig.of(LevelRead)[-1].value is not None)
    assert rig.of(BadgeRead) == []
    with pytest.raises(BadRequest, match="channels 1 to 2"):
        await stand.fault("reader_opened", channel=3)
    with pytest.raises(Unknown, match="no OSDP reader 'pad'"):
        await stand.faults.switch({"name": "reader_opened", "device": "pad"})


def test_a_reader_without_a_key_file_waits_for_one_and_a_scenario_may_say_other_keys(tmp_path: Path) -> None:
    waiting = Machine(parse_site(SITE), Scenario(), tmp_path, 1)
    assert [reader.options.install for reader in waiting.osdp["reader"].readers] == [True, True]
    scenario = parse_scenario({"devices": {"reader": {"keys": [KEY.hex(), ""]}}})
    given = Machine(parse_site(SITE), scenario, tmp_path, 1)
    assert [reader.options.key for reader in given.osdp["reader"].readers] == [KEY, None]
