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
from fsm.world import VOLATILE, World

T0 = 1_700_000_000.0
HOUR = 3600.0
KEEP: Any = object()


def layout(
    bays: int = 3,
    *,
    bolt: bool = True,
    presence: bool = True,
    tag: bool = True,
    gate: bool = False,
    **timing: Any,
) -> Layout:
    specs = [
        BaySpec(id=f"b{n}", fits=frozenset({"car"}), bolt=bolt, presence=presence, tag=tag, gate=gate)
        for n in range(1, bays + 1)
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
            self.recover(bay, **self.closed_with(asset, bay))
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

    # ------------------------------------------------ restarts
    def crash(self, *, same_boot: bool = False, down_s: float = 5.0) -> Bench:
        """Only what is journalled survives; sensors have said nothing yet."""
        old = self.world
        self.world = World(self.layout)
        for kind, rows in old.of.items():
            if kind not in VOLATILE:
                self.world.apply({(kind, key): row for key, row in rows.items()})
        self.utc += down_s
        self.mono += down_s
        if not same_boot:
            self.boot, self.mono = f"{self.boot}+", 50.0
        self.tell(e.Restarted())
        return self

    def recover(self, bay: str, **levels: Any) -> None:
        """The sensors of a bay answer (unless a level is left out), then the table of recovery decides."""
        self.sense(bay, **levels)
        self.tell(e.Recover(bay))

    def recover_rest(self) -> None:
        """Every bay that was not decided about is found closed, as believed."""
        for bay in self.layout.bays:
            if not self.world.sensed(bay).recovered:
                asset = self.bay(bay).asset
                self.recover(bay, **self.closed_with(asset, bay))

    def closed_with(self, asset: str | None, bay: str = "b1", tag: Any = KEEP) -> dict[str, Any]:
        spec = self.layout.bays[bay]
        levels: dict[str, Any] = {"door": False}
        if spec.bolt:
            levels["bolt"] = True
        if spec.presence:
            levels["presence"] = asset is not None
        if spec.tag:
            levels["tag"] = self.tag_of(asset) if tag is KEEP else tag
        return levels

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
        if self.layout.bays[bay].bolt:
            self.sense(bay, bolt=False)
        self.sense(bay, door=True)

    def close(self, bay: str, *, presence: Any = KEEP, tag: Any = KEEP, settle: bool = True) -> None:
        spec = self.layout.bays[bay]
        if spec.presence:
            self.sense(bay, presence=presence)
        if spec.tag:
            self.sense(bay, tag=tag)
        self.sense(bay, door=False)
        if spec.bolt:
            self.sense(bay, bolt=True)
        if settle:
            self.wait(10.0)

    def pick_up(self, rental: str = "r1", bay: str = "b1") -> None:
        assert self.show(rental).refused is None
        self.sent(bay)
        self.open(bay)
        self.close(bay, presence=False, tag=None)

    def bring_back(self, rental: str = "r1", asset: str = "car1") -> str:
        """A whole return by the pass; the bay that it ended in."""
        shown = self.show(rental)
        assert shown.refused is None, shown
        bay = self.unlocks()[-1]
        self.sent(bay)
        self.open(bay)
        self.close(bay, presence=True, tag=self.tag_of(asset))
        return bay

    def hold_tag(self, tag: str = "TAG1", terminal: str = "front", *, ask: bool = True) -> Step:
        if ask:
            self.tell(e.ReturnAsked(terminal))
        return self.tell(e.TagPresented(terminal, tag))

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
                if kind == "bay" and not self.world.sensed(agg.id).recovered:
                    continue  # recovery decides
                for d in agg.deadlines:
                    if d.clock == "utc" and not self.trusted:
                        continue
                    if d.clock == "mono" and d.boot != self.boot:
                        continue  # recovery decides
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
