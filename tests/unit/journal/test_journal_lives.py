"""Many lives, and a long one: what a machine must still know after ten restarts, and what it must not heap up."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from fsm import events as e
from fsm.model import Alarm, BayState, RentalState
from tests.unit.journal.lives import HOUR, MACHINE, Life, journal
from tests.unit.virtual import simulate
from vendingd.journal.memory import MemoryStore

PIN = "s1.not-looked-at"
FEW, MANY, GROWTH = 2_000, 10_000, 3 * 512 * 1024  # rentals, rentals, bytes


def test_a_lock_out_a_held_door_and_an_incident_outlive_ten_restarts(path: Path) -> None:
    """Each life on another boot, some ended in order and some killed; none forgets, none adds to it, none opens."""

    async def story() -> None:
        inside: dict[str, str] = {}
        life = await Life(journal(path, "boot-0"), inside, boot="boot-0").start()
        await life.stock({"bay-1": "car-1", "bay-2": "car-2", "bay-3": "car-3"})
        await life.book("r1", "car-1", demands=("pass+pin",), pin=PIN, window_to=life.now().utc + 2000 * HOUR)
        for _ in range(5):
            assert (await life.show("r1")).refused is None
            await life.mailbox.credential("front", e.PinEntered("front", "0000"), life.now().mono)
            await life.rest(200.0)
        assert life.rental("r1").locked_out
        await life.door("bay-2", is_open=True, asset="car-2")  # by force, and left so
        await life.rest(200.0)
        await life.door("bay-3", is_open=True, asset=None)  # by force, and its car with it
        await life.door("bay-3", is_open=False, asset=None)
        await life.rest(30.0)
        (incident,) = life.mailbox.world.of["incident"].values()
        alarms = {bay: life.bay(bay).alarms for bay in ("bay-2", "bay-3")}
        assert Alarm.HELD_OPEN in alarms["bay-2"] and incident.kind == "asset_missing"
        open_doors = life.open_doors
        before = [(r.kind, r.subject) for r in await life.store.records(0, 1000)]
        for n in range(1, 11):
            await life.stop(in_order=n % 3 != 0)
            life = Life(journal(path, f"boot-{n}"), inside, boot=f"boot-{n}", began_utc=life.now().utc + HOUR)
            life.open_doors = open_doors
            await life.start()
            await life.rest(300.0)
            assert life.rental("r1").locked_out and life.rental("r1").state is RentalState.READY
            assert (await life.show("r1")).refused == "locked_out"
            assert life.bay("bay-2").state is BayState.OPEN
            assert {bay: life.bay(bay).alarms for bay in alarms} == alarms
            assert list(life.mailbox.world.of["incident"].values()) == [incident]
            assert life.effects == []
            await life.rest(60.0)
        await life.mailbox.settle()
        later = [(r.kind, r.subject) for r in await life.store.records(0, 10_000)][len(before) :]
        assert {kind for kind, _ in later} <= {
            "machine.started",
            "credential.refused",
            "bay.opened",
            "bay.open_warning",
        }
        assert [kind for kind, _ in later].count("machine.started") == 10
        # and there is a way out of each
        assert (await life.mailbox.request(e.ResolveIncident(incident.id, "closed", "tess", "looked"))).refused is None
        assert (await life.mailbox.request(e.ResetAttempts("r1", "tess", "known by name"))).refused is None
        await life.door("bay-2", is_open=False, asset="car-2")
        await life.rest(30.0)
        assert Alarm.HELD_OPEN not in life.bay("bay-2").alarms
        assert (await life.store.verify()).ok
        await life.stop()

    simulate(story())


@pytest.mark.long
def test_memory_stays_flat_over_ten_thousand_rentals() -> None:
    """An hour and a half each, so nearly two years; what is over must be forgotten."""

    async def story() -> tuple[int, int]:
        store = MemoryStore(machine=MACHINE)
        life = await Life(store, {}).start()
        await life.stock({"bay-1": "car-1"})
        bay, few = "bay-1", 0
        for n in range(1, MANY + 1):
            await life.book(f"r{n}", "car-1")
            await life.visit(f"r{n}", bay, "car-1", bring=False)
            await life.rest(HOUR)
            bay = await life.visit(f"r{n}", None, "car-1", bring=True)
            await life.rest(400.0)
            await life.acknowledge()
            assert life.mailbox.world.rental(f"r{n}") is None
            await store.trim(life.last_seq)  # the disk is another matter, and so is what the test notes
            life.effects.clear()
            if n == FEW:
                few = resident()
        return few, resident()

    few, many = simulate(story())
    assert many - few < GROWTH, f"{(many - few) / 1024:.0f} KiB more after {MANY} rentals than after {FEW}"


def resident() -> int:
    """Bytes."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
