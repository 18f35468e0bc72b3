"""What technicians say. Each becomes one request to the mailbox and is answered once it is durable."""

from __future__ import annotations

import msgspec

from fsm import events as e
from fsm.step import Step
from vendingd.api import views
from vendingd.api.calls import Call, Name, Nothing, Reasoned, Text, answer
from vendingd.api.http import Response
from vendingd.api.incidents import guide, told
from vendingd.api.problems import Problem, busy, not_found, unavailable
from vendingd.journal.api import StoreError


class Contents(msgspec.Struct, forbid_unknown_fields=True):
    """Exactly one of `asset` and `empty`."""

    reason: Text
    asset: Name | None = None
    empty: bool = False


class Availability(msgspec.Struct, forbid_unknown_fields=True):
    in_service: bool
    reason: Text


class Clear(msgspec.Struct, forbid_unknown_fields=True):
    alarm: Name
    reason: Text
    bay: Name | None = None


class Resolution(msgspec.Struct, forbid_unknown_fields=True):
    outcome: Name
    reason: Text


# A word that is no way out of this incident, or not yet.
WRONG_WAY = frozenset({"unknown_outcome", "outcome_needed", "asset_inside", "asset_out", "bay_not_concluded"})


def done(step: Step, **said: object) -> Response:
    """What was journalled by it, so that nobody has to guess what it did."""
    records = [{"kind": r.kind, "subject": r.subject, "data": dict(r.data)} for r in step.records]
    return answer({"done": True, **said, "records": records})


def _bay(call: Call) -> str:
    name = call.path["bay"]
    if name not in call.machine.layout.bays:
        raise not_found("bay", name)
    return name


async def unlock(call: Call) -> Response:
    """Authorised and durable; whether it was sent, and what moved, comes later: 202."""
    bay, said = _bay(call), call.body(Reasoned)
    step = await call.ask(e.TechnicianUnlock(bay, call.who, said.reason))
    grant = next((r.data.get("grant") for r in step.records if r.kind == "bay.unlock_authorised"), None)
    return Response(202, done(step, bay=bay, grant=grant).body)


async def contents(call: Call) -> Response:
    bay, said = _bay(call), call.body(Contents)
    if (said.asset is None) is not said.empty:
        raise Problem(422, "unprocessable", "asset or empty", 'Send either "asset": "ID" or "empty": true.')
    return done(await call.ask(e.SetContents(bay, said.asset, call.who, said.reason)), bay=bay)


async def bay_availability(call: Call) -> Response:
    bay, said = _bay(call), call.body(Availability)
    return done(await call.ask(e.SetAvailability(bay, said.in_service, call.who, said.reason)), bay=bay)


async def machine_availability(call: Call) -> Response:
    said = call.body(Availability)
    return done(await call.ask(e.SetAvailability(None, said.in_service, call.who, said.reason)))


async def clear_alarm(call: Call) -> Response:
    said = call.body(Clear)
    if said.bay is not None and said.bay not in call.machine.layout.bays:
        raise not_found("bay", said.bay)
    return done(await call.ask(e.ClearAlarm(said.bay, said.alarm, call.who, said.reason)))


async def resolve(call: Call) -> Response:
    """What became of the rental and of the bay is told with it; what is refused, with the ways that are open."""
    said, name = call.body(Resolution), call.path["incident"]
    known = call.machine.mailbox.world.of["incident"].get(name)
    try:
        step = await call.ask(e.ResolveIncident(name, said.outcome, call.who, said.reason))
    except Problem as why:
        if known is not None and why.reason in WRONG_WAY:
            ways = guide(call.machine.mailbox.world, known, call.machine.time.now())
            why.advice = f"{told(ways)}."
            why.extra |= {"outcomes": dict(ways.outcomes), "not_now": dict(ways.not_now or {})}
        raise
    world = call.machine.mailbox.world
    rental = world.rental(known.rental) if known is not None and known.rental is not None else None
    bay = world.bay(known.bay) if known is not None and known.bay is not None else None
    return done(
        step,
        rental=rental.id if rental is not None else None,
        rental_state=str(rental.state) if rental is not None else None,
        bay=bay.id if bay is not None else None,
        quarantined=bay.quarantined if bay is not None else None,
    )


async def reset_attempts(call: Call) -> Response:
    said = call.body(Reasoned)
    return done(await call.ask(e.ResetAttempts(call.path["rental"], call.who, said.reason)))


# ---------------------------------------------------------------- the journal itself
async def verify(call: Call) -> Response:
    """Walks the whole chain; one walk at a time, for it reads the whole disk."""
    call.body(Nothing)
    if call.verifying.locked():
        raise busy("the journal is being verified or copied already")
    async with call.verifying:
        try:
            return answer(views.verdict(await call.machine.seams.store.verify()))
        except StoreError as why:
            raise unavailable(str(why)) from None


async def restored(call: Call) -> Response:
    """The journal in place is an older copy: names of records must never be used twice."""
    said = call.body(Reasoned)
    if (why := views.unavailable(call.machine)) is not None:
        raise unavailable(why)
    spoken = f"{call.who}: {said.reason}"
    try:
        epoch = await call.machine.journal_restored(spoken)
    except StoreError as failed:
        raise unavailable(str(failed)) from None
    return answer({"done": True, "epoch": epoch})
