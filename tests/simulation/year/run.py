"""One seed from its first boot to its end: plays the plan, heals everything, and holds the laws."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fsm import events as e
from tests.simulation.year import people, sites, troubles
from tests.simulation.year.cloud import Cloud
from tests.simulation.year.laws import Laws, Violation
from tests.simulation.year.loop import Stuck, Timeline
from tests.simulation.year.machine import Machine, export
from tests.simulation.year.people import Holder
from tests.simulation.year.plan import Customer, Plan
from tests.simulation.year.plant import Plant

STAFF_EVERY_S = 900.0
SERVING_WITHIN_S = 240.0  # once all troubles are over: links back off up to a minute, a journal half of one


@dataclass
class Result:
    """What a run came to. `law` is empty where all were kept."""

    seed: int
    kind: str
    completed: int = 0
    picked: int = 0
    simulated_s: float = 0.0
    boots: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    law: str = ""
    what: str = ""
    journal: str = ""
    records: int = 0
    words: dict[str, int] = field(default_factory=dict)


class Run:
    """Everything of one run."""

    def __init__(self, plan: Plan, *, say: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.line = Timeline()
        self.site = sites.made(plan.kind, plan.trust)
        self.people_chance = random.Random(f"people {plan.seed}")
        tags = {f"car-{n}": f"62E308{n:04X}" for n in range(1, plan.cars + 1)}
        self.plant = Plant(self.line, random.Random(f"plant {plan.seed}"), self.site.bays, tags)
        self.cloud = Cloud(self.line, random.Random(f"cloud {plan.seed}"), "tower-1")
        self.machine = Machine(
            self.line, str(plan.seed), self.site, self.plant, self.cloud, real_journal=plan.seed % 4 == 3
        )
        self.laws = Laws(self)
        self.plant.heard = self._heard
        self.machine.durable = self._durable
        self.holders: dict[str, Holder] = {}
        self.standing: dict[str, str | None] = {}
        self.trips: dict[str, str] = {}  # asset -> the rental under which it left
        self.gone: set[str] = set()  # assets that nobody will bring back
        self.opened: dict[str, float] = {}
        self.touched: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.heal: list[Callable[[], None]] = []
        self.healed = False
        self.busy = 0
        self.at_authorised: list[Callable[[], None]] = []
        self._off_until = 0.0
        self._off: list[tuple[float, float]] = []
        self._say = say

    # ------------------------------------------------ telling
    def note(self, text: str) -> None:
        if self._say is not None:
            self._say(f"{self.line.t:12.3f}  {text}")

    def _heard(self, seen: Any) -> None:
        if self._say is not None:
            self.note(" ".join(x for x in (seen.what, seen.bay, seen.asset, seen.who and f"by {seen.who}") if x))
        if seen.bay and not seen.what.startswith("bolt"):
            self.touched[seen.bay] = seen.t
        self.laws.heard(seen)

    def _durable(self, record: Any) -> None:
        if self._say is not None:
            self.note(f"    journal: {record.kind} {record.subject} {record.data.decode()}")
        self.laws.durable(record)

    def authorised(self) -> None:
        """An opening has just become durable: whoever waits for that moment acts."""
        waiting, self.at_authorised = self.at_authorised, []
        for act in waiting:
            act()

    def off_for(self, seconds: float) -> None:
        self._off_until = seconds

    def last_touched(self, bay: str) -> float:
        """When its door moved last."""
        return self.touched.get(bay, 0.0)

    def last_opened(self, bay: str) -> float:
        return self.opened.get(bay, 0.0)

    def machine_was_off(self, t: float) -> bool:
        return any(start - 1 <= t <= end + 30 for start, end in self._off)

    # ------------------------------------------------ playing
    def play(self) -> Result:
        plan = self.plan
        result = Result(plan.seed, plan.kind)
        try:
            self._play()
        except Violation as broken:
            result.law, result.what = broken.args
        except Stuck as stuck:
            result.law, result.what = "the daemon turns", str(stuck)
        except Exception as why:  # noqa: BLE001 - a defect of the daemon, or of this harness
            result.law, result.what = "no defect", f"{type(why).__name__}: {why}"
        if result.law:
            self.note(f"VIOLATION {result.law}: {result.what}")
        self.machine.bury()
        result.completed, result.picked = self.laws.completed, self.laws.picked
        result.simulated_s, result.boots = self.line.t, self.machine.boots
        result.faults = dict(self.counts)
        result.records = len(self.machine.known)
        result.journal = export(self.machine.known)
        for holder in self.holders.values():
            for word in holder.words:
                result.words[word] = result.words.get(word, 0) + 1
        return result

    def _play(self) -> None:
        plan = self.plan
        assets = [{"id": asset, "class": "car", "tags": [tag]} for asset, tag in self.plant.tags.items()]
        self.cloud.put_assets(assets)
        for asset, bay in zip(self.plant.tags, self.plant.bays.values(), strict=False):
            bay.inside, self.plant.where[asset] = asset, bay.id
            self.plant.changed(bay)
        people.at(self, 20.0, self._stock)
        for c in plan.customers:
            people.at(self, max(40.0, c.at - 130), lambda c=c: people.customer(self, c))  # type: ignore[misc]
        for trouble in plan.troubles:
            self.line.at(trouble.at, lambda t=trouble: troubles.begin(self, t))  # type: ignore[misc]
        t = STAFF_EVERY_S
        while t < plan.end:
            people.at(self, t, lambda: people.technician(self, rounds=1))
            t += STAFF_EVERY_S
        self._live(plan.end)
        self._finale()

    def _live(self, until: float) -> None:
        """Boot after boot, with the power away between them."""
        while self.line.t < until:
            self._off_until = 1.0
            self.machine.run(until)
            if self.laws.broken is not None:
                raise self.laws.broken  # it ended the daemon, as every exception in it does
            if self.machine.complaint:
                raise Violation("no defect", self.machine.complaint)
            if self.machine.fatal:
                raise Violation("no defect", self.machine.fatal)
            if self.line.t < until:
                self.note(f"no power for {self._off_until:.1f} s")
                self._off.append((self.line.t, self.line.t + self._off_until))
                self.line.run_until(min(until, self.line.t + self._off_until))

    def _stock(self) -> people.Person:
        """A technician says where everything stands; again until the machine has heard it."""
        for bay in self.plant.bays.values():
            for _ in range(30):
                told: list[str] = []
                self.machine.ask(e.SetContents(bay.id, bay.inside, "li", "stocking"), told.append)
                yield 2.0
                if told and told[0] == "":
                    break

    # ------------------------------------------------ the end
    def _finale(self) -> None:
        """Everything is healed; then the machine must serve, and everything must be accounted for."""
        self.note("everything is healed")
        self.healed = True
        self.machine.cut_label = None
        self.at_authorised.clear()
        for end in self.heal:
            end()
        self.machine.set_fault(None)
        for bay in self.plant.bays.values():
            self.plant.thaw(bay)
        self._live(self.line.t + SERVING_WITHIN_S)
        for _ in range(40):  # whoever is at it comes to an end
            if self.busy == 0:
                break
            self._live(self.line.t + 120)
        self.standing.clear()
        for _ in range(3):
            people.start(self, people.technician(self, rounds=2))
            self._live(self.line.t + 180)
        for holder in list(self.holders.values()):
            if holder.asset is not None and holder.asset not in self.gone:
                people.start(self, people.bring_back(self, holder, tries=12, brings="plain"))
        self._live(self.line.t + 60)
        for _ in range(40):
            if self.busy == 0:
                break
            self._live(self.line.t + 60)
        people.start(self, people.technician(self, rounds=2))
        self._live(self.line.t + 150)
        for holder in self.holders.values():
            if holder.asset is not None and holder.asset not in self.gone and holder.c.change == "":
                last = holder.words[-1] if holder.words else "?"
                self.laws.violation("a return is always possible", f"{holder.name} still has {holder.asset}: {last}")
        self._fresh()
        self._live(self.line.t + 60)
        self.laws.told_everything()
        self.laws.custody(resolved=True)
        self.laws.openings()
        self.laws.alarms()

    def _fresh(self) -> None:
        """A new customer for each asset that is here: all must be served at the first try."""
        made = []
        n = len(self.plan.customers)
        for asset in self.plant.tags:
            if self.plant.where.get(asset, "") not in self.plant.bays:
                continue
            n += 1
            # by name or class, at either terminal, with a PIN or without, booked or by the pass alone
            named, way = (asset, n % 4) if n % 5 else (None, 0)
            terminal = "side" if way in (1, 3) else "front"
            c = Customer(n, self.line.t + 5, 20.0, named, terminal, way == 2, way != 3, "plain", "plain", "")
            made.append(c)
            people.start(self, people.customer(self, c))
            self._live(self.line.t + 90)
        for c in made:
            if c.rental not in self.laws.taken:
                words = self.holders[c.rental].words
                self.laws.violation("serving again", f"{c.rental} for {c.asset} was not served: {words}")
        self._live(self.line.t + 120)
        for c in made:
            if c.rental not in self.laws.returned:
                self.laws.violation("serving again", f"{c.rental} did not come back: {self.holders[c.rental].words}")


def shrunk(plan: Plan, law: str, *, most: int = 60) -> Plan:
    """The smallest plan found that still breaks the law: troubles and customers are left out, half by half."""
    tries = 0

    def breaks(candidate: Plan) -> bool:
        nonlocal tries
        tries += 1
        return Run(candidate).play().law == law

    for name in ("troubles", "customers"):
        size = max(1, len(getattr(plan, name)) // 2)
        while size >= 1 and tries < most:
            items = getattr(plan, name)
            at = 0
            while at < len(items) and tries < most:
                without = [x for x in items[at : at + size] if not getattr(x, "kept", False)]
                candidate = replace(plan, **{name: tuple(x for x in items if x not in without)})
                if without and breaks(candidate):
                    plan, items = candidate, getattr(candidate, name)
                else:
                    at += size
            size //= 2
    return plan
