"""Random people, doors, sensors, clouds, clocks and crashes against a small machine, held to the laws at every step.

Beside the machine stands a physical model of its own: which bolt is free, which door is open, where each car is. The
sensors tell the truth of it unless a rule has silenced them. What is held after every step:

* law 1: one `Unlock` for each grant id ever, each with the one record that authorised it, in the step that emits it;
  a grant opens no bay that the person's rental had no right to; nothing moves in a restart or in recovery;
* law 2: what is commanded never changes what is sensed: `Sensed` is what the sensors were made to say;
* law 4: whoever brings back the asset of a rental on trip is refused only for want of a place, by the e-stop, or
  because it is under way or a moment's patience is asked;
* law 6: custody is where the cars are, whenever the bays are settled and the sensors tell the truth; or an alarm, an
  incident or a quarantine says that it is not known; a rental whose place nobody knows never opens a full bay.

The depth is bounded for `make test` (about 10 s of one core); VENDINGD_DEEP=1 goes much further.

Defects planted by hand that this found: a grant's id used again; a pass spent when it is presented, not when custody
changes; a return refused once the pass has run out; an unlock sent again by recovery; a late opening that nobody's
rental hears; a stale deadline honoured; custody taken by the opening although a presence sensor denies it; an asset
picked that another rental names; `door` set when the unlock was sent; a replayed instruction obeyed; levels wiped by a
restart; a claim that outlives its holder's leaving. Not found within 600 runs, and held by stories instead: an expiry
or a cancellation that does not wait for a lapsed grant behind a new claim.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fsm import effects as f
from fsm import events as e
from fsm.model import (
    FINAL,
    Alarm,
    BaySpec,
    BayState,
    Layout,
    Now,
    Occupancy,
    Purpose,
    Rental,
    RentalState,
    Sensed,
    TerminalSpec,
    VisitState,
)
from fsm.policy import Policy
from fsm.reasons import REASONS
from fsm.step import Step, step
from fsm.world import VOLATILE, World

T0 = 1_700_000_000.0
HOUR = 3600.0
BAYS = ("b1", "b2", "b3")
CARS = ("car1", "car2")
RENTALS = ("r1", "r2", "r3")
TERMINALS = ("front", "side")
TAG = {"car1": "TAG1", "car2": "TAG2", "stranger": "WHO"}
LAW4 = frozenset({"no_empty_bay", "estop", "in_progress", "in_use", "wait"})
DEEP = bool(os.environ.get("VENDINGD_DEEP"))

bays = st.sampled_from(BAYS)
rentals = st.sampled_from(RENTALS)
terminals = st.sampled_from(TERMINALS)
cars = st.sampled_from(CARS)
BRINGS = st.sampled_from(["own", "own", "own", "other", "stranger"])
DEPTH = st.sampled_from(range(14, -1, -1))


class Place:
    """One bay as it physically is."""

    def __init__(self) -> None:
        self.locked = True
        self.open = False
        self.inside: str | None = None
        self.stuck = False  # the bolt does not move
        self.silent: set[str] = set()  # sensors that do not answer


class Machine(RuleBasedStateMachine):
    """The machine under test, the plant beside it, and what must hold between them."""

    world: World

    # ------------------------------------------------ set-up
    @initialize(
        bolt=st.booleans(),
        presence=st.booleans(),
        tag=st.booleans(),
        count=st.integers(2, 3),
        faults=st.booleans(),
        inside=st.permutations(CARS),
    )
    def build(  # noqa: PLR0917 - hypothesis passes by keyword
        self, bolt: bool, presence: bool, tag: bool, count: int, faults: bool, inside: list[str]
    ) -> None:
        self.sensors = {"door": True, "bolt": bolt, "presence": presence, "tag": tag}
        spec = {b: BaySpec(id=b, fits=frozenset({"car"}), bolt=bolt, presence=presence, tag=tag) for b in BAYS[:count]}
        terminals = {t: TerminalSpec(id=t) for t in TERMINALS}
        self.layout = Layout("m1", "west", spec, terminals, policy=Policy({"*": (frozenset({"pass"}),)}), estop=True)
        self.world = World(self.layout)
        self.mono, self.utc, self.trusted, self.boot_n = 1000.0, T0, True, 1
        self.floor = T0 - 10 * 86400
        self.places = {b: Place() for b in self.layout.bays}
        self.where: dict[str, str] = dict.fromkeys(CARS, "outside")  # bay, or outside
        self.meddled = False  # someone did by force, or with dead sensors, what no sensor of this machine can see
        self.grants: Counter[str] = Counter()
        self.authorised: Counter[str] = Counter()
        self.pulses: list[tuple[str, str]] = []  # effects not yet done
        self.checks: list[f.CheckPin] = []
        self.told: dict[str, Sensed] = {b: Sensed() for b in self.layout.bays}
        self.ids = {slot: slot for slot in RENTALS}  # a slot takes a new rental when its old one is over
        self.instruction_n = 0
        self.version = 1
        self.delivered: list[e.Instruction] = []
        self.outcomes: Counter[str] = Counter()
        self.estop = False
        self.faults = faults  # half of the machines never lose a sensor, so that their custody is always judged
        for bay, car in zip(self.layout.bays, inside, strict=False):
            self.places[bay].inside, self.where[car] = car, bay
        assets = tuple((car, "car", (TAG[car],), None) for car in CARS)
        self.tell(e.Deliver("c0", [e.PutAssets("dir", assets)]))
        self.tell(e.Restarted())
        self.tell(e.EstopChanged(False))
        for bay, car in zip(self.layout.bays, inside, strict=False):
            row = self.world.of["bay"][bay]
            self.world.apply({("bay", bay): replace(row, asset=car, occupancy=Occupancy.OCCUPIED)})
        for bay in self.layout.bays:
            self.sense(bay)
            self.tell(e.Recover(bay))

    # ------------------------------------------------ one step
    def now(self) -> Now:
        return Now(self.mono, self.utc, self.trusted, self.floor, f"boot{self.boot_n}")

    def tell(self, event: e.Event) -> Step:
        before = {kind: dict(rows) for kind, rows in self.world.of.items()}
        made = step(self.world, event, self.now())  # a Defect raises, and is found
        assert {kind: dict(rows) for kind, rows in self.world.of.items()} == before, "a step changed the world"
        self.law_of_unlocks(event, made)
        self.law_of_senses(event, made)
        self.law_of_returns(event, made)
        if made.refused is not None:
            assert made.refused in REASONS and isinstance(event, e.Request), made
        for record in made.records:
            if record.kind == "instruction.outcome":
                self.outcomes[record.subject] += 1
        self.world.apply(made.changes)
        if self.trusted:
            self.floor = max(self.floor, self.utc)
        for effect in made.effects:
            if isinstance(effect, f.Unlock):
                self.pulses.append((effect.bay, effect.grant))
            elif isinstance(effect, f.CheckPin):
                self.checks.append(effect)
        return made

    # ------------------------------------------------ laws of one step
    def law_of_unlocks(self, event: e.Event, made: Step) -> None:
        unlocks = [x for x in made.effects if isinstance(x, f.Unlock)]
        records = {r.data["grant"]: r for r in made.records if r.kind == "bay.unlock_authorised"}
        for grant in records:
            self.authorised[grant] += 1
            assert self.authorised[grant] == 1, f"{grant} was authorised twice"
        assert sorted(x.grant for x in unlocks) == sorted(records), "an unlock without its record, or the reverse"
        if unlocks:
            assert made.urgent and made.durable, "nothing moves before it is durable"
            wanted = isinstance(event, e.Request | e.PinChecked | e.Deliver)
            assert wanted, f"{type(event).__name__} moved a lock by itself"
        for unlock in unlocks:
            self.grants[unlock.grant] += 1
            assert self.grants[unlock.grant] == 1, f"grant {unlock.grant} opened twice"
            row = made.changes["bay", unlock.bay]
            assert row.grant is not None and row.grant.id == unlock.grant  # type: ignore[union-attr]
            self.law_of_purpose(unlock, records[unlock.grant].data, made)

    def law_of_purpose(self, unlock: f.Unlock, said: Any, made: Step) -> None:
        bay = self.world.bay(unlock.bay)
        assert bay is not None
        living = bay.grant is not None and not bay.grant.lapsed
        assert not living, "one grant lives on a bay at a time"
        purpose, key = said["purpose"], said.get("rental")
        rental = self.world.rental(key) if key else None
        if purpose == Purpose.RELEASE and rental is not None:
            waiting = (RentalState.BOOKED, RentalState.READY, RentalState.CLAIMED)
            assert rental.state in waiting, f"released to a rental that is {rental.state}"
            assert rental.cancel is None, "released although the cancellation came first"
            assert not rental.locked_out
            others = [r for r in self.world.of["rental"].values() if r.id != key and r.named == bay.asset]
            if rental.named is None and rental.asset != bay.asset:  # not what it had chosen before
                held = [r for r in others if r.state in (*waiting, RentalState.RELEASING)]
                assert not held, "an asset that is held for another"
        if purpose == Purpose.RETURN:
            assert bay.asset is None, "a return opened a full bay"
        if purpose == Purpose.REOPEN:
            assert rental is not None and rental.state is RentalState.RETURNED
        if purpose != Purpose.TECHNICIAN:
            assert not self.world.machine.estop and self.world.sensed("").estop is False
            assert bay.in_service and bay.quarantined is None
            assert self.told[unlock.bay].door is False, "opened a bay that is not sensed closed"

    def law_of_senses(self, event: e.Event, made: Step) -> None:
        said = isinstance(event, e.LevelChanged | e.TagChanged)
        for (kind, key), new in made.changes.items():
            if kind == "sensed" and key and isinstance(new, Sensed):
                bare = replace(new, recovered=False)
                if said:
                    self.told[key] = bare
                assert bare == self.told[key], f"{type(event).__name__} changed what is sensed"

    def law_of_returns(self, event: e.Event, made: Step) -> None:
        if made.refused is None:
            return
        if isinstance(event, e.PassPresented):
            rental = self.world.rental(event.rental)
            out = rental is not None and rental.state in (RentalState.ON_TRIP, RentalState.INCIDENT)
            if out or (rental is not None and self.may_be_out(event.terminal, rental)):
                assert made.refused in LAW4, f"a return was refused: {made.refused} {made.detail}"
                self.law_of_room(made, "car")
        if isinstance(event, e.TagPresented):
            visit = self.world.visit(event.terminal)
            known = next((car for car in CARS if TAG[car] == event.tag), None)
            asked = visit is not None and self.mono <= visit.return_until_mono
            if known is not None and asked and self.where[known] == "outside":
                assert made.refused in LAW4, f"a return was refused: {made.refused} {made.detail}"
                self.law_of_room(made, "car")

    def may_be_out(self, terminal: str, rental: Rental) -> bool:
        """A booking whose car is in no bay, for all that is known, after the return key."""
        visit = self.world.visit(terminal)
        waits = rental.state in (RentalState.BOOKED, RentalState.READY) and rental.grant is None
        asked = visit is not None and self.mono <= visit.return_until_mono
        return waits and asked and rental.named is not None and rental.named not in self.world.bay_of_asset

    def law_of_room(self, made: Step, asset_class: str) -> None:
        """'No empty bay' is said only where none is."""
        if made.refused != "no_empty_bay":
            return
        for bay in self.world.of["bay"].values():
            told = self.told[bay.id]
            free = bay.state is BayState.SECURED and bay.grant is None and bay.asset is None
            sound = bay.in_service and bay.quarantined is None and not bay.alarms
            empty = told.door is False and (not self.sensors["presence"] or told.presence is False)
            settled = self.world.sensed(bay.id).recovered and bay.occupancy is Occupancy.EMPTY
            assert not (free and sound and empty and settled), f"{bay.id} is empty"

    # ------------------------------------------------ the plant
    def sense(self, bay: str) -> None:
        """Sensors say what is so, each for itself."""
        place = self.places[bay]
        for sense, value in (("presence", place.inside is not None), ("door", place.open), ("bolt", place.locked)):
            if not self.sensors[sense]:
                continue
            said = None if sense in place.silent else value
            if getattr(self.told[bay], sense) is not said:
                self.tell(e.LevelChanged(bay, sense, said))
        if self.sensors["tag"]:
            known = "tag" not in place.silent
            tag = TAG.get(place.inside or "") if known else None
            if (self.told[bay].tag, self.told[bay].tag_known) != (tag, known):
                self.tell(e.TagChanged(bay, tag, known))

    def known(self, bay: str) -> bool:
        return bay in self.places

    # ------------------------------------------------ the executor
    @precondition(lambda self: self.pulses)
    @rule(word=st.sampled_from(["sent", "sent", "sent", "not_sent", "unknown"]), moved=st.booleans())
    def pulse(self, word: str, moved: bool) -> None:
        bay, grant = self.pulses.pop(0)
        place = self.places[bay]
        if (word == "sent" or (word == "unknown" and moved)) and not place.stuck and not self.estop:
            place.locked = False
        self.tell(e.UnlockOutcome(bay, grant, word))
        self.sense(bay)

    @precondition(lambda self: self.checks)
    @rule(ok=st.sampled_from([True, False, None]))
    def pin_answer(self, ok: bool | None) -> None:
        check = self.checks.pop(0)
        self.tell(e.PinChecked(check.terminal, check.visit, check.rental, ok))

    # ------------------------------------------------ people
    def a_pass(self, rental: str, terminal: str, **over: Any) -> e.PassPresented:
        shown = e.PassPresented(
            terminal, self.ids.get(rental, rental), "cloud", "m1", self.utc + HOUR, self.utc - HOUR, "k1"
        )
        return replace(shown, **over)

    @rule(rental=rentals, terminal=terminals)
    def show(self, rental: str, terminal: str) -> None:
        self.tell(self.a_pass(rental, terminal))

    @rule(
        rental=rentals,
        terminal=terminals,
        over=st.sampled_from(
            [
                {"exp": T0 - HOUR},
                {"nbf": T0 + 1e8, "exp": T0 + 2e8},
                {"audience": "m2"},
                {"key_retired": True},
                {"asset": "car1"},
                {"asset_class": "car"},
                {"asset": "car2", "audience": "site:west"},
                {"demands": ("pass+pin",)},
            ]
        ),
    )
    def show_something(self, rental: str, terminal: str, over: dict[str, Any]) -> None:
        self.tell(self.a_pass(rental, terminal, **over))

    @rule(terminal=terminals, digits=st.sampled_from(["0000", "1234"]))
    def type_pin(self, terminal: str, digits: str) -> None:
        self.tell(e.PinEntered(terminal, digits))

    @rule(terminal=terminals, which=st.sampled_from([e.ReturnAsked, e.Confirmed, e.Left]))
    def press(self, terminal: str, which: Any) -> None:
        self.tell(which(terminal))

    @rule(terminal=terminals, car=cars, ask=st.booleans())
    def hold_tag(self, terminal: str, car: str, ask: bool) -> None:
        if self.where[car] == "outside":  # nobody holds what is locked in
            if ask:
                self.tell(e.ReturnAsked(terminal))
            self.tell(e.TagPresented(terminal, TAG[car]))

    @rule(terminal=terminals)
    def scan_rubbish(self, terminal: str) -> None:
        self.tell(e.CredentialUnreadable(terminal, "bad_signature"))

    @rule(bay=bays, force=st.integers(0, 9))
    def open_door(self, bay: str, force: int) -> None:
        if not self.known(bay):
            return
        place = self.places[bay]
        if place.open or (place.locked and force):
            return
        place.open = True
        self.sense(bay)

    @rule(bay=bays)
    def close_door(self, bay: str) -> None:
        if self.known(bay) and self.places[bay].open:
            self.places[bay].open, self.places[bay].locked = False, True
            self.sense(bay)

    @rule(bay=bays)
    def relock(self, bay: str) -> None:
        """A spring bolt falls back by itself."""
        if self.known(bay) and not self.places[bay].open:
            self.places[bay].locked = True
            self.sense(bay)

    @rule(bay=bays)
    def take(self, bay: str) -> None:
        if self.known(bay) and self.places[bay].open and (car := self.places[bay].inside) is not None:
            self.places[bay].inside = None
            if car in self.where:
                self.where[car] = "outside"
            self.sense(bay)

    @rule(bay=bays, what=st.sampled_from([*CARS, *CARS, "stranger"]))
    def put(self, bay: str, what: str) -> None:
        if not self.known(bay) or not self.places[bay].open or self.places[bay].inside is not None:
            return
        if what in self.where and self.where[what] != "outside":
            return
        self.places[bay].inside = what
        if what in self.where:
            self.where[what] = bay
        self.sense(bay)

    def journey(self, slot: str, car: str | None, pin: bool, stop: int, brings: str = "own") -> None:
        """Somebody who does everything as intended, up to a point: the way to the deeper states."""
        known = self.world.rental(self.ids[slot])
        if known is None or known.state in FINAL:
            self.book(slot, car, False, pin)
        for leg in range(2):
            if self.one_way(slot, stop - 7 * leg, brings):
                return

    # Most of what people do is meant well, and only from there the odd things get interesting: six rules of one kind.
    a_journey = rule(slot=rentals, car=st.one_of(st.none(), cars), pin=st.booleans(), brings=BRINGS, stop=DEPTH)(
        journey
    )
    b_journey = rule(slot=rentals, car=cars, pin=st.just(False), brings=BRINGS, stop=DEPTH)(journey)
    c_journey = rule(slot=rentals, car=st.none(), pin=st.just(False), brings=BRINGS, stop=DEPTH)(journey)
    d_journey = rule(slot=rentals, car=cars, pin=st.just(False), brings=BRINGS, stop=st.just(14))(journey)
    e_journey = rule(slot=st.just("r1"), car=st.just("car1"), pin=st.booleans(), brings=BRINGS, stop=DEPTH)(journey)
    f_journey = rule(
        slot=st.just("r2"), car=st.none(), pin=st.just(False), brings=BRINGS, stop=st.sampled_from([7, 6, 5, 4])
    )(journey)

    @rule(slot=rentals, what=st.sampled_from(["left", "displaced", "late", "wrong", "stuck"]), car=cars)
    def hesitate(self, slot: str, what: str, car: str) -> None:
        """Somebody is asked for a PIN, and then something else happens."""
        self.journey(slot, None, True, 1)
        self.tell(self.a_pass(slot, "front"))
        if what == "left":
            self.tell(e.Left("front"))
        elif what == "displaced":
            self.tell(self.a_pass("r1" if slot != "r1" else "r2", "front", asset=car))
        elif what == "late":
            self.pass_time(130.0)
        elif self.world.visit("front").wants == "pin":  # type: ignore[union-attr]
            self.type_pin("front", "1234")
            while self.checks:
                self.pin_answer(what == "stuck")
            self.pass_time(16.0)  # nothing opens
            self.tell(self.a_pass(slot, "front"))

    def one_way(self, slot: str, stop: int, brings: str) -> bool:
        """A pick-up, or a return; whether it ended before its end."""
        if stop < 1:
            return True
        made = self.tell(self.a_pass(slot, "front"))
        if made.refused is not None:
            return True
        while self.checks:
            self.pin_answer(True)
        if self.world.visit("front").wants == "pin":  # type: ignore[union-attr]
            if stop < 2:
                return True
            self.type_pin("front", "1234")
            self.pin_answer(True)
        if not self.pulses or stop < 3:
            return True
        here = self.pulses[-1][0]
        while self.pulses:
            self.pulse("sent", False)
        place, row = self.places[here], self.world.bay(here)
        if stop < 4 or place.locked or row is None or row.grant is None:
            return True
        grant = row.grant
        place.open = True
        self.sense(here)
        if stop < 5:
            return True
        if grant.purpose is Purpose.RETURN:
            own = grant.asset or "car1"
            self.put(here, {"own": own, "other": "car2" if own == "car1" else "car1"}.get(brings, brings))
        else:
            self.take(here)
        if stop < 6:
            return True
        self.close_door(here)
        if stop < 7:
            return True
        self.pass_time(12.0)
        return False

    # ------------------------------------------------ technicians
    @rule(bay=bays)
    def technician_unlocks(self, bay: str) -> None:
        self.tell(e.TechnicianUnlock(bay, "eve", "look"))

    @rule(bay=bays)
    def technician_sets(self, bay: str) -> None:
        """A technician says the truth, having looked."""
        if self.known(bay):
            inside = self.places[bay].inside
            self.tell(e.SetContents(bay, inside if inside in CARS else None, "eve", "looked"))

    @rule(bay=st.one_of(bays, st.none()), out=st.integers(0, 3))
    def technician_serves(self, bay: str | None, out: int) -> None:
        for one in (None, *self.layout.bays):
            self.tell(e.SetAvailability(one, True, "eve", "x"))
        if out == 3 and (bay is None or self.known(bay)):
            self.tell(e.SetAvailability(bay, False, "eve", "x"))

    @rule(bay=bays, alarm=st.sampled_from(list(Alarm)))
    def technician_clears(self, bay: str, alarm: Alarm) -> None:
        self.tell(e.ClearAlarm(None if alarm in (Alarm.ESTOP, Alarm.TAMPER) else bay, str(alarm), "eve", "seen"))

    @precondition(lambda self: self.world.of["incident"])
    @rule(which=st.integers(0, 9), outcome=st.sampled_from(["ready", "on_trip", "returned", "cancelled", "purchased"]))
    def technician_resolves(self, which: int, outcome: str) -> None:
        """A technician looks where the car is, and says so."""
        ids = sorted(self.world.of["incident"])
        incident = self.world.of["incident"][ids[which % len(ids)]]
        rental = self.world.rental(incident.rental or "")
        bound = rental is not None and rental.incident == incident.id
        if not bound:
            outcome = "closed"
        elif rental is not None and rental.asset in self.where:
            outside = self.where[rental.asset] == "outside"
            outcome = "on_trip" if outside else "returned"
        self.tell(e.ResolveIncident(incident.id, outcome, "eve", "looked"))

    @rule(rental=rentals)
    def technician_resets(self, rental: str) -> None:
        self.tell(e.ResetAttempts(self.ids[rental], "eve", "called"))

    # ------------------------------------------------ the cloud
    def deliver(self, instruction: e.Instruction, *, snapshot: bool = False) -> None:
        self.delivered.append(instruction)
        self.tell(e.Deliver(f"c{len(self.delivered)}", [instruction], snapshot))

    def ident(self) -> str:
        self.instruction_n += 1
        self.version += 1
        return f"i{self.instruction_n}"

    @rule(rental=rentals, car=st.one_of(st.none(), cars), early=st.booleans(), pin=st.booleans())
    def book(self, rental: str, car: str | None, early: bool, pin: bool) -> None:
        known = self.world.rental(self.ids[rental])
        over = self.world.of["spent"].get(self.ids[rental]) is not None
        if over or (known is not None and known.state in FINAL and not known.deadlines):
            self.ids[rental] = f"{rental}.{self.instruction_n}"
        put = e.PutReservation(
            id=self.ident(),
            version=self.version,
            rental=self.ids[rental],
            window_from=self.utc + (HOUR if early else -HOUR),
            window_to=self.utc + 3 * HOUR,
            due=self.utc + 24 * HOUR,
            asset=car,
            asset_class=None if car else "car",
            demands=("pass+pin",) if pin else (),
            pin="sealed" if pin else None,
        )
        self.deliver(put)
        self.fire()

    @rule(rental=rentals, what=st.sampled_from(["extend", "attempts", "cancel", "buy", "elsewhere"]))
    def instruct(self, rental: str, what: str) -> None:
        rental, ident = self.ids[rental], self.ident()
        version = self.version
        known = self.world.rental(rental)
        if what == "elsewhere" and known is not None and known.asset in self.where:
            if known.state is not RentalState.ON_TRIP:
                return
            inside = self.where[known.asset]
            if inside != "outside":  # the cloud does not say so of a car that is in this machine
                return
        instruction: e.Instruction = {
            "cancel": e.CancelReservation(ident, rental, version),
            "extend": e.ExtendRental(ident, rental, version, self.utc + 48 * HOUR),
            "buy": e.BuyRental(ident, rental, version),
            "elsewhere": e.ReturnedElsewhere(ident, rental, version, "m2"),
            "attempts": e.CloudResetAttempts(ident, rental),
        }[what]
        self.deliver(instruction)

    @rule(bay=bays, age=st.sampled_from([None, -1.0, 1.0, 3600.0]))
    def cloud_unlocks(self, bay: str, age: float | None) -> None:
        made_before = sum(self.grants.values())
        self.deliver(e.CloudUnlock(self.ident(), bay, "help", age))
        if age is None or not 0 <= age <= 60:
            assert sum(self.grants.values()) == made_before, "a stale command moved a lock"

    @rule(rental=rentals)
    def revoke(self, rental: str) -> None:
        rental = self.ids[rental]
        state = self.world.rental(rental)
        if state is not None and state.state in FINAL:
            self.deliver(e.RevokePasses(self.ident(), (rental,), self.utc + 1e7))

    @precondition(lambda self: self.delivered)
    @rule(which=st.integers(0, 99))
    def replay(self, which: int) -> None:
        """Told twice: one outcome, and nothing happens again."""
        instruction = self.delivered[which % len(self.delivered)]
        before = sum(self.grants.values())
        self.tell(e.Deliver("again", [instruction]))
        assert sum(self.grants.values()) == before, "a replayed instruction moved a lock"

    @rule(keep=st.booleans())
    def snapshot(self, keep: bool) -> None:
        present = frozenset(self.ids.values()) if keep else frozenset()
        busy = {
            key: r.state
            for key, r in self.world.of["rental"].items()
            if r.state not in (RentalState.BOOKED, RentalState.READY)
        }
        self.tell(e.Deliver("snap", [], True, present))
        for key, state in busy.items():
            assert self.world.of["rental"][key].state is state, "a snapshot took back what is under way"

    @rule(rental=rentals)
    def acknowledge(self, rental: str) -> None:
        self.tell(e.Acknowledged([self.ids[rental]]))

    # ------------------------------------------------ time
    def due(self) -> list[tuple[float, e.DeadlineReached]]:
        found = []
        boot = f"boot{self.boot_n}"
        for kind in ("rental", "bay", "visit"):
            for agg in self.world.of[kind].values():
                if kind == "bay" and not self.world.sensed(agg.id).recovered:
                    continue
                for d in agg.deadlines:
                    if (d.clock == "utc" and not self.trusted) or (d.clock == "mono" and d.boot != boot):
                        continue
                    at = d.at if d.clock == "mono" else self.mono + d.at - self.utc
                    found.append((at, e.DeadlineReached(kind, agg.id, d.name, d.n)))
        return found

    def fire(self) -> None:
        self.pass_time(0.0)

    @rule(seconds=st.sampled_from([1.0, 3.0, 3.0, 16.0, 16.0, 61.0, 61.0, 130.0, 130.0, 310.0, HOUR, 30 * HOUR]))
    def pass_time(self, seconds: float) -> None:
        end = self.mono + seconds
        while (first := min(self.due(), default=None, key=lambda d: d[0])) is not None and first[0] <= end:
            self.utc += max(0.0, first[0] - self.mono)
            self.mono = max(self.mono, first[0])
            self.tell(first[1])
        self.utc += end - self.mono
        self.mono = end

    @rule(kind=st.sampled_from(["rental", "bay", "visit"]), name=st.sampled_from(["claim", "open", "lapse", "reopen"]))
    def stale_deadline(self, kind: str, name: str) -> None:
        for key, agg in list(self.world.of[kind].items()):
            stale = agg.timer_n + 7
            assert self.tell(e.DeadlineReached(kind, key, name, stale)).ignored

    @rule(trusted=st.booleans())
    def clock(self, trusted: bool) -> None:
        self.trusted = trusted
        self.fire()

    # ------------------------------------------------ faults, crashes
    @rule(bay=bays, sense=st.sampled_from(["door", "bolt", "presence", "tag"]), heal=st.booleans())
    def fault(self, bay: str, sense: str, heal: bool) -> None:
        if self.known(bay) and (heal or self.faults):
            (self.places[bay].silent.discard if heal else self.places[bay].silent.add)(sense)
            self.sense(bay)

    @rule(bay=bays, stuck=st.booleans())
    def stick(self, bay: str, stuck: bool) -> None:
        if self.known(bay):
            self.places[bay].stuck = stuck

    @rule(pressed=st.integers(0, 4))
    def press_estop(self, pressed: int) -> None:
        """Mostly it is released and cleared again."""
        self.estop = pressed == 3
        self.tell(e.EstopChanged(None if pressed == 4 else self.estop))
        if not self.estop:
            self.tell(e.ClearAlarm(None, "estop", "eve", "seen"))

    @rule(power=st.booleans(), levels_first=st.booleans())
    def restart(self, power: bool, levels_first: bool) -> None:
        """Killed, or without power; what was not journalled is gone, and nothing moves after."""
        self.pulses.clear()
        self.checks.clear()
        old, self.world = self.world, World(self.layout)
        for kind, rows in old.of.items():
            if kind not in VOLATILE:
                self.world.apply({(kind, key): row for key, row in rows.items()})
        self.told = {b: Sensed() for b in self.layout.bays}
        if power:
            self.boot_n += 1
            self.mono = 20.0
        before = sum(self.grants.values())
        if levels_first:
            for bay in self.layout.bays:
                self.sense(bay)
        self.tell(e.Restarted())
        self.tell(e.EstopChanged(self.estop))
        for bay in self.layout.bays:
            self.sense(bay)
            self.tell(e.Recover(bay))
        self.fire()
        assert sum(self.grants.values()) == before, "something moved after a restart"

    @rule(bay=bays, swap=st.booleans())
    def burgle_without_power(self, bay: str, swap: bool) -> None:
        """What happens while the machine is down is seen when it comes back."""
        if not self.known(bay):
            return
        place, silent = self.places[bay], self.places[bay].silent
        place.open = True
        if place.inside in self.where:
            self.where[place.inside] = "outside"
        place.inside = None
        place.open, place.locked = False, True
        if not self.sensors["presence"] or "presence" in silent:
            self.meddled = True
        self.restart(True, swap)

    # ------------------------------------------------ what holds between steps
    @invariant()
    def one_grant_for_each_authorisation(self) -> None:
        assert self.grants == self.authorised

    @invariant()
    def one_outcome_for_each_instruction(self) -> None:
        assert all(n == 1 for n in self.outcomes.values()), self.outcomes
        rentals = self.world.of["rental"].values()
        waiting = {r.cancel for r in rentals} | {one.id for r in rentals for one in r.waiting}
        for one in self.delivered:
            assert self.outcomes[one.id] == 1 or one.id in waiting, f"{one} has no outcome"

    @invariant()
    def grants_and_states_agree(self) -> None:
        for bay in self.world.of["bay"].values():
            grant = bay.grant
            if bay.state is not BayState.SECURED:
                assert grant is not None and not grant.lapsed, bay
            elif grant is not None:
                assert grant.lapsed, bay
                waits = any(d.name == "lapse" for d in bay.deadlines)
                assert waits or Alarm.JAMMED in bay.alarms or self.told[bay.id].bolt is False, bay
        for rental in self.world.of["rental"].values():
            if rental.grant is not None:
                bay = self.world.bay(rental.grant.rpartition(".")[0])
                assert bay is not None and bay.grant is not None and bay.grant.id == rental.grant, rental
            if rental.state in (RentalState.RELEASING, RentalState.RETURNING):
                assert rental.grant is not None, rental
            if rental.state is RentalState.CLAIMED:
                assert any(d.name == "claim" for d in rental.deadlines), rental
                visit = self.world.visit(rental.terminal or "")
                assert visit is not None and visit.rental == rental.id, "claimed by somebody who is not there"
                assert visit.state is VisitState.VERIFYING, visit
            if rental.state is RentalState.INCIDENT:
                assert rental.incident in self.world.of["incident"], rental
            if rental.state in FINAL - {RentalState.RETURNED}:
                assert rental.grant is None and rental.pin is None and not rental.deadlines, rental
            if rental.cancel is not None:
                assert rental.grant is not None, "a cancellation that waits for nothing"

    @invariant()
    def visits_end(self) -> None:
        """Whoever is asked for something is not asked for ever."""
        for visit in self.world.of["visit"].values():
            if visit.state in (VisitState.VERIFYING, VisitState.CHOOSING):
                assert any(d.name == "visit" for d in visit.deadlines), visit
            if visit.state is VisitState.FAREWELL:
                assert any(d.name == "farewell" for d in visit.deadlines), visit
            if visit.state is VisitState.SERVING and visit.bay is not None:
                bay = self.world.bay(visit.bay)
                assert bay is not None and bay.grant is not None and not bay.grant.lapsed, visit

    @invariant()
    def indexes_are_true(self) -> None:
        inside = {b.asset: b.id for b in self.world.of["bay"].values() if b.asset is not None}
        assert self.world.bay_of_asset == inside, "an asset is in one place"
        held: dict[str, set[str]] = {}
        for r in self.world.of["rental"].values():
            for asset in {r.named, r.asset} - {None} if r.state not in FINAL else ():
                held.setdefault(str(asset), set()).add(r.id)
        assert self.world.rentals_of_asset == held

    @invariant()
    def custody_is_where_the_cars_are(self) -> None:
        for bay_id, place in self.places.items():
            bay = self.world.bay(bay_id)
            assert bay is not None
            if not self.settled(bay_id):
                continue
            if bay.asset != place.inside:
                assert self.explained(bay_id, bay.asset, place.inside), (
                    f"{bay_id} holds {place.inside}, believed {bay.asset}"
                )

    @invariant()
    def nothing_goes_missing(self) -> None:
        """A car that left by the machine is with somebody, or somebody was told."""
        if not self.sensors["presence"] or not self.sensors["tag"] or self.meddled:
            return
        for rental in self.world.of["rental"].values():
            if rental.state is RentalState.ON_TRIP and rental.asset in self.where:
                here = self.where[rental.asset]
                if here != "outside" and self.settled(here) and self.trustworthy(here):
                    bay = self.world.bay(here)
                    assert bay is not None
                    assert bay.asset != rental.asset or rental.source == "return", (
                        f"{rental.id} is on trip with {rental.asset}, which is in {here}"
                    )

    def settled(self, bay_id: str) -> bool:
        bay, place = self.world.bay(bay_id), self.places[bay_id]
        assert bay is not None
        return bay.state is BayState.SECURED and not place.open and self.world.sensed(bay_id).recovered

    def trustworthy(self, bay_id: str) -> bool:
        return not self.places[bay_id].silent

    def explained(self, bay_id: str, believed: str | None, inside: str | None) -> bool:
        """Somebody was told, or no installed sensor can see it."""
        bay = self.world.bay(bay_id)
        assert bay is not None
        if (
            bay.alarms
            or bay.quarantined is not None
            or bay.occupancy is Occupancy.UNKNOWN
            or not self.trustworthy(bay_id)
        ):
            return True
        if inside == "stranger" and self.sensors["presence"] and self.sensors["tag"]:
            return False  # an incident alone keeps nobody from being sent there
        if any(i.bay == bay_id or i.asset == believed for i in self.world.of["incident"].values()):
            return True
        if not self.sensors["presence"]:
            return True  # contents are as believed there, and an opening counts as taken
        if not self.sensors["tag"]:
            return (believed is None) == (inside is None)  # full or empty is all that can be told
        return False


Machine.TestCase.settings = settings(
    max_examples=3000 if DEEP else 130,
    stateful_step_count=100 if DEEP else 50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestMachine = pytest.mark.timeout(0 if DEEP else 120)(Machine.TestCase)
