"""What one seed does: a machine, its customers and its troubles, as data, so that a run can be shrunk and replayed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

HOUR = 3600.0
BEHAVIOURS = ["plain"] * 20 + [
    "hesitant",
    "walks_off",
    "leaves_door",
    "early",
    "late",
    "wrong_pin",
    "guesses_pin",
    "impatient",
    "both_terminals",
    "no_show",
]
RETURNS = ["plain"] * 8 + ["tag", "tag", "phone", "walks_off", "leaves_door", "swap", "offline_friend"]
CHANGES = [""] * 24 + ["cancel", "cancel_late", "extend", "purchase", "elsewhere", "revoke", "revoke_early"]


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

    @property
    def kept(self) -> bool:
        """Weeks without power stay when a run is made smaller: simulated with power they would take minutes."""
        return self.kind == "long_power_cut" and self.lasts_s > 24 * HOUR


@dataclass(frozen=True)
class Plan:
    seed: int
    kind: str  # of machine, see sites
    trust: str
    cars: int
    end: float
    customers: tuple[Customer, ...]
    troubles: tuple[Trouble, ...]


MACHINE = ["power_cut", "crash_at", "crash_label", "crash_label", "crash_opening", "crash_opening", "crash_opening",
           "long_power_cut", "boots_in_1970"]  # fmt: skip
DISK = ["disk_full", "disk_readonly", "disk_io", "disk_io_durable", "disk_slow", "disk_stalls"]
WIRE = ["unplug", "unplug_bus", "unplug_writing", "noise", "noise_bus", "late_bus", "echo", "repeat"]
SENSE = ["silent", "stuck", "bounce"]
BOLT = ["jam", "sticky", "forced", "open_for_long"]
CLOCK = ["clock_1970", "clock_forward", "clock_back", "clock_off", "clock_drift", "leap_second", "unsynchronised"]
CLOUD = ["cloud_down", "cloud_down", "cloud_hours", "cloud_slow", "lost_answers", "twice", "reorder", "nonsense",
         "errors", "forget_cursor", "lose_ledger"]  # fmt: skip
PEOPLE = [
    "forged",
    "forged",
    "other_machines",
    "rubbish",
    "others_pass",
    "remote_unlock",
    "unlock_long_ago",
    "two_buttons",
]
FAMILIES = {"machine": MACHINE, "disk": DISK, "wire": WIRE, "sense": SENSE, "bolt": BOLT, "clock": CLOCK,
            "cloud": CLOUD, "people": PEOPLE}  # fmt: skip


def plan(seed: int, customers: int, *, gap: bool = True) -> Plan:
    """Everything about a run that does not follow from what happens in it. `gap`: some have weeks in their midst."""
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
    trust = chance.choice(["kernel", "assume", "rtc"])
    made = Plan(seed, kind, trust, cars, end, tuple(people), _troubles(chance, end))
    if seed % 3 and any(t.kind == "clock_forward" for t in made.troubles):
        made = replace(made, trust="kernel")  # where the clock goes wrong it is to be known that it does
    return _with_gap(made, chance) if gap and made.troubles and chance.random() < 0.3 else made


def _with_gap(plan: Plan, chance: random.Random) -> Plan:
    """Some weeks in the midst without power, and mostly without the cloud until well after them."""
    k = int(len(plan.customers) * chance.uniform(0.3, 0.7))
    early, late = plan.customers[:k], plan.customers[k:]
    if not early or not late:
        return plan
    begins, resumes = max(c.at + c.trip_s for c in early) + 600, min(c.at for c in late) - 150
    shift = begins - min(begins, resumes) + chance.uniform(1, 40) * 24 * HOUR
    dark = resumes + shift - begins
    troubles = [replace(t, at=t.at + shift) if t.at > resumes else t for t in plan.troubles]
    n = len(troubles)
    troubles.append(Trouble(n + 1, begins, "long_power_cut", dark - chance.uniform(100, 1000), _about(chance)))
    if chance.random() < 0.7:
        troubles.append(Trouble(n + 2, begins - 60, "cloud_weeks", dark + chance.uniform(0, 2) * HOUR, _about(chance)))
    return replace(
        plan,
        customers=early + tuple(replace(c, at=c.at + shift) for c in late),
        troubles=tuple(sorted(troubles, key=lambda t: (t.at, t.n))),
        end=plan.end + shift,
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
    if kind in ("long_power_cut", "cloud_hours"):
        return chance.uniform(0.3, 4) * HOUR
    if kind in ("power_cut", "crash_at", "crash_label", "crash_opening"):
        return chance.choice([0.5, 5.0, 60.0, 600.0]) * chance.uniform(0.5, 2)
    lasts = chance.choice([2.0, 20.0, 120.0, 900.0]) * chance.uniform(0.5, 1.5)
    return max(lasts, 300.0) if kind.startswith("clock_") else lasts  # shorter, and hardly a deadline lies in it


def _about(chance: random.Random) -> dict[str, Any]:
    return {"bay": chance.randrange(1, 7), "n": chance.randrange(1, 400), "x": chance.random()}
