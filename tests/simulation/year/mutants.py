"""Planted defects: each must be caught by some seed, or the laws are too weak. `python -m tests.simulation.year mutants`.

A defect is a change of the source's text in a copy of the tree; text that is no longer there is an error, too.
"""
# ruff: noqa: E501 - source text that is looked for is kept in one line

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.simulation.year.planted import RULES

ROOT = Path(__file__).parents[3]
FOLDERS = ("fsm", "drivers", "vendingd", "hw_sim", "tests/simulation/disk", "tests/simulation/year")

Change = tuple[str, str, str]  # file, what stands there, what is put instead
MUTANTS: dict[str, tuple[Change, ...]] = {
    "pulse before the commit": (
        ("vendingd/kernel/mailbox.py", "self._performer.foresee(effect)", "self._performer.perform(effect)"),
        ("vendingd/kernel/executor.py", "    def perform(self, effect: f.Effect, *, late: bool = False) -> None:\n",
         "    def perform(self, effect: f.Effect, *, late: bool = False) -> None:\n"
         "        if effect in self.__dict__.setdefault('_once', []):\n            return\n"
         "        self._once.append(effect)\n"),
    ),
    "pulse although the commit failed": (
        ("vendingd/kernel/mailbox.py", "            self._drop(open_)\n            raise\n",
         "            for item, made, _ in open_.entries:\n                self._publish(item, made)\n            raise\n"),
    ),
    "pulse repeated after a restart": (
        ("vendingd/app.py", "        self.recovery.begin()\n",
         "        self.recovery.begin()\n        import fsm.effects as fx\n"
         "        for row in self.mailbox.world.of['bay'].values():\n"
         "            if row.grant is not None:\n"
         "                self.executor.perform(fx.Unlock(row.id, row.grant.id))\n"),
    ),
    "unlock sent twice": (
        (
            "vendingd/kernel/executor.py",
            '        _log.info("unlock %s',
            '        await lock.unlock(channel, not_after_mono=not_after)\n        _log.info("unlock %s',
        ),
    ),
    "unlock outlives its time": (
        ("drivers/locks/bus.py", "        if not self._link.up:\n            return Outcome(", "        if False:\n            return Outcome("),
        ("drivers/locks/bus.py", "request.not_after_mono - self._clock.monotonic()", "9.0"),
        ("drivers/locks/bus.py", "                self._unlocks.popleft().settle(", "                break\n                self._unlocks.popleft().settle("),
        ("vendingd/kernel/executor.py", "GRACE_S = 5.0", "GRACE_S = 5000.0"),
    ),
    "grant's number used again": (
        ("fsm/bay_opening.py", "    n = bay.grant_n + 1\n    grant = Grant(\n        id=f\"{bay.id}.{n}\",\n        purpose=Purpose(event.purpose),",
         "    n = bay.grant_n + 1 if bay.grant_n % 5 else max(1, bay.grant_n)\n    grant = Grant(\n        id=f\"{bay.id}.{n}\",\n        purpose=Purpose(event.purpose),"),
    ),
    "pass spent when it is presented": (
        ("fsm/visit_ways.py", "    if spent is not None:\n        raise Refused(GONE_WORDS",
         "    if rental is not None and rental.openings:\n        raise Refused(\"spent\")\n"
         "    if spent is not None:\n        raise Refused(GONE_WORDS"),
    ),
    "outbox cursor moved before the answer": (
        ("vendingd/cloud/uplink.py", "        began = self._clock.monotonic()\n        try:\n            answer = await self._post(batch.body)",
         "        began = self._clock.monotonic()\n        self._acked = batch.records[-1].seq\n"
         "        await self._outbox.acked(self._acked, [])\n        try:\n            answer = await self._post(batch.body)"),
    ),
    "instruction obeyed again": (
        ("fsm/feed.py", "        if isinstance(done, Done):\n            turn.record(\n", "        if False:\n            turn.record(\n"),
    ),
    "old command obeyed": (
        ("fsm/feed.py", "one.age_s is None or one.age_s > turn.layout.timing.command_age_s or one.age_s < 0", "one.age_s is None"),
    ),
    "stale deadline honoured": (
        ("fsm/step.py", "if d.name == event.name and d.n == event.n)", "if d.name == event.name)"),
        ("vendingd/kernel/timers.py", "return known is not None and known.n == entry[4]", "return known is not None"),
    ),
    "expiry on an untrusted clock": (
        ("fsm/step.py", "due is None or (due.clock == \"utc\" and not turn.now.trusted)", "due is None"),
        ("vendingd/kernel/timers.py", "        if now.trusted:\n", "        if True:\n"),
        ("vendingd/kernel/timers.py", "if state.trusted else LOOK_S", "if True else LOOK_S"),
    ),
    "return refused after the window": (
        ("fsm/visit_ways.py", "    rental = turn.rental(event.rental)\n    if rental is not None:\n        return (\n",
         "    rental = turn.rental(event.rental)\n    if too_late(turn.now, event.exp, 0):\n        return False\n"
         "    if rental is not None:\n        return (\n"),
    ),
    "group commit drops its second record": (
        ("vendingd/journal/memory.py", "seal(batch.records, head", "seal([*batch.records[:1], *batch.records[2:]], head"),
    ),
    "group commit drops its last state row": (
        ("vendingd/journal/memory.py", "for change in batch.state:", "for change in list(batch.state)[: -1 if len(batch.state) > 2 else None]:"),
    ),
    "PIN believed": (
        ("vendingd/desk.py", "    return result.finding is Finding.VERIFIED\n", "    return True\n"),
    ),
    "asset given to another than the named one's holder": (
        ("fsm/bay_opening.py", "    if bay.asset != event.asset or (spec.presence", "    if (spec.presence"),
        ("fsm/choose.py", "    inside = turn.bay_holding(asset)\n    if inside is None:\n",
         "    inside = turn.bay_holding(asset) or next(\n"
         "        (b for b in turn.world.of['bay'].values() if b.asset is not None and b.grant is None), None)\n"
         "    if inside is None:\n"),
    ),
    "opening counts as taking": (
        ("fsm/custody.py", "            return Verdict(Word.NOT_TAKEN, bay.asset, Occupancy.OCCUPIED)\n        if grant.purpose is Purpose.RETURN and",
         "            return Verdict(Word.TAKEN, None, Occupancy.EMPTY)\n        if grant.purpose is Purpose.RETURN and"),
    ),
    "return counted without the asset": (
        ("fsm/custody.py", "    if grant.purpose is Purpose.RETURN:\n        return Verdict(Word.LEFT_EMPTY, None, Occupancy.EMPTY)",
         "    if grant.purpose is Purpose.RETURN:\n        return Verdict(Word.CAME_BACK, grant.asset, Occupancy.OCCUPIED)"),
    ),
    "forced door not alarmed": (
        ("fsm/bay_opening.py", "    bay = raise_alarm(bay, Alarm.FORCED_OPEN, turn)\n", ""),
        ("fsm/bay_opening.py", "id=f\"{bay.id}.{n}\", purpose=Purpose.FORCED", "id=f\"{bay.id}.{n}\", purpose=Purpose.TECHNICIAN"),
    ),
    "machine stays closed after a full disk": (
        ("vendingd/app.py", "        if self._reopening is None or self._reopening.done():\n", "        if False:\n"),
    ),
    "sensors forgotten when the journal is opened again": (
        ("vendingd/app.py", "            await self.sample()\n            if await self._load(loaded, first=False)",
         "            self.sensing.replay = lambda: None\n            if await self._load(loaded, first=False)"),
    ),
    "records kept from the cloud": (
        ("vendingd/cloud/uplink.py", "        self._last = max(self._last, seq)\n", "        self._last = max(self._last, seq)\n        if seq % 50 == 0:\n            self._acked = max(self._acked, seq)\n"),
    ),
} | RULES  # fmt: skip


def planted(name: str, folder: Path) -> str:
    """A copy of the tree with this defect in it; what is wrong with the defect, or nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in FOLDERS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in MUTANTS[name]:
        path = folder / file
        text = path.read_text()
        if text.count(old) != 1:
            return f"{file} has this {text.count(old)} times: {old.strip()[:70]!r}"
        path.write_text(text.replace(old, new))
    return ""


def hunt(name: str, args: argparse.Namespace) -> dict[str, Any]:
    folder = Path("build/mutants") / name.replace(" ", "-").replace("'", "")
    if wrong := planted(name, folder):
        return {"mutant": name, "caught": False, "seed": None, "law": f"out of date: {wrong}", "seconds": 0.0}
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.simulation.year", "first", "--seeds", str(args.seeds)]
    command += ["--customers", str(args.customers)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False,
                           env=os.environ | {"PYTHONPATH": "."})  # fmt: skip
    lines = ended.stdout.strip().splitlines()
    said = json.loads(lines[-1]) if ended.returncode in (0, 1) and lines else {"law": ended.stderr[-300:], "seed": None}
    shutil.rmtree(folder)
    caught = ended.returncode == 1 and said["seed"] is not None
    return {"mutant": name, "caught": caught, **said, "seconds": round(time.monotonic() - began, 1)}


def mutants(args: argparse.Namespace) -> int:
    names = [name for name in MUTANTS if args.only in name]
    with ThreadPoolExecutor(args.jobs) as pool:
        found = []
        for one in pool.map(lambda name: hunt(name, args), names):
            found.append(one)
            how = f"caught by seed {one['seed']}: {one['law']}" if one["caught"] else f"SURVIVED {one['law']}"
            print(f"{one['mutant']:55} {how} ({one['seconds']:.0f} s)", flush=True)
    Path("build").mkdir(exist_ok=True)
    Path("build/mutants.json").write_text(json.dumps(found, indent=1))
    alive = [one["mutant"] for one in found if not one["caught"]]
    print(f"{len(found) - len(alive)} of {len(found)} planted defects were caught within {args.seeds} seeds")
    return 1 if alive else 0


def first(args: argparse.Namespace) -> int:
    """The first seed that breaks a law."""
    from tests.simulation.year.explore import play

    for seed in range(1, args.seeds + 1):
        result = play(seed, args.customers)
        if result.law:
            print(json.dumps({"seed": seed, "law": result.law, "what": result.what[:200]}))
            return 1
    print(json.dumps({"seed": None, "law": ""}))
    return 0


def add_parser(commands: Any) -> None:
    for name, run, explains in (("mutants", mutants, __doc__), ("first", first, first.__doc__)):
        parser = commands.add_parser(name, help=explains.partition("\n")[0] if explains else "")
        parser.add_argument("--seeds", type=int, default=40)
        parser.add_argument("--customers", type=int, default=40)
        parser.add_argument("--only", default="", help="defects whose name contains this")
        parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
        parser.set_defaults(run=run)
