"""What is kept about one rental and its holder, and its erasure. docs/privacy.md says how long each is kept."""

from __future__ import annotations

from typing import Any

import msgspec

from fsm import events as e
from fsm.model import Rental
from fsm.world import World
from vendingd.api import views
from vendingd.api.calls import Call, Text, answer
from vendingd.api.http import Response
from vendingd.api.problems import Problem, unavailable
from vendingd.api.writes import done
from vendingd.journal.api import StoredRecord, StoreError

SEALED = ("pin", "face")
SCANNED = 2_000  # records looked through for one answer
PART = 500

NOTHING = frozenset({"nothing_kept", "unknown_rental"})
STILL_TOLD = "everything here is erased; a face module has not yet said that it has forgotten the face"
HOW_TO_FORGET = (
    "It is told until it has: `vendingctl alarms` names a module that does not answer; `vendingctl privacy export ID` "
    "shows `to_forget` until then."
)
WAIT = (
    "Somebody is at the terminal with it, or its bay may still open. Wait until `vendingctl rentals show ID` shows "
    "another state, at most a few minutes, and say it again."
)


class Erasure(msgspec.Struct, forbid_unknown_fields=True):
    reason: Text
    force: bool = False


async def kept(call: Call) -> Response:
    """Rows of the state, and the records behind `after` that speak of it; `next` to go on.

    Sealed secrets are told by their size: they leave the machine in no form.
    """
    rental, machine = call.path["rental"], call.machine
    after = call.number("after", 0, 10**15)
    newest, found = machine.last_seq, []
    try:
        while after < newest:
            records = await machine.seams.store.records(after, PART)
            if not records:
                after = newest
                break
            found += [one for one in records if _speaks_of(one, rental)]
            after = records[-1].seq
            if len(found) >= PART or after - call.number("after", 0, 10**15) >= SCANNED:
                break
    except StoreError as why:
        raise unavailable(str(why)) from None
    return answer(
        {
            "rental": rental,
            "state": _rows(machine.mailbox.world, rental),
            "records": [views.stored(one, machine.layout.machine) for one in found],
            "next": after if after < newest else None,
        }
    )


def _speaks_of(one: StoredRecord, rental: str) -> bool:
    if one.subject == rental:
        return True
    if not one.data or rental.encode() not in one.data:  # most records end here, unparsed
        return False
    data = msgspec.json.decode(one.data)
    return isinstance(data, dict) and data.get("rental") == rental


def _rows(world: World, rental: str) -> dict[str, Any]:
    known = world.rental(rental)
    spent = world.of["spent"].get(rental)
    return {
        "rental": _row(known) if known is not None else None,
        "spent": msgspec.to_builtins(spent) if spent is not None else None,
        "bays": [key for key, bay in world.of["bay"].items() if bay.grant is not None and bay.grant.rental == rental],
        "incidents": [msgspec.to_builtins(one) for one in world.of["incident"].values() if one.rental == rental],
        "assets": [one.id for one in world.of["asset"].values() if one.rental == rental],
        "terminals": [key for key, visit in world.of["visit"].items() if visit.rental == rental],
        "to_forget": [{"face": _size(sealed)} for sealed in _to_forget(world, rental)],
    }


def _row(one: Rental) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(one)
    for holder in (row, *(waiting["put"] for waiting in row["waiting"] if waiting["put"])):
        for name in SEALED:
            if holder[name] is not None:
                holder[name] = _size(holder[name])
    return row


def _size(sealed: str) -> str:
    return f"sealed, {len(sealed)} characters"


async def erase(call: Call) -> Response:
    """`to_forget`: how many faces of it a module still holds, which is told until it has forgotten."""
    said, rental, mailbox = call.body(Erasure), call.path["rental"], call.machine.mailbox
    try:
        step = await call.ask(e.ForgetRental(rental, call.who, said.reason, said.force))
    except Problem as why:
        if why.reason in NOTHING and _to_forget(mailbox.world, rental):
            raise Problem(409, "to_forget", STILL_TOLD, HOW_TO_FORGET) from None
        if why.reason == "in_progress":  # a reason of visits, too, which are not asked for here
            raise Problem(409, why.reason, why.detail, WAIT) from None
        raise
    return done(step, to_forget=len(_to_forget(mailbox.world, rental)))


def _to_forget(world: World, rental: str) -> list[str]:
    """Sealed, the faces of it that devices may still hold."""
    return [sealed for key, sealed, *_ in world.machine.forgetting if key == rental]
