"""Customers, thieves and technicians: what they do with their hands, by what they see.

A person is a generator that yields how many seconds pass. People know the screen and the doors, nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fsm import events as e
from hw_sim.cloud.times import rfc3339
from tests.simulation.year.cloud import EPOCH_UTC
from tests.simulation.year.plan import Customer
from tests.simulation.year.plant import Bay
from vendingd.identity.pin import make_verifier

if TYPE_CHECKING:
    from tests.simulation.year.run import Run

Person = Generator[float, None, None]
WAITING = {
    "idle",
    "black",
    "checking",
    "wait",
    "enter_pin",
    "unavailable",
    "open_door",
    "goodbye",
    "enjoy",
    "thank_you",
}


def start(run: Run, person: Person) -> None:
    """Let a person act until their end; only one thing of theirs at a time."""

    def act() -> None:
        try:
            seconds = next(person)
        except StopIteration:
            run.busy -= 1
            return
        run.line.after(max(0.01, seconds), act)

    run.busy += 1
    run.line.after(0.0, act)


def at(run: Run, t: float, person: Callable[[], Person]) -> None:
    run.line.at(t, lambda: start(run, person()))


@lru_cache(maxsize=8)
def verifier(pin: str) -> dict[str, Any]:
    """As weak as is allowed: it costs processor time that is not simulated."""
    return make_verifier(pin, m=7168, t=5, p=1, token_bytes=lambda n: pin.encode() * 3 + bytes(n - 3 * len(pin)))


class Holder:
    """What one customer has and knows."""

    def __init__(self, run: Run, c: Customer) -> None:
        self.run, self.c = run, c
        self.chance = random.Random(f"{run.plan.seed} customer {c.n}")
        self.name = f"customer-{c.n}"
        start_t = c.at - 30
        self.wire: dict[str, Any] = {
            "id": c.rental,
            "window_from": rfc3339(EPOCH_UTC + start_t),
            "window_to": rfc3339(EPOCH_UTC + c.at + 900),
            "due": rfc3339(EPOCH_UTC + c.at + c.trip_s + 60),
            "holder": self.name,
        }
        self.wire |= {"asset": c.asset} if c.asset is not None else {"class": "car"}
        self.wire["demands"] = ["pass+pin"] if c.pin else ["pass"]
        self.text = run.cloud.sign(self.wire)
        self.pin = ("4711", "0815", "2580", "90210")[c.n % 4]
        self.asset: str | None = None  # in hands
        self.words: list[str] = []

    def book(self) -> None:
        put = dict(self.wire)
        if self.c.pin:
            put["pin"] = verifier(self.pin)
        self.run.cloud.reserve(put)


# ---------------------------------------------------------------- at a terminal
def place(run: Run, terminal: str, who: str) -> Generator[float, None, bool]:
    """Stand before a terminal, after who stands there now."""
    for _ in range(200):
        # Who went away in the midst of it is waited for: their screen is not one's own.
        if run.standing.get(terminal) is None and run.machine.screen(terminal)["code"] != "enter_pin":
            run.standing[terminal] = who
            return True
        yield 2.0 + run.people_chance.random()
    return False


def leave(run: Run, terminal: str, who: str) -> None:
    if run.standing.get(terminal) == who:
        run.note(f"at {terminal}: {who} goes")
        run.standing[terminal] = None


def bay_offered(
    run: Run, h: Holder, terminal: str, *, before: dict[str, Any] | None = None, wrong_first: bool = False
) -> Generator[float, None, Bay | None]:
    """Do as the screen says until a bay is free, or it says no. The last word is left in `h.words`.

    `before`: what stood there when they came; it may still speak to whoever stood here.
    """
    typed = 0
    before = before or run.machine.screen(terminal)
    for _ in range(24):
        yield 0.4 + 0.2 * h.chance.random()
        said = run.machine.screen(terminal)
        code = said["code"]
        if said == before and code not in ("idle", "black"):
            continue
        if code == "enter_pin" and h.c.pin and typed < 3 and terminal == "front":
            typed += 1
            pin = "0000" if (wrong_first and typed == 1) or h.c.behaviour == "guesses_pin" else h.pin
            run.laws.typed(terminal, h.c.rental, pin == h.pin)
            run.plant.keys(terminal, pin + "#")
            yield 1.0
        elif code == "other_bay_offered":
            run.machine.ask(e.Confirmed(terminal))
        elif code == "open_door":
            bay = run.plant.bays[said["params"]["bay"]]
            if not bay.bolted:
                return bay
        elif code not in WAITING:
            h.words.append(code)
            return None
    said = run.machine.screen(terminal)
    h.words.append("idle" if said == before else said["code"])  # what was there before is not said to them
    return None


# ---------------------------------------------------------------- the way of a customer
def customer(run: Run, c: Customer) -> Person:
    if not run.site.presence:  # nothing could tell whether they took anything
        c = replace(
            c,
            behaviour="plain" if c.behaviour == "hesitant" else c.behaviour,
            brings="plain" if c.brings in ("walks_off", "phone") else c.brings,
        )
    h = Holder(run, c)
    run.holders[c.rental] = h
    if c.booked:
        yield max(0.0, c.at - 120 - run.line.t)
        h.book()
        yield from change_before(run, h)
    if c.behaviour == "no_show":
        return
    yield max(0.0, c.at - run.line.t)
    if c.behaviour == "late":
        yield 1100.0
    if c.behaviour == "early":
        yield from show_early(run, h)
    yield from pick_up(run, h)
    if h.asset is None:
        return
    if c.change in ("extend", "purchase", "elsewhere", "cancel_late", "revoke"):
        yield 5.0
        change_on_trip(run, h)
    if c.change == "elsewhere" or (c.change == "purchase" and h.chance.random() < 0.5):
        asset, h.asset = h.asset, None
        run.plant.where[asset] = "li"
        run.laws.parted(h)
        yield h.chance.uniform(60, 200)
        yield from restock(run, asset)
        return
    yield c.trip_s
    yield from bring_back(run, h)


def change_before(run: Run, h: Holder) -> Person:
    if h.c.change == "cancel":
        yield h.chance.uniform(0, 200)
        run.laws.cancelled(h.c.rental, run.cloud.about("reservation.cancel", h.c.rental))
    elif h.c.change == "revoke_early":
        yield h.chance.uniform(0, 100)
        run.laws.cancelled(h.c.rental, run.cloud.instruct("passes.revoke", rentals=[h.c.rental]))


def change_on_trip(run: Run, h: Holder) -> None:
    rental = h.c.rental
    if h.c.change == "extend":
        run.cloud.about("rental.extend", rental, due=rfc3339(EPOCH_UTC + run.line.t + h.c.trip_s + 600))
    elif h.c.change == "purchase":
        run.cloud.about("rental.purchased", rental)
    elif h.c.change == "elsewhere":
        run.cloud.about("rental.returned_elsewhere", rental, machine="tower-2")
    elif h.c.change == "revoke":
        run.cloud.instruct("passes.revoke", rentals=[rental])
    else:
        run.cloud.about("reservation.cancel", rental)


def show_early(run: Run, h: Holder) -> Person:
    """Somebody has a pass for tomorrow."""
    rental = dict(h.wire, window_from=rfc3339(EPOCH_UTC + run.line.t + 7200), window_to=rfc3339(EPOCH_UTC + 9e7))
    if (yield from place(run, h.c.terminal, h.name)):
        run.laws.presented(h.c.terminal, h.c.rental, h)
        run.plant.scan(h.c.terminal, run.cloud.sign(rental))
        yield 3.0
        leave(run, h.c.terminal, h.name)


def pick_up(run: Run, h: Holder) -> Person:
    c, chance = h.c, h.chance
    terminal = "front" if c.pin else c.terminal
    for attempt in range(6):
        if not (yield from place(run, terminal, h.name)):
            return
        due, before = run.laws.due(h), run.machine.screen(terminal)
        run.laws.presented(terminal, c.rental, h)
        run.plant.scan(terminal, h.text)
        if c.behaviour == "impatient":
            yield 0.3
            run.plant.scan(terminal, h.text)
        other = "side" if terminal == "front" else "front"
        if c.behaviour == "both_terminals" and run.standing.get(other) is None:
            run.laws.meddled()
            run.laws.presented(other, c.rental, h)
            run.plant.scan(other, h.text)
        if c.behaviour == "walks_off" and attempt == 0:
            run.laws.meddled()  # whoever comes next may find a door open
            leave(run, terminal, h.name)
            yield chance.uniform(20, 200)
            continue
        bay = yield from bay_offered(run, h, terminal, before=before, wrong_first=c.behaviour == "wrong_pin")
        if bay is None:
            run.laws.refused_pick_up(h, h.words[-1], due=due)
            leave(run, terminal, h.name)
            yield chance.uniform(10, 90)
            continue
        yield chance.uniform(0.3, 2.0)
        if not run.plant.open(bay, h.name):
            leave(run, terminal, h.name)
            yield chance.uniform(10, 60)
            continue
        yield chance.uniform(0.5, 4.0)
        if c.behaviour == "hesitant" and attempt == 0:
            run.plant.close(bay, h.name)
            leave(run, terminal, h.name)
            yield chance.uniform(15, 60)
            continue
        h.asset = run.plant.take(bay, h.name)
        if h.asset is not None:
            run.trips[h.asset] = c.rental
            run.laws.got(h, bay.id)
        yield chance.uniform(0.5, 4.0)
        if c.behaviour == "leaves_door":
            leave(run, terminal, h.name)
            yield chance.uniform(100, 300)
        run.plant.close(bay, h.name)
        leave(run, terminal, h.name)
        if h.asset is not None:
            return
        yield chance.uniform(10, 60)


def bring_back(run: Run, h: Holder, *, tries: int = 25, brings: str = "") -> Person:
    c, chance = h.c, h.chance
    brings = brings or c.brings
    for attempt in range(tries):
        by_tag = brings == "tag" or attempt % 3 == 2  # who is not understood tries the other way
        terminal = "front" if by_tag else c.terminal
        if h.asset is None or not (yield from place(run, terminal, h.name)):
            return
        h.words.clear()
        # Who has another's car brings it by the other's pass: a return is of the asset.
        trip = run.holders[run.trips[h.asset]]
        run.laws.presented(terminal, trip.c.rental, trip)
        if by_tag:
            run.plant.keys(terminal, "A")
            yield 1.5
            run.laws.held_tag(h.asset)
            run.plant.hold_tag(terminal, h.asset)
        else:
            run.plant.scan(terminal, trip.text)
        bay = yield from bay_offered(run, h, terminal)
        if bay is None:
            run.laws.refused_return(h, h.words[-1])
            leave(run, terminal, h.name)
            yield chance.uniform(15, 120)
            continue
        yield chance.uniform(0.3, 2.0)
        if not run.plant.open(bay, h.name):
            leave(run, terminal, h.name)
            yield chance.uniform(15, 60)
            continue
        yield chance.uniform(0.5, 4.0)
        if brings == "walks_off" and attempt == 0:
            run.plant.close(bay, h.name)
            leave(run, terminal, h.name)
            yield chance.uniform(20, 200)
            continue
        other = swap_partner(run, h) if brings == "swap" and attempt == 0 and run.site.tags else None
        if other is not None:
            h.asset, other.asset = other.asset, h.asset
            run.laws.swapped = True
        assert h.asset is not None
        run.plant.put(bay, h.asset, h.name)
        if run.plant.where.get(h.asset) == bay.id:
            h.asset = None
        yield chance.uniform(0.5, 3.0)
        if brings == "leaves_door":
            leave(run, terminal, h.name)
            yield chance.uniform(70, 200)
        run.plant.close(bay, h.name)
        if brings == "phone" and h.asset is None:
            yield from forgot(run, h, terminal)
        leave(run, terminal, h.name)
        if h.asset is None:
            run.laws.gave(h)
            return
        yield chance.uniform(10, 60)


def swap_partner(run: Run, h: Holder) -> Holder | None:
    """Another customer on trip, whose car is brought instead; their own pass then brings the one left over."""
    for other in run.holders.values():
        if other is not h and other.asset is not None and other.asset not in run.gone:
            return other
    return None


def forgot(run: Run, h: Holder, terminal: str) -> Person:
    """A phone in the glove box: the bay again, within five minutes."""
    yield h.chance.uniform(15, 60)
    run.laws.presented(terminal, h.c.rental, h)
    run.plant.scan(terminal, h.text)
    bay = yield from bay_offered(run, h, terminal)
    if bay is not None and run.plant.open(bay, h.name):
        yield 4.0
        run.plant.close(bay, h.name)


# ---------------------------------------------------------------- staff
def restock(run: Run, asset: str) -> Person:
    """A lorry brings an asset back to the machine: a technician opens an empty bay and says what is in it now."""
    for _ in range(20):
        empty = [b for b in run.plant.bays.values() if b.inside is None and not b.open]
        if empty:
            bay = run.people_chance.choice(empty)
            run.machine.ask(e.TechnicianUnlock(bay.id, "li", "stocking"))
            yield 2.0
            if not bay.bolted and run.plant.open(bay, "li"):
                yield 2.0
                put = run.plant.put(bay, asset, "li")
                yield 2.0
                run.plant.close(bay, "li")
                yield 6.0
                for _ in range(20):
                    told: list[str] = []
                    if not bay.open and bay.inside == asset:
                        run.machine.ask(e.SetContents(bay.id, asset, "li", "stocking"), told.append)
                    yield 3.0
                    if told and told[0] == "":
                        return
                if put:
                    return
        yield 60.0


def technician(run: Run, *, name: str = "li", rounds: int = 3) -> Person:
    """Looks at every bay and says what is so; the way that docs/technician.md gives."""
    for _ in range(rounds):
        app = run.machine.app
        if app is None or app.mailbox.unavailable is not None:
            yield 30.0
            continue
        world = app.mailbox.world
        for bay in run.plant.bays.values():
            if bay.open and run.line.t - run.last_opened(bay.id) > 400:
                run.plant.close(bay, name)
        yield 20.0
        for bay_id, row in sorted(world.of["bay"].items()):
            bay = run.plant.bays[bay_id]
            for alarm in sorted(row.alarms):
                run.machine.ask(e.ClearAlarm(bay_id, str(alarm), name, "seen to it"))
                yield 0.5
            if not bay.open and (row.quarantined is not None or row.asset != bay.inside):
                told: list[str] = []
                run.machine.ask(e.SetContents(bay_id, bay.inside, name, "looked inside"), told.append)
                yield 1.0
                if told == ["asset_on_trip"] and bay.inside is not None:
                    yield from call_the_operator(run, bay.inside)
        for id_, incident in sorted(world.of["incident"].items()):
            for outcome in outcomes(run, incident):
                told = []
                run.machine.ask(e.ResolveIncident(id_, outcome, name, "looked"), told.append)
                yield 1.0
                if told and told[0] == "":
                    break
        yield 5.0


def call_the_operator(run: Run, asset: str) -> Person:
    """What stands here is with a customer, the machine believes: the operator ends that rental from afar."""
    app = run.machine.app
    if app is not None:
        for id_, rental in sorted(app.mailbox.world.of["rental"].items()):
            if rental.asset == asset and rental.state in ("on_trip", "returning"):
                run.cloud.about("rental.returned_elsewhere", id_, machine="tower-1")
                yield 30.0


def outcomes(run: Run, incident: Any) -> list[str]:
    """What became of it, as the technician can see; the next word where the first is refused."""
    if incident.rental is None:
        return ["closed"]
    h = run.holders.get(incident.rental)
    asset = incident.asset
    if asset is not None and run.plant.where.get(asset, "") in run.plant.bays:
        return ["returned", "ready", "cancelled", "closed"] if h is not None and h.c.rental in run.laws.taken else [
            "ready", "cancelled", "returned", "closed"]  # fmt: skip
    return ["on_trip", "purchased", "returned", "cancelled", "closed"]
