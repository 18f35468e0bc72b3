"""The disk under the journal fails while people are served, and a journal is damaged: what the technician does then."""

from __future__ import annotations

import os
import random
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.scenario.stand import PATIENCE_S, Stand, command, fast
from tests.scenario.test_journal import vendingctl

Make = Callable[..., Stand]
Mount = Callable[..., Path]


def says(m: Stand, *words: str) -> None:
    """The machine is unavailable, and says why."""

    def look() -> bool:
        status = m.api.get("/v1/status")
        return status["state"] == "unavailable" and all(w in str(status["unavailable"]) for w in words)

    m.until(look, f"unavailable, and says {words}")


def serving(m: Stand) -> None:
    m.until(lambda: m.api.get("/v1/status")["state"] == "serving", "it serves again by itself", 2 * PATIENCE_S)
    m.recovered()


def fill(folder: Path) -> Path:
    """A file that leaves no room."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return ballast
    raise AssertionError("the file system has no end")


def until_refused(m: Stand) -> int:
    """Write until the journal cannot; how many were answered as done."""
    done = 0
    while True:
        status, answer = m.api.ask(
            "POST", "/v1/bays/bay-3/availability", {"in_service": bool(done % 2), "reason": "x" * 150}
        )
        if status != 200:
            assert status == 503, answer
            return done
        done += 1
        assert done < 5000, "the disk never filled"


@pytest.mark.long
def test_a_disk_that_fills_up_while_a_car_is_fetched(mounted: Mount, make: Make) -> None:
    """The door is open by then and stays the customer's; what happened meanwhile is found out once there is room."""
    disk = mounted("-t", "tmpfs", "-o", "size=3m", "tmpfs")
    m = make(timing=fast(held_open_s=60, warn_open_s=50))
    text, waiting = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.show(text)
    m.unlocked("bay-1")
    m.open("bay-1")
    ballast = fill(disk)
    done = until_refused(m)
    says(m, "full", "free space")
    m.show(waiting, "side")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    assert m.pulses() == 1 and m.daemon_lives()
    ballast.unlink()
    serving(m)
    m.heard("rental.on_trip", "r1")
    said = [e for e in m.all_there() if e["type"].endswith(("out_of_service", "in_service"))]
    assert len(said) - done in (0, 1)  # the one that was not answered may have become durable
    m.show(text)
    m.bring_back("r1", "car-1", m.authorised("return"))
    m.pick_up("r2", "bay-2", waiting)
    assert m.pulses() == 3 == len(m.received("bay.unlock_authorised"))
    assert m.received("incident.opened") == [] and m.received("bay.alarm_raised") == []
    m.all_there()
    assert m.api.post("/v1/journal/verify", {})["ok"]


@pytest.mark.long
def test_a_disk_that_is_read_only_for_a_while(mounted: Mount, make: Make) -> None:
    """Found so at a start in the middle of a release: nothing opens; written again, it goes on where it was."""
    disk = mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs")
    m = make()
    text, waiting = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.show(text)
    m.unlocked("bay-1")
    m.kill_daemon()
    m.plant.act("open_door", bay="bay-1")
    command("mount", "-o", "remount,ro", str(disk))
    m.start_daemon()
    says(m, "readonly", "dmesg")
    m.show(waiting, "side")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    assert m.pulses() == 1
    command("mount", "-o", "remount,rw", str(disk))
    serving(m)
    assert m.heard("rental.on_trip", "r1")["data"]["outage"] is True
    m.pick_up("r2", "bay-2", waiting)
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised"))
    assert m.received("incident.opened") == []
    m.all_there()


def flipped(path: Path, seq: int) -> None:
    """One bit of that record's data."""
    with closing(sqlite3.connect(path)) as db:
        ends = b"".join(db.execute("SELECT prev_hash, hash FROM record WHERE seq = ?", (seq,)).fetchone())
    data = bytearray(path.read_bytes())
    for found in list(re.finditer(re.escape(ends), data)):
        data[found.start() - 3] ^= 1
    path.write_bytes(data)


@pytest.mark.long
def test_a_damaged_journal_is_named_set_aside_and_replaced(m: Stand) -> None:
    """As docs/journal.md says it, by vendingctl: truncated, or with another car in a state, it is refused; a bit
    flipped in an old record is named by the check."""
    state, where = m.folder / "state", ("--state-dir", str(m.folder / "state"))
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    m.all_there()
    backup = m.folder / "backup.db"
    records = vendingctl(m, "journal", "backup", str(backup))["records"]
    assert m.stop("daemon") == 0
    good = (state / "journal.db").read_bytes()
    seq = random.Random(1).randrange(2, records - 2)
    for n, harm in enumerate(("truncated", "record", "state"), 1):
        (state / "journal.db").write_bytes(good)
        truncated = harm == "truncated"
        if truncated:
            os.truncate(state / "journal.db", len(good) - 2048)
        elif harm == "record":
            flipped(state / "journal.db", seq)
        else:
            another = rb'("id":"r1","state":"on_trip".{0,80}"named":"car-)1'
            (state / "journal.db").write_bytes(re.sub(another, rb"\g<1>2", good))
        spoiled = (state / "journal.db").read_bytes()
        assert spoiled != good
        m.start_daemon()
        if truncated:
            says(m, "corrupt", "Nothing was changed", "vendingctl journal put-back")
        elif harm == "state":
            says(m, "corrupt", "state row rental/r1 does not match its digest", "vendingctl journal put-back")
        else:  # it serves: what it believes is not in that record; the chain is
            m.recovered()
        verdict = vendingctl(m, "audit", "verify", *where, code=1)
        assert verdict["ok"] is False and verdict["problem"]
        assert harm != "record" or (verdict["first_bad_seq"], verdict["head_seq"]) == (seq, seq - 1)
        assert harm != "state" or "state row rental/r1" in verdict["problem"]
        assert m.stop("daemon") == 0
        aside = Path(vendingctl(m, "journal", "set-aside", *where)["file"])
        assert aside.parent.name == f"journal.db.damaged-{n}"
        assert not truncated or aside.read_bytes() == spoiled, "the evidence is as it was found"
        evidence = vendingctl(m, "audit", "verify", "--file", str(aside), code=1)
        assert evidence["first_bad_seq"] == verdict["first_bad_seq"]
        vendingctl(m, "journal", "put-back", str(backup), "--reason", "damaged", *where)
        m.start_daemon()
        m.recovered()
        assert vendingctl(m, "audit", "verify")["ok"]
        assert m.api.get("/v1/rentals/r1")["state"] == "on_trip"
        m.heard("machine.journal_restored", count=n)
        m.until(lambda: m.api.get("/v1/status")["cloud"]["backlog"] == 0, "the cloud has everything")
        assert m.stop("daemon") == 0
    m.start_daemon()
    m.recovered()
    m.show(text)
    m.bring_back("r1", "car-1", m.authorised("return"))
    assert not [a for a in m.cloud.get("/events", after=0)["events"] if a["conflict"]]
