"""Reading: what the machine knows, in pages, so that no reader holds up the loop."""

from __future__ import annotations

from itertools import islice
from typing import Any

from fsm.model import FINAL, RentalState
from vendingd.api import views
from vendingd.api.calls import Call, answer
from vendingd.api.http import Response
from vendingd.api.problems import Problem, not_found, unavailable
from vendingd.journal.api import StoredRecord, StoreError

PAGE = 200  # bays or rentals of one answer: a millisecond or two of the loop
MOST = 500
SCANNED = 5_000  # records looked through for one answer that filters


async def status(call: Call) -> Response:
    return answer(views.status(call.machine))


async def bays(call: Call) -> Response:
    """In the site's order, behind the bay `after`."""
    machine = call.machine
    ids = list(machine.layout.bays)
    after = call.head.parameters.get("after")
    if after is not None and after not in machine.layout.bays:
        raise not_found("bay", after)
    first = ids.index(after) + 1 if after is not None else 0
    limit = call.number("limit", PAGE, MOST)
    page = ids[first : first + limit]
    rows = [views.bay(machine, machine.mailbox.world.of["bay"][key]) for key in page]
    return answer({"bays": rows, "next": page[-1] if page and first + limit < len(ids) else None})


async def bay(call: Call) -> Response:
    known = call.machine.mailbox.world.bay(call.path["bay"])
    if known is None:
        raise not_found("bay", call.path["bay"])
    return answer(views.bay(call.machine, known))


async def rentals(call: Call) -> Response:
    """By id, behind the id `after`; `state` picks one state, `all=1` shows those that are over, too."""
    asked = call.head.parameters
    wanted = asked.get("state")
    if wanted is not None and wanted not in set(RentalState):
        raise Problem(422, "unprocessable", f"state={wanted[:40]!r}", f"One of: {', '.join(RentalState)}.")
    every = asked.get("all") in ("1", "true") or wanted is not None
    after, limit = asked.get("after", ""), call.number("limit", PAGE, MOST)
    rows = call.machine.mailbox.world.of["rental"]
    ids = sorted(
        key
        for key, one in rows.items()
        if key > after and (wanted is None or one.state == wanted) and (every or one.state not in FINAL)
    )
    page = ids[:limit]
    return answer(
        {"rentals": [views.rental(rows[key]) for key in page], "next": page[-1] if len(ids) > limit and page else None}
    )


async def rental(call: Call) -> Response:
    known = call.machine.mailbox.world.rental(call.path["rental"])
    if known is None:
        raise not_found("rental", call.path["rental"])
    return answer(views.rental(known))


async def alarms(call: Call) -> Response:
    return answer({"alarms": views.alarms(call.machine)})


async def incidents(call: Call) -> Response:
    world = call.machine.mailbox.world
    rows = sorted(world.of["incident"].values(), key=lambda one: (len(one.id), one.id))
    return answer({"incidents": [views.incident(world, one) for one in islice(rows, MOST)]})


async def incident(call: Call) -> Response:
    world = call.machine.mailbox.world
    known = world.of["incident"].get(call.path["incident"])
    if known is None:
        raise not_found("incident", call.path["incident"])
    return answer(views.incident(world, known, call.machine.time.now()))


async def devices(call: Call) -> Response:
    return answer({"devices": views.devices(call.machine)})


async def journal(call: Call) -> Response:
    """Records behind seq `after`; without it the newest. `kind` keeps those whose kind begins so."""
    machine = call.machine
    limit = call.number("limit", 50, MOST)
    kind = call.head.parameters.get("kind", "")
    asked = "after" in call.head.parameters
    newest = machine.last_seq
    after = call.number("after", 0, 10**15) if asked else max(0, newest - (SCANNED if kind else limit))
    try:
        found, seen = await _read(call, after, limit, kind, newest=not asked)
    except StoreError as why:
        raise unavailable(str(why)) from None
    rows: list[dict[str, Any]] = [views.stored(one, machine.layout.machine) for one in found]
    return answer({"records": rows, "last_seq": newest, "next": seen if seen < newest else None})


async def _read(call: Call, after: int, limit: int, kind: str, *, newest: bool) -> tuple[list[StoredRecord], int]:
    """The records, and through which seq was looked."""
    store, seen = call.machine.seams.store, after
    found: list[StoredRecord] = []
    while (newest or len(found) < limit) and seen - after < SCANNED:
        records = await store.records(seen, MOST if kind else limit)
        if not records:
            return found[-limit:] if newest else found, call.machine.last_seq
        for one in records:
            seen = one.seq
            if one.kind.startswith(kind):
                found.append(one)
                if len(found) == limit and not newest:
                    break
    return found[-limit:] if newest else found, seen
