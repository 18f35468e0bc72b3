"""What is kept about a rental is told without its secrets, and erased by name and reason."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any, cast

from fsm import events as e
from fsm.model import TerminalSpec
from tests.unit.api.light import T0, Served

SEALED = "s1.device..wrapped.sealed"


async def booked(api: Served, **over: Any) -> None:
    put = e.PutReservation(
        id="i1",
        version=1,
        rental="r7",
        window_from=T0 - 60,
        window_to=T0 + 3600,
        due=T0 + 7200,
        holder="h-77",
        asset="car1",
        pin=SEALED,
        badges=("b" * 43,),
    )
    await api.machine.mailbox.deliver(e.Deliver("c7", [replace(put, **over)]))


async def test_everything_about_a_rental_and_nothing_sealed(api: Served) -> None:
    await booked(api)
    await api.machine.show("r7")  # its bay opens: a record of the bay, with the rental in its data
    await api.call("POST", "/v1/bays/bay-2/unlock", {"reason": "r7 called"})  # speaks of it to people alone
    await api.machine.mailbox.settle()
    said = (await api.call("GET", "/v1/rentals/r7/kept")).json
    assert said["next"] is None and said["rental"] == "r7"
    row = said["state"]["rental"]
    assert (row["holder"], row["badges"], row["pin"]) == ("h-77", ["b" * 43], f"sealed, {len(SEALED)} characters")
    assert SEALED not in repr(said)
    everything = (await api.call("GET", "/v1/journal?after=0&limit=500")).json["records"]
    of_it = [one for one in everything if one["subject"] == "r7" or one["data"].get("rental") == "r7"]
    assert any(one["subject"] == "bay-1" for one in of_it), "the release tells the bay"
    assert said["records"] == of_it and len(everything) > len(of_it)
    nothing = (await api.call("GET", "/v1/rentals/nobodys/kept")).json
    assert nothing["state"]["rental"] is None and nothing["records"] == []


async def test_pages_come_to_an_end_and_leave_nothing_out(api: Served) -> None:
    await booked(api)
    for n in range(30):
        await api.call("POST", "/v1/rentals/r7/reset-attempts", {"reason": f"call {n}"})
    found, after = [], 0
    while after is not None:
        page = (await api.call("GET", f"/v1/rentals/r7/kept?after={after}")).json
        found += [one for one in page["records"] if one["kind"] == "rental.attempts_reset"]
        after = page["next"]
    assert len(found) == 30


async def test_what_is_still_needed_goes_by_force_alone(api: Served) -> None:
    await booked(api)
    refused = await api.call("POST", "/v1/rentals/r7/erase", {"reason": "asked"})
    assert refused.status == 409 and refused.json["reason"] == "still_needed" and "--force" in refused.json["advice"]
    erased = await api.call("POST", "/v1/rentals/r7/erase", {"reason": "asked", "force": True})
    assert erased.status == 200
    assert [one["kind"] for one in erased.json["records"]] == ["rental.forgotten", "rental.secrets_erased"]
    row = (await api.call("GET", "/v1/rentals/r7/kept")).json["state"]["rental"]
    assert (row["pin"], row["face"], row["badges"], row["holder"]) == (None, None, [], None)
    stored = api.machine.seams.store.disk.state["rental", "r7"]
    assert SEALED.encode() not in stored and b"h-77" not in stored
    assert (await api.call("POST", "/v1/rentals/r7/erase", {"reason": "again", "force": True})).status == 409
    assert (await api.call("POST", "/v1/rentals/r9/erase", {"reason": "asked"})).status == 404
    assert (await api.call("POST", "/v1/rentals/r7/erase", {})).status == 422


async def test_what_a_module_has_yet_to_forget_is_said(api: Served) -> None:
    terminals = cast(MutableMapping[str, TerminalSpec], api.machine.layout.terminals)
    terminals["front"] = replace(terminals["front"], face_formats=frozenset({"module-user"}), keeps_faces=True)
    await booked(api, face=SEALED, face_format="module-user")
    erased = await api.call("POST", "/v1/rentals/r7/erase", {"reason": "asked", "force": True})
    assert (erased.status, erased.json["to_forget"]) == (200, 1)
    kept = (await api.call("GET", "/v1/rentals/r7/kept")).json["state"]
    assert kept["to_forget"] == [{"face": f"sealed, {len(SEALED)} characters"}]
    again = await api.call("POST", "/v1/rentals/r7/erase", {"reason": "asked", "force": True})
    assert (again.status, again.json["reason"]) == (409, "to_forget") and "has not yet" in again.json["detail"]
    api.machine.mailbox.post(e.FaceForgotten("r7"))
    await api.machine.mailbox.settle()
    again = await api.call("POST", "/v1/rentals/r7/erase", {"reason": "asked", "force": True})
    assert (again.status, again.json["reason"]) == (409, "nothing_kept")


async def test_while_somebody_is_served_with_it_the_advice_fits(api: Served) -> None:
    await booked(api)
    await api.machine.show("r7")
    said = await api.call("POST", "/v1/rentals/r7/erase", {"reason": "asked", "force": True})
    assert (said.status, said.json["reason"]) == (409, "in_progress")
    assert "rentals show" in said.json["advice"] and "vendingctl bays" not in said.json["advice"]
