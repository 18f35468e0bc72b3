"""The way from every schema version that ever was: a frozen sample of each is opened, migrated and gone on with.

A sample is never changed. Each version has one made by hand, `vN.sql`, and may have others that a machine left,
`vN-*.sql`: those hold the aggregates' states, too, and a newer daemon must still know what it was about.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fsm.model import Alarm, BaySpec, BayState, Layout, RentalState, TerminalSpec
from fsm.policy import Policy
from tests.unit.api.light import LightMachine
from vendingd.journal import schema
from vendingd.journal.api import Batch, NewRecord
from vendingd.journal.offline import verify_file
from vendingd.journal.store import Journal

SAMPLES = sorted((Path(__file__).parent / "schemas").glob("v*.sql"))


def lay_out(sample: Path, path: Path) -> tuple[int, str]:
    """The sample as a file; its version and its machine."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sample.read_text())
        version = db.execute("PRAGMA user_version").fetchone()[0]
        return int(version), str(db.execute("SELECT id FROM machine").fetchone()[0])


def journal(path: Path, machine: str) -> Journal:
    return Journal(path, machine=machine, boot_id="after", token=os.urandom)


def test_every_version_has_its_sample() -> None:
    made = {int(found[1]) for sample in SAMPLES if (found := re.fullmatch(r"v(\d+)\.sql", sample.name))}
    assert made == set(range(1, schema.VERSION + 1))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
async def test_a_journal_of_an_older_version_goes_on(path: Path, sample: Path) -> None:
    version, machine = lay_out(sample, path)
    assert sample.name.startswith(f"v{version}")
    with closing(sqlite3.connect(path)) as db:
        old = db.execute("SELECT seq, kind, subject, data, hash FROM record ORDER BY seq").fetchall()
        states = db.execute("SELECT kind, id, data FROM state ORDER BY kind, id").fetchall()
    store = journal(path, machine)
    loaded = await store.open()
    assert [(r.seq, r.kind, r.subject, r.data, r.hash) for r in await store.records(0, 10_000)] == old
    assert [(kind, key, data) for kind, rows in loaded.state.items() for key, data in rows.items()] == states
    done = await store.commit(Batch([NewRecord("k", "s", b"{}", 1.8e9, 1.0, True, False)]))
    assert done.first_seq == loaded.next_seq == len(old) + 1
    await store.close()
    verdict = verify_file(path, machine)
    assert (verdict.ok, verdict.head_seq) == (True, len(old) + 1), verdict
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION


async def test_a_daemon_knows_what_a_machine_of_0_1_0_was_about(path: Path) -> None:
    _, machine = lay_out(Path(__file__).parent / "schemas" / "v1-machine.sql", path)
    spec = {
        f"bay-{n}": BaySpec(id=f"bay-{n}", fits=frozenset({"car"}), bolt=True, presence=True, tag=True)
        for n in (1, 2, 3)
    }
    layout = Layout(
        machine=machine,
        site="west",
        bays=spec,
        terminals={"front": TerminalSpec(id="front")},
        policy=Policy({"*": (frozenset({"pass"}),)}),
    )
    light = LightMachine(layout, journal(path, machine))
    assert light.mailbox.load(await light.seams.store.open()) == []
    world = light.mailbox.world
    states = {key: (one.state, one.locked_out) for key, one in world.of["rental"].items()}
    assert states == {
        "r1": (RentalState.ON_TRIP, False),
        "r2": (RentalState.READY, True),
        "r3": (RentalState.BOOKED, False),
    }
    assert light.rental("r2").pin is not None and light.rental("r1").asset == "car-1"
    held = light.bay("bay-3")
    assert held.state is BayState.OPEN and held.alarms == {Alarm.FORCED_OPEN}
    assert [(one.kind, one.bay, one.asset) for one in world.of["incident"].values()] == [
        ("asset_missing", "bay-2", "car-2")
    ]
    assert world.machine.cursor and "r9" in world.of["spent"] and len(world.of["key"]) == 1
    await light.mailbox.settle()
    await light.seams.store.close()
