"""Seeds by the hundred, on all cores: `python -m tests.simulation.year explore --seeds 200`."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.simulation.year.plan import Plan, plan
from tests.simulation.year.run import Result, Run, shrunk

CUSTOMERS = 100
TWICE_EVERY = 20  # every so many seeds are played twice, and must give the same journal


def play(seed: int, customers: int) -> Result:
    """One seed. What two runs of it give must be equal."""
    logging.disable(logging.CRITICAL)
    gc.disable()  # corpses of the daemon are let go at one known time
    try:
        result = Run(plan(seed, customers)).play()
        if seed % TWICE_EVERY == 0 and not result.law:
            again = Run(plan(seed, customers)).play()
            if (again.journal, again.records) != (result.journal, result.records):
                result.law, result.what = "one seed, one journal", f"{result.records} and {again.records} records"
        return result
    finally:
        gc.enable()
        gc.collect()


def _play(job: tuple[int, int]) -> Result:
    return play(*job)


def played(seeds: Iterable[int], customers: int, processes: int) -> Iterable[Result]:
    """Results as they come."""
    jobs = [(seed, customers) for seed in seeds]
    if processes == 1:
        yield from map(_play, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=40) as pool:
        yield from pool.imap_unordered(_play, jobs)


def kept(full: Plan, only: str) -> Plan:
    """The plan with nothing but these: `c3,c7,t2` are customers and troubles by number."""
    if not only:
        return full
    names = set(only.split(","))
    return replace(
        full,
        customers=tuple(c for c in full.customers if f"c{c.n}" in names),
        troubles=tuple(t for t in full.troubles if t.kept or f"t{t.n}" in names),
    )


def names(small: Plan) -> str:
    return ",".join([*(f"c{c.n}" for c in small.customers), *(f"t{t.n}" for t in small.troubles)]) or "none"


def replay_command(seed: int, customers: int, small: Plan) -> str:
    return f"python -m tests.simulation.year replay --seed {seed} --customers {customers} --only {names(small)}"


def explore(args: argparse.Namespace) -> int:
    began = time.monotonic()
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    words: Counter[str] = Counter()
    broken: list[Result] = []
    for n, result in enumerate(played(range(args.first, args.first + args.seeds), args.customers, args.jobs), start=1):
        total.update(rentals=result.completed, picked=result.picked, boots=result.boots, records=result.records)
        total["simulated_s"] += int(result.simulated_s)
        faults.update(result.faults)
        words.update(result.words)
        if result.law:
            broken.append(result)
            print(f"seed {result.seed}: {result.law}: {result.what}", flush=True)
        if n % 20 == 0:
            print(f"  {n} seeds, {total['rentals']} rentals, {time.monotonic() - began:.0f} s", flush=True)
    seconds = time.monotonic() - began
    found = [_explained(result, args) for result in broken[: args.shrink]]
    report: dict[str, Any] = {
        "rentals": total["rentals"],
        "faults": dict(sorted(faults.items())),
        "simulated_days": round(total["simulated_s"] / 86400, 2),
        "violations": len(broken),
        "seconds": round(seconds, 1),
        "seeds": args.seeds,
        "boots": total["boots"],
        "records": total["records"],
        "found": found,
    }
    Path("build").mkdir(exist_ok=True)
    Path("build/explore.json").write_text(json.dumps(report, indent=1))
    print(f"{report['rentals']} rentals completed of {total['picked']} begun, {args.seeds} machines, "
          f"{total['boots']} boots, {report['simulated_days']} simulated days, {seconds:.0f} s")  # fmt: skip
    print("faults: " + (", ".join(f"{kind} {n}" for kind, n in sorted(faults.items())) or "none"))
    print("what people were told: " + ", ".join(f"{word} {n}" for word, n in words.most_common(16)))
    print(f"violations: {len(broken)}")
    return 1 if broken else 0


def _explained(result: Result, args: argparse.Namespace) -> dict[str, Any]:
    small = shrunk(plan(result.seed, args.customers), result.law) if result.law != "one seed, one journal" else None
    command = replay_command(result.seed, args.customers, small) if small is not None else "play it twice"
    print(f"seed {result.seed} shrunk to: {names(small) if small else '-'}\n  {command}", flush=True)
    return {**asdict(result), "replay": command}


def replay(args: argparse.Namespace) -> int:
    logging.disable(logging.CRITICAL)
    result = Run(kept(plan(args.seed, args.customers), args.only), say=print).play()
    print(result)
    return 1 if result.law else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.year", description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("explore", help="many seeds; non-zero when a law was broken")
    one.add_argument("--seeds", type=int, default=20)
    one.add_argument("--first", type=int, default=1)
    one.add_argument("--customers", type=int, default=CUSTOMERS)
    one.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    one.add_argument("--shrink", type=int, default=3, help="shrink so many of the violations")
    one.set_defaults(run=explore)
    two = commands.add_parser("replay", help="one seed, step by step")
    two.add_argument("--seed", type=int, required=True)
    two.add_argument("--customers", type=int, default=CUSTOMERS)
    two.add_argument("--only", default="", help="c1,c2,t1: these customers and troubles and no others")
    two.set_defaults(run=replay)
    from tests.simulation.year import mutants

    mutants.add_parser(commands)
    args = parser.parse_args(argv)
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
