"""Short runs of the simulated machine, and of what the harness itself promises."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.simulation.year.explore import kept, names, play
from tests.simulation.year.loop import SimLoop, Stuck, Timeline
from tests.simulation.year.plan import Trouble, plan
from tests.simulation.year.run import Run


@pytest.mark.parametrize("seed", [1, 3, 4, 9])
def test_laws_hold(seed: int) -> None:
    result = play(seed, 25)
    assert not result.law, f"{result.law}: {result.what}; python -m tests.simulation.year replay --seed {seed}"
    assert result.picked >= 10, "hardly anything happened"


def test_two_runs_of_one_seed_are_one() -> None:
    one, two = (Run(plan(13, 20)).play() for _ in range(2))
    assert (one.journal, one.records, one.law) == (two.journal, two.records, "")
    assert one.boots > 1, "this seed is of those whose power goes"


@pytest.mark.parametrize(
    "seed", [4, pytest.param(10, marks=pytest.mark.long)]
)  # both with a board that is unplugged, whose port is named in records
def test_two_processes_play_one_run(seed: int) -> None:
    code = f"from tests.simulation.year.explore import play; r = play({seed}, 15); print(r.journal, r.records)"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": hashes},
        ).stdout
        for hashes in ("1", "2")
    }
    assert len(said) == 1, said


def test_another_seed_is_another_run() -> None:
    assert Run(plan(1, 12)).play().journal != Run(plan(5, 12)).play().journal


@pytest.mark.parametrize("n", [40, 90, 150, 260])
@pytest.mark.parametrize("seed", [3, 4])  # the real journal on its disk, and the one in memory
def test_power_cut_at_some_await(seed: int, n: int) -> None:
    """Around the first pick-up, before the n-th callback of the loop from then on."""
    quiet = plan(seed, 6, gap=False)
    cut = Trouble(1, quiet.customers[0].at + 0.3, "crash_at", 20.0, {"bay": 1, "n": n, "x": 0.5})
    result = Run(replace(quiet, troubles=(cut,))).play()
    assert (result.law, result.boots) == ("", 2), result.what


def test_a_plan_can_be_played_in_part() -> None:
    whole = plan(11, 30, gap=False)
    part = kept(whole, "c3,c4,t1")
    assert names(part) == "c3,c4,t1"
    assert Run(part).play().law == ""


def test_who_waits_for_nothing_is_found() -> None:
    loop = SimLoop(Timeline())
    loop.create_task(_waits_for_ever(loop))
    with pytest.raises(Stuck):
        loop.run_forever()
    loop.bury()


async def _waits_for_ever(loop: SimLoop) -> None:
    await loop.create_future()


@pytest.mark.long
@pytest.mark.parametrize("first", range(1, 201, 50))
@pytest.mark.parametrize("leg", ["pick-up", "return"])
@pytest.mark.parametrize("seed", [3, 4])  # the real journal on its disk, and the one in memory
def test_power_cut_at_every_await(seed: int, leg: str, first: int) -> None:
    """Every callback of the loop, one after the other, from the moment in which somebody shows a pass."""
    quiet = plan(seed, 2, gap=False)
    one = replace(quiet.customers[0], behaviour="plain", brings="plain", change="", trip_s=30.0)
    calm = replace(quiet, customers=(one,), troubles=(), end=one.at + 240)
    run = Run(calm)
    assert run.play().law == ""
    shown = [t for t, _ in run.laws.shown[one.rental]]
    at = shown[0] if leg == "pick-up" else shown[-1]
    boots = []
    for n in range(first, first + 50):
        cut = Trouble(1, at + 0.001, "crash_at", 20.0, {"bay": 1, "n": n, "x": 0.5})
        result = Run(replace(calm, troubles=(cut,))).play()
        assert not result.law, f"cut before callback {n}: {result.law}: {result.what}"
        boots.append(result.boots)
    assert boots == [2] * 50, "every run had its power cut"
