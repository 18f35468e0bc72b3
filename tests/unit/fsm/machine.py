"""A machine in memory for the domain's tests: a world, a hand on the sensors, a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fsm import events as e
from fsm.effects import CheckPin, Effect, Unlock
from fsm.model import Asset, Bay, BaySpec, Layout, Now, Rental, TerminalSpec, Timing, Visit
from fsm.policy import Policy
from fsm.step import Step, step
from fsm.world import World

T0 = 1_700_000_000.0
HOUR = 3600.0
KEEP: Any = object()


def layout(bays: int = 3, *, bolt: bool = True, presence: bool = True, tag: bool = True, **timing: Any) -> Layout:
    specs = [
        BaySpec(id=f"b{n}", fits=frozenset({"car"}), bolt=bolt, presence=presence, tag=tag) for n in range(1, bays + 1)
    ]
    return Layout(
        machine="m1",
        site="west",
        bays={s.id: s for s in specs},
        terminals={t: TerminalSpec(id=t) for t in ("front", "side")},
        timing=Timing(**timing),
        policy=Policy({"*": (frozenset({"pass"}),)}),
    )


@dataclass
class Bench:
    """Feeds events through `step`, keeps what came out, and plays the bay's hardware by hand."""

    layout: Layout
    mono: float = 1000.0
    utc: float = T0
    trusted: bool = True
    floor: float = T0 - 1e6
    boot: str = "boot-1"
    records: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    instruction_n: int = 0

    def __post_init__(self) -> None:
        self.world = World(self.layout)

    @property
    def now(self) -> Now:
        return Now(self.mono, self.utc, self.trusted, self.floor, self.boot)

    def tell(self, event: e.Event) -> Step:
        result = step(self.world, event, self.now)
        self.world.apply(result.changes)
        self.records += [(r.kind, r.subject, dict(r.data)) for r in result.records]
        self.effects += result.effects
        return result

    # ------------------------------------------------ set-up
    def start(self, cars: dict[str, str] | None = None) -> Bench:
        """Sensors answer, bays recover; `cars` are stocked: bay -> asset id."""
        cars = cars or {}
        assets = tuple((f"car{n}", "car", (f"TAG{n}",), None) for n in range(1, 10))
        self.deliver(e.PutAssets("dir", assets))
        self.tell(e.Restarted())
        for bay in self.layout.bays:
            asset = cars.get(bay)
            if asset is not None:
                self.world.apply({("bay", bay): replace(self.bay(bay), asset=asset)})
            self.sense(bay, door=False, bolt=True, presence=asset is not None, tag=self.tag_of(asset))
            self.tell(e.Recover(bay))
        return self

    def tag_of(self, asset: str | None) -> str | None:
        known = self.world.of["asset"].get(asset or "")
        return known.tags[0] if isinstance(known, Asset) else None

    def sense(self, bay: str, *, door: Any = KEEP, bolt: Any = KEEP, presence: Any = KEEP, tag: Any = KEEP) -> None:
        for sense, value in (("door", door), ("bolt", bolt), ("presence", presence)):
            if value is not KEEP:
                self.tell(e.LevelChanged(bay, sense, value))
        if tag is not KEEP:
            self.tell(e.TagChanged(bay, tag))

    # ------------------------------------------------ the cloud
    def deliver(self, *instructions: e.Instruction, snapshot: bool = False) -> Step:
        return self.tell(e.Deliver("c", instructions, snapshot))

    def book(self, rental: str = "r1", asset: str | None = "car1", **over: Any) -> Step:
        self.instruction_n += 1
        put = e.PutReservation(
            id=f"i{self.instruction_n}",
            version=1,
            rental=rental,
            window_from=self.utc - HOUR,
            window_to=self.utc + HOUR,
            due=self.utc + 72 * HOUR,
            asset=asset,
            asset_class=None if asset else "car",
        )
        result = self.deliver(replace(put, **over))
        self.fire()
        return result

    def outcome(self, instruction: str) -> tuple[str, str]:
        done = self.world.of["done"][instruction]
        return done.outcome, done.reason

    # ------------------------------------------------ people
    def show(self, rental: str = "r1", terminal: str = "front", **over: Any) -> Step:
        shown = e.PassPresented(
            terminal=terminal,
            rental=rental,
            issuer="cloud",
            audience="m1",
            exp=self.utc + HOUR,
            nbf=self.utc - HOUR,
            kid="k1",
        )
        return self.tell(replace(shown, **over))

    def sent(self, bay: str, word: str = "sent") -> Step:
        grant = self.bay(bay).grant
        assert grant is not None
        return self.tell(e.UnlockOutcome(bay, grant.id, word))

    def open(self, bay: str) -> None:
        self.sense(bay, bolt=False)
        self.sense(bay, door=True)

    def close(self, bay: str, *, presence: Any = KEEP, tag: Any = KEEP, settle: bool = True) -> None:
        self.sense(bay, presence=presence, tag=tag)
        self.sense(bay, door=False, bolt=True)
        if settle:
            self.wait(10.0)

    def pick_up(self, rental: str = "r1", bay: str = "b1") -> None:
        assert self.show(rental).refused is None
        self.sent(bay)
        self.open(bay)
        self.close(bay, presence=False, tag=None)

    def check_pin(self, ok: bool | None) -> Step:
        check = next(f for f in reversed(self.effects) if isinstance(f, CheckPin))
        return self.tell(e.PinChecked(check.terminal, check.visit, check.rental, ok))

    # ------------------------------------------------ time
    def wait(self, seconds: float) -> None:
        """Time passes; what falls due on the way fires in order."""
        end = self.mono + seconds
        while True:
            due = min(self._due(), default=None, key=lambda d: d[0])
            if due is None or due[0] > end:
                break
            self.utc += max(0.0, due[0] - self.mono)
            self.mono = max(self.mono, due[0])
            self.tell(due[1])
        self.utc += end - self.mono
        self.mono = end

    def fire(self) -> None:
        self.wait(0.0)

    def _due(self) -> list[tuple[float, e.DeadlineReached]]:
        found = []
        for kind in ("rental", "bay", "visit"):
            for agg in self.world.of[kind].values():
                for d in agg.deadlines:
                    if d.clock == "utc" and not self.trusted:
                        continue
                    at = d.at if d.clock == "mono" else self.mono + d.at - self.utc
                    found.append((at, e.DeadlineReached(kind, agg.id, d.name, d.n)))
        return found

    # ------------------------------------------------ looks
    def rental(self, key: str = "r1") -> Rental:
        found = self.world.rental(key)
        assert found is not None
        return found

    def bay(self, key: str = "b1") -> Bay:
        found = self.world.bay(key)
        assert found is not None
        return found

    def visit(self, key: str = "front") -> Visit:
        found = self.world.visit(key)
        assert found is not None
        return found

    def unlocks(self) -> list[str]:
        return [f.bay for f in self.effects if isinstance(f, Unlock)]

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.records]


def bench(make: Callable[..., Layout] = layout, cars: dict[str, str] | None = None, **site: Any) -> Bench:
    return Bench(make(**site)).start({"b1": "car1"} if cars is None else cars)
