"""What one seed does: a machine, its customers and its troubles, as data, so that a run can be shrunk and replayed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

HOUR = 3600.0
BEHAVIOURS = ["plain"] * 20 + [
    "hesitant",
    "walks_off",
    "leaves_door",
    "early",
    "late",
    "wrong_pin",
    "impatient",
    "both_terminals",
    "no_show",
]
RETURNS = ["plain"] * 8 + ["tag", "tag", "phone", "walks_off", "leaves_door", "swap", "offline_friend"]
CHANGES = [""] * 24 + ["cancel", "cancel_late", "extend", "purchase", "elsewhere", "revoke"]


@dataclass(frozen=True)
class Customer:
    n: int
    at: float  # s, when they come for the asset
    trip_s: float
    asset: str | None  # None: any of the class
    terminal: str
    pin: bool
    booked: bool  # False: only the pass says it
    behaviour: str
    brings: str
    change: str  # what the cloud does to it meanwhile

    @property
    def rental(self) -> str:
        return f"r{self.n}"


@dataclass(frozen=True)
class Trouble:
    n: int
    at: float
    kind: str
    lasts_s: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    seed: int
    kind: str  # of machine, see sites
    trust: str
    cars: int
    end: float
    customers: tuple[Customer, ...]
    troubles: tuple[Trouble, ...]


MACHINE = ["power_cut", "power_cut", "crash_at", "crash_at", "crash_label", "crash_label", "long_power_cut"]
DISK = ["disk_full", "disk_readonly", "disk_io", "disk_io_durable", "disk_slow", "disk_stalls"]
WIRE = ["unplug", "unplug_bus", "noise", "noise_bus", "late_bus", "echo", "repeat"]
SENSE = ["silent", "stuck", "bounce"]
BOLT = ["jam", "sticky", "forced", "open_for_long"]
CLOCK = ["clock_1970", "clock_forward", "clock_back", "clock_off", "clock_drift", "leap_second", "unsynchronised"]
CLOUD = ["cloud_down", "cloud_down", "cloud_weeks", "cloud_slow", "lost_answers", "twice", "reorder", "nonsense",
         "errors", "forget_cursor", "lose_ledger"]  # fmt: skip
PEOPLE = ["forged", "rubbish", "others_pass", "remote_unlock", "unlock_long_ago", "two_buttons"]
FAMILIES = {"machine": MACHINE, "disk": DISK, "wire": WIRE, "sense": SENSE, "bolt": BOLT, "clock": CLOCK,
            "cloud": CLOUD, "people": PEOPLE}  # fmt: skip


def plan(seed: int, customers: int) -> Plan:
    """Everything about a run that does not follow from what happens in it."""
    chance = random.Random(f"plan {seed}")
    kind = chance.choice(["gpio", "8a", "8a", "cu48", "cu48", "bare"])
    cars = 4 if kind == "gpio" else 6
    people: list[Customer] = []
    free_at = [60.0 + 60 * chance.random() for _ in range(cars)]
    for n in range(1, customers + 1):
        car = min(range(cars), key=lambda k: free_at[k])
        at = free_at[car] + chance.uniform(5, 60)
        trip = chance.choice([20.0, 40.0, 60.0, 120.0, 300.0]) * chance.uniform(0.5, 1.5)
        if chance.random() < 0.01:
            trip = chance.uniform(1, 4) * HOUR
        free_at[car] = at + trip + 50
        booked = chance.random() < 0.85
        people.append(
            Customer(
                n,
                at,
                trip,
                f"car-{car + 1}" if chance.random() < 0.6 or not booked else None,
                chance.choice(["front", "front", "side"]),
                booked and chance.random() < 0.25,
                booked,
                chance.choice(BEHAVIOURS),
                chance.choice(RETURNS),
                chance.choice(CHANGES) if booked else "",
            )
        )
    end = max(free_at) + 300
    return Plan(
        seed, kind, chance.choice(["kernel", "assume", "rtc"]), cars, end, tuple(people), _troubles(chance, end)
    )


def _troubles(chance: random.Random, end: float) -> tuple[Trouble, ...]:
    """None at all for one seed in six; else some families of them, each more or less often."""
    if chance.random() < 1 / 6:
        return ()
    made: list[Trouble] = []
    families = [name for name in FAMILIES if chance.random() < 0.45] or [chance.choice(list(FAMILIES))]
    for family in families:
        for _ in range(chance.randrange(1, 9)):
            kind = chance.choice(FAMILIES[family])
            at = chance.uniform(30, end - 200)
            made.append(Trouble(len(made) + 1, at, kind, _duration(chance, kind), _about(chance)))
    return tuple(sorted(made, key=lambda t: (t.at, t.n)))


def _duration(chance: random.Random, kind: str) -> float:
    if kind in ("long_power_cut", "cloud_weeks"):
        return chance.uniform(2, 48) * HOUR
    if kind in ("power_cut", "crash_at", "crash_label"):
        return chance.choice([0.5, 5.0, 60.0, 600.0]) * chance.uniform(0.5, 2)
    return chance.choice([2.0, 20.0, 120.0, 900.0]) * chance.uniform(0.5, 1.5)


def _about(chance: random.Random) -> dict[str, Any]:
    return {"bay": chance.randrange(1, 7), "n": chance.randrange(1, 400), "x": chance.random()}
