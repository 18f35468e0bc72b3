"""Microseconds of one step of the domain, on a small machine and on a large one. Asserts no time.

    python -m tests.perf.fsm_bench [rounds]

Each step is decided on a world that stands still (nothing is applied), so that every round does the same work.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fsm import events as e
from fsm.model import Asset, Bay, BaySpec, Layout, Now, Occupancy, Rental, RentalState, Sensed, TerminalSpec
from fsm.policy import Policy
from fsm.step import Step, step
from fsm.world import World

NOW = Now(1000.0, 1_700_000_000.0, True, 1_600_000_000.0, "boot")
AIM_US = 200.0
SIZES = ((1, 1), (1000, 10_000))


def world(bays: int, rentals: int, ready: str = "named") -> World:
    """Half of the bays full, one rental ready (for a named asset or for a class), the rest booked or out."""
    bay_names = [f"b{n}" for n in range(bays)]
    layout = Layout(
        "m1",
        "west",
        {b: BaySpec(id=b, fits=frozenset({"car"}), bolt=True, presence=True, tag=True) for b in bay_names},
        {"front": TerminalSpec(id="front")},
        policy=Policy({"*": (frozenset({"pass"}),)}),
    )
    made = World(layout)
    for n in range(bays + 1):
        made.apply({("asset", f"car{n}"): Asset(id=f"car{n}", asset_class="car", tags=(f"T{n}",))})
    for n in range(bays):
        full = n % 2 == 0 or n < 1
        asset = f"car{n}" if full else None
        bay = Bay(id=f"b{n}", asset=asset, occupancy=Occupancy.OCCUPIED if full else Occupancy.EMPTY)
        sensed = Sensed(door=False, bolt=True, presence=full, tag=f"T{n}" if full else None, tag_known=True)
        made.apply({("bay", bay.id): bay, ("sensed", bay.id): replace(sensed, recovered=True)})
    window: dict[str, Any] = {"window_from_utc": NOW.utc - 60, "window_to_utc": NOW.utc + 3600}
    out = f"car{bays}"
    for rental in (
        Rental(id="named", state=RentalState.READY, named="car0", **window),
        Rental(id="class", state=RentalState.READY, asset_class="car", **window),
        Rental(id="out", state=RentalState.ON_TRIP, named=out, asset=out, due_utc=NOW.utc, **window),
    ):
        if rental.id in (ready, "out"):
            made.apply({("rental", rental.id): rental})
    for n in range(rentals - 3):
        state = RentalState.BOOKED if n % 4 else RentalState.ON_TRIP
        held = f"car{n % bays}" if n % 3 == 0 and n % bays > bays // 2 else None
        made.apply({("rental", f"r{n}"): Rental(id=f"r{n}", state=state, named=held, asset_class="van", **window)})
    return made


def shown(rental: str) -> e.PassPresented:
    return e.PassPresented("front", rental, "cloud", "m1", NOW.utc + 600, NOW.utc - 600, "k1")


def told(made: World, *events: e.Event) -> World:
    """The same world some events later."""
    for event in events:
        result = step(made, event, NOW)
        assert result.refused is None, (event, result.refused)
        made.apply(result.changes)
    return made


def timed(work: Callable[[], Step], rounds: int) -> list[float]:
    assert work().refused is None
    figures = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        figures.append((time.perf_counter_ns() - began) / 1000)
    return figures


def steps(bays: int, rentals: int) -> dict[str, tuple[World, e.Event]]:
    """What is measured: a name, the world before, the event."""
    found: dict[str, tuple[World, e.Event]] = {
        "pass, named asset -> unlock": (world(bays, rentals), shown("named")),
        "pass, class -> unlock": (world(bays, rentals, "class"), shown("class")),
        "pass, never heard of -> unlock": (
            world(bays, rentals, "none"),
            replace(shown("new"), asset_class="car"),
        ),
    }
    if bays > 1:
        found["pass -> return bay unlocks"] = (world(bays, rentals), shown("out"))
        found["tag -> return bay unlocks"] = (
            told(world(bays, rentals), e.ReturnAsked("front")),
            e.TagPresented("front", f"T{bays}"),
        )
    found["door opens"] = (told(world(bays, rentals), shown("named")), e.LevelChanged("b0", "door", True))
    opened = told(world(bays, rentals), shown("named"), e.LevelChanged("b0", "door", True))
    found["door closes"] = (opened, e.LevelChanged("b0", "door", False))
    shut = told(
        world(bays, rentals),
        shown("named"),
        e.LevelChanged("b0", "door", True),
        e.LevelChanged("b0", "presence", False),
        e.TagChanged("b0", None),
        e.LevelChanged("b0", "door", False),
    )
    bay = shut.bay("b0")
    assert bay is not None
    settle = next(d for d in bay.deadlines if d.name == "settle")
    found["settles: on trip"] = (shut, e.DeadlineReached("bay", "b0", "settle", settle.n))
    found["bolt moves, nothing to do"] = (world(bays, rentals), e.LevelChanged("b0", "bolt", False))
    found["tick"] = (world(bays, rentals), e.Tick())
    return found


def measure(rounds: int) -> list[tuple[str, int, float, float]]:
    """(what, bays, median, p99) in microseconds."""
    figures = []
    for bays, rentals in SIZES:
        for name, (made, event) in steps(bays, rentals).items():
            took = timed(lambda made=made, event=event: step(made, event, NOW), rounds)  # type: ignore[misc]
            figures.append((name, bays, statistics.median(took), statistics.quantiles(took, n=100)[98]))
    return figures


def main(arguments: Sequence[str]) -> int:
    figures = measure(int(arguments[0]) if arguments else 2000)
    small = {name: median for name, bays, median, _ in figures if bays == SIZES[0][0]}
    sys.stdout.write(f"{'step':34} {'bays':>5} {'median':>8} {'p99':>8} {'ratio':>6}   aim {AIM_US:.0f} us\n")
    for name, bays, median, p99 in figures:
        ratio = f"{median / small[name]:.2f}" if name in small else "-"
        met = "met" if median <= AIM_US else "MISSED"
        sys.stdout.write(f"{name:34} {bays:>5} {median:>8.1f} {p99:>8.1f} {ratio:>6}   {met}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
