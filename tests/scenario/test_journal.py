"""A journal that grows old, is backed up, and is put back from an old copy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.stand import FAST, Stand

Make = Callable[..., Stand]


def vendingctl(m: Stand, *argv: str, code: int = 0) -> Any:
    """As a technician types it, expecting this exit code."""
    socket = str(m.api.path)
    command = [sys.executable, "-m", "vendingd.cli.main", "--socket", socket, "--json", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, (argv, done.stdout, done.stderr)
    return json.loads(done.stdout)


def first_seq(m: Stand) -> int:
    return int(m.api.get("/v1/journal", after=0, limit=1)["records"][0]["seq"])


@pytest.mark.long
def test_records_age_out_behind_the_clouds_anchor(make: Make) -> None:
    """Signed by its key they go, and the machine serves, verifies and starts as before; forged, nothing moves."""
    m = make(timing=FAST + "[journal]\nkeep_days = 0\n")
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    m.all_there()
    anchor = m.cloud.act("anchor")
    forged = {k: v for k, v in anchor.items() if k != "instruction"} | {"hash": "00" * 32}
    assert m.outcome(anchor["instruction"]) == ("accepted", None)
    refused = m.cloud.act("raw", instruction=forged)["instruction"]
    assert m.outcome(refused) == ("refused", "anchor_forged")
    m.until(lambda: first_seq(m) > 1, "records age out")
    assert first_seq(m) == anchor["seq"] + 1
    verdict = m.api.post("/v1/journal/verify", {})
    assert (verdict["ok"], verdict["from_seq"], verdict["from_hash"]) == (True, anchor["seq"], anchor["hash"])
    m.heard("machine.journal_anchored", "tower-1", seq=anchor["seq"], signature=anchor["signature"])
    m.kill_daemon()
    m.start_daemon()
    m.recovered()
    m.show(text)
    m.bring_back("r1", "car-1", m.authorised("return"))
    m.all_there()
    assert m.received("bay.alarm_raised") == [] and m.received("incident.opened") == []


@pytest.mark.long
@pytest.mark.parametrize("said", ["before the start", "after it", "by nobody"])
def test_a_journal_put_back_from_a_backup(m: Stand, said: str) -> None:
    """What happened since the backup is the cloud's; what happens from now on reaches it under names of its own."""
    text = m.book("r1", "car-1")
    m.all_there()
    backup = m.folder / "backup.db"
    assert vendingctl(m, "journal", "backup", str(backup))["head_seq"] == len(m.received())
    m.pick_up("r1", "bay-1", text)
    lost = {x["id"] for x in m.all_there()}
    assert m.stop("daemon") == 0
    where = ("--state-dir", str(m.folder / "state"))
    vendingctl(m, "journal", "set-aside", *where)
    shutil.copy(backup, m.folder / "state" / "journal.db")
    if said == "before the start":
        vendingctl(m, "journal", "restored", "--reason", "card replaced", *where)
    m.start_daemon()
    if said == "after it":
        vendingctl(m, "journal", "restored", "--reason", "card replaced")
    restored = m.heard("machine.journal_restored")
    assert restored["epoch"] == restored["data"]["epoch"]
    m.recovered()
    m.until(lambda: m.api.get("/v1/incidents")["incidents"], "the car that the backup believes in is missed")
    incident = m.api.get("/v1/incidents")["incidents"][0]
    assert (incident["kind"], incident["bay"]) == ("asset_missing", "bay-1")
    m.pick_up("r2", "bay-2", m.book("r2", "car-2"))
    m.until(lambda: m.api.get("/v1/status")["cloud"]["backlog"] == 0, "the cloud has everything")
    words = m.received("machine.journal_restored")
    assert {x["data"]["epoch"] for x in words} == {restored["epoch"]}, "it was restored once, whoever says so"
    assert len(words) == 1 or said == "after it"
    known, arrivals = {x["id"] for x in m.received()}, m.cloud.get("/events", after=0)["events"]
    again = {a["event"]["id"] for a in arrivals if a["conflict"]}
    journal = m.api.get("/v1/journal", after=0, limit=500)["records"]
    assert {r["name"] for r in journal} <= known
    assert lost <= known and again <= lost
    # A name that the cloud knows is set aside, said, and in the journal; said before the start, there is none.
    assert (again == set()) or said != "before the start"
    assert len([x for x in m.received("machine.record_refused")]) == len(again)
    assert m.api.post("/v1/journal/verify", {})["ok"]
    by_hand = m.api.ask("GET", "/v1/alarms")[1]["alarms"]
    assert not [a for a in by_hand if a["alarm"] == "cloud_journal_differs"]
