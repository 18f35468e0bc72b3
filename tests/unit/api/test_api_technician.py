"""What a technician reads and says through the socket, against the real rules, mailbox and store."""

from __future__ import annotations

import asyncio

import pytest

from fsm import events as e
from fsm.effects import Unlock
from fsm.model import Alarm, RentalState
from tests.unit.api.light import Served, down
from vendingd.api.calls import Call
from vendingd.api.http import parse_head
from vendingd.api.problems import Problem
from vendingd.journal.api import StoreErrorKind
from vendingd.journal.memory import Fault
from vendingd.kernel.inbox import CLI_LIMIT


async def test_the_machine_at_a_glance(api: Served) -> None:
    api.machine.sensing.devices["scanner"] = down("scanner")
    said = (await api.call("GET", "/v1/status")).json
    assert said["machine"] == "m1"
    assert said["state"] == "serving"
    assert said["bays"]["total"] == 3
    assert said["bays"]["occupied"] == 1
    assert said["devices_down"] == ["scanner"]
    assert said["journal"]["last_seq"] == api.machine.last_seq > 0
    assert said["clock"] == {"utc": "2027-01-15T08:00:00Z", "trusted": True, "trust": "assume"}


async def test_commanded_and_sensed_are_apart(api: Served) -> None:
    await api.call("POST", "/v1/bays/bay-1/unlock", {"reason": "look"})
    row = (await api.call("GET", "/v1/bays/bay-1")).json
    assert row["state"] == "opening"
    assert row["grant"]["commanded"] == "authorised"
    assert row["sensed"] == {"door": "closed", "bolt": "locked", "presence": "occupied", "tag": "TAG1"}


async def test_pages_of_bays(api: Served) -> None:
    first = (await api.call("GET", "/v1/bays?limit=2")).json
    assert [row["id"] for row in first["bays"]] == ["bay-1", "bay-2"]
    second = (await api.call("GET", f"/v1/bays?limit=2&after={first['next']}")).json
    assert [row["id"] for row in second["bays"]] == ["bay-3"]
    assert second["next"] is None
    assert (await api.call("GET", "/v1/bays?after=nowhere")).status == 404
    assert (await api.call("GET", "/v1/bays?limit=x")).status == 422


async def test_an_unlock_is_answered_when_durable(api: Served) -> None:
    said = await api.call("POST", "/v1/bays/bay-1/unlock", {"reason": "look inside"})
    assert said.status == 202
    assert said.json["grant"] == "bay-1.1"
    kinds = [r.kind for r in api.machine.seams.store.disk.records.values()]
    assert kinds[-1] == "bay.unlock_authorised"
    assert [type(effect) for effect in api.machine.hands.effects] == [Unlock]
    written = next(r.data for r in api.machine.seams.store.disk.records.values() if r.kind == kinds[-1])
    assert b'"look inside"' in written


async def test_a_disk_that_fails_is_unavailable_and_opens_nothing(api: Served) -> None:
    api.machine.seams.store.fault = Fault(StoreErrorKind.FULL)
    said = await api.call("POST", "/v1/bays/bay-1/unlock", {"reason": "look"})
    assert said.status == 503
    assert said.json["reason"] == "unavailable"
    assert said.headers["retry-after"] == "5"
    assert api.machine.hands.effects == []
    again = await api.call("GET", "/v1/status")
    assert again.json["state"] == "unavailable"
    assert "full" in again.json["unavailable"]
    assert (await api.call("GET", "/v1/journal")).status == 503


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/v1/bays/bay-9/unlock", {"reason": "x"}, 404, "unknown_bay"),
        ("/v1/bays/bay-2/contents", {"reason": "x", "asset": "car9"}, 409, "unknown_asset"),
        ("/v1/bays/bay-2/contents", {"reason": "x", "asset": "car1"}, 409, "already_here"),
        ("/v1/bays/bay-2/contents", {"reason": "x", "asset": "car2"}, 409, "sensor_contradicts"),
        ("/v1/bays/bay-2/contents", {"reason": "x"}, 422, "unprocessable"),
        ("/v1/bays/bay-2/contents", {"reason": "x", "asset": "car2", "empty": True}, 422, "unprocessable"),
        ("/v1/alarms/clear", {"reason": "x", "alarm": "jammed", "bay": "bay-1"}, 409, "no_such_alarm"),
        ("/v1/alarms/clear", {"reason": "x", "alarm": "estop"}, 409, "no_such_alarm"),
        ("/v1/alarms/clear", {"reason": "x", "alarm": "jammed", "bay": "bay-9"}, 404, "unknown_bay"),
        ("/v1/incidents/I9/resolve", {"reason": "x", "outcome": "ready"}, 404, "unknown_incident"),
        ("/v1/rentals/r9/reset-attempts", {"reason": "x"}, 404, "unknown_rental"),
        ("/v1/bays/bay-1/unlock", {}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", {"reason": ""}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", {"reason": "   "}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", {"reason": "a\nb"}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", {"reason": "x\x1b[2J"}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", {"reason": "x" * 201}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", {"reason": "x", "who": "boss"}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", {"reason": 7}, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", b"[" * 60_000, 422, "unprocessable"),
        ("/v1/bays/bay-1/unlock", b'{"reason": ', 400, "malformed"),
        ("/v1/bays/bay-1/unlock", b'{"reason": "\xff"}', 400, "malformed"),
        ("/v1/nowhere", {}, 404, "no_such_path"),
        ("/v1/status", {}, 405, "method_not_allowed"),
    ],
)
async def test_what_is_refused_says_why_and_what_to_do(
    api: Served, path: str, body: object, status: int, reason: str
) -> None:
    before = dict(api.machine.seams.store.disk.records)
    said = await api.call("POST", path, body)
    assert (said.status, said.json["reason"]) == (status, reason)
    assert said.headers["content-type"] == "application/problem+json"
    assert said.json["detail"]
    assert said.json["advice"]
    assert api.machine.hands.effects == []
    assert api.machine.seams.store.disk.records == before


async def test_stocking_lifts_a_quarantine(api: Served) -> None:
    await api.machine.incident()
    assert api.machine.bay("bay-1").quarantined
    api.machine.sense("bay-1", presence=True)
    await api.call("POST", "/v1/incidents/I1/resolve", {"reason": "seen inside", "outcome": "ready"})
    said = await api.call("POST", "/v1/bays/bay-1/contents", {"reason": "looked", "asset": "car1"})
    assert said.status == 200
    assert api.machine.bay("bay-1").quarantined is None
    assert said.json["records"][0]["data"]["who"] == "root"


async def test_availability_of_a_bay_and_of_the_machine(api: Served) -> None:
    out = {"in_service": False, "reason": "new lock"}
    assert (await api.call("POST", "/v1/bays/bay-2/availability", out)).status == 200
    assert api.machine.bay("bay-2").in_service is False
    assert (await api.call("POST", "/v1/availability", out)).status == 200
    assert (await api.call("GET", "/v1/status")).json["state"] == "out_of_service"
    assert (await api.call("POST", "/v1/availability", {**out, "in_service": True})).status == 200
    assert (await api.call("GET", "/v1/status")).json["state"] == "serving"


async def test_alarms_are_listed_and_cleared(api: Served) -> None:
    api.machine.sense("bay-2", door=True)  # nobody authorised it
    api.machine.cloud_alarms["certificate"] = "it ends in 3 days"
    api.machine.strangers.append("bay-77")
    await api.machine.mailbox.settle()
    rows = (await api.call("GET", "/v1/alarms")).json["alarms"]
    found = {(row["name"] or row["what"], row["alarm"]) for row in rows}
    assert found == {("bay-2", "forced_open"), ("cloud", "certificate"), ("bay-77", "not_in_site_file")}
    assert all(row["advice"] for row in rows)
    said = await api.call(
        "POST", "/v1/alarms/clear", {"bay": "bay-2", "alarm": Alarm.FORCED_OPEN, "reason": "it was me"}
    )
    assert said.status == 200
    assert api.machine.bay("bay-2").alarms == frozenset()


async def test_a_booking_that_nobody_can_serve_any_more_stands_among_the_alarms(api: Served) -> None:
    await api.machine.book()
    guarded = e.PutAssets("x1", (("car1", "car", ("TAG1",), None),), {"car1": ("BOSS",)})
    await api.machine.mailbox.deliver(e.Deliver("c9", [guarded]))
    (row,) = (await api.call("GET", "/v1/alarms")).json["alarms"]
    assert (row["what"], row["name"], row["alarm"], row["clearable"]) == ("rental", "r1", "unservable", False)
    assert "no terminal" in row["detail"] and "reservation" in row["advice"]
    assert (await api.call("GET", "/v1/rentals/r1")).json["unservable"] == "factor_unavailable"
    free = e.PutAssets("x2", (("car1", "car", ("TAG1",), None),))
    await api.machine.mailbox.deliver(e.Deliver("c10", [free]))
    assert (await api.call("GET", "/v1/alarms")).json["alarms"] == []


async def test_a_refused_record_is_listed_once_and_cleared(api: Served) -> None:
    api.machine.cloud_alarms["record_refused"] = "record 7 (rental.ready) is set aside"
    api.machine.mailbox.post(e.RecordRefused(7, "unknown kind"))
    await api.machine.mailbox.settle()
    (row,) = (await api.call("GET", "/v1/alarms")).json["alarms"]
    assert (row["what"], row["alarm"], row["clearable"]) == ("machine", "record_refused", True)
    assert "record 7" in row["detail"]
    clear = {"alarm": "record_refused", "reason": "operator told"}
    assert (await api.call("POST", "/v1/alarms/clear", clear)).status == 200
    assert (await api.call("GET", "/v1/alarms")).json["alarms"] == []


async def test_an_incident_tells_what_to_look_at_and_is_resolved(api: Served) -> None:
    ident = await api.machine.incident()
    listed = (await api.call("GET", "/v1/incidents")).json["incidents"]
    assert [(row["id"], row["rental"], row["rental_waits"]) for row in listed] == [(ident, "r1", True)]
    row = (await api.call("GET", f"/v1/incidents/{ident}")).json
    assert row["kind"] == "unsure_release"
    assert "vendingctl unlock bay-1" in row["look"][0]
    assert list(row["outcomes"]) == ["ready", "cancelled", "returned"], "the usual ones of a release come first"
    assert row["not_now"] == dict.fromkeys(
        ("on_trip", "purchased"),
        "car1 is believed in bay-1; set that bay's contents first: `vendingctl bays set bay-1 --empty --reason ...`",
    )
    assert row["bay_now"] == "bay-1: secured, car1 believed inside, sensed unknown; quarantined, contents are uncertain"
    assert row["asset_now"] == "car1, believed in bay-1"
    assert ("incident", ident) in {
        (one["what"], one["name"]) for one in (await api.call("GET", "/v1/alarms")).json["alarms"]
    }
    refused = await api.call("POST", f"/v1/incidents/{ident}/resolve", {"reason": "x", "outcome": "closed"})
    assert refused.json["reason"] == "outcome_needed"
    assert (refused.json["outcomes"], refused.json["not_now"]) == (row["outcomes"], row["not_now"])
    assert "Possible now: ready (the asset is in a bay here" in refused.json["advice"]
    outcome = {"reason": "seen", "outcome": "on_trip"}
    refused = await api.call("POST", f"/v1/incidents/{ident}/resolve", outcome)
    assert refused.status == 409, "the asset is still believed inside"
    assert "Not yet: on_trip (car1 is believed in bay-1" in refused.json["advice"]
    api.machine.sense("bay-1", presence=False)
    assert (await api.call("POST", "/v1/bays/bay-1/contents", {"empty": True, "reason": "looked"})).status == 200
    row = (await api.call("GET", f"/v1/incidents/{ident}")).json
    assert (list(row["outcomes"]), list(row["not_now"])) == (
        ["on_trip", "purchased"], ["ready", "cancelled", "returned"],
    )  # fmt: skip
    done = await api.call("POST", f"/v1/incidents/{ident}/resolve", outcome)
    assert done.status == 200
    said = {key: done.json[key] for key in ("rental", "rental_state", "bay", "quarantined")}
    assert said == {"rental": "r1", "rental_state": "on_trip", "bay": "bay-1", "quarantined": None}
    assert api.machine.rental("r1").state is RentalState.ON_TRIP
    assert (await api.call("GET", f"/v1/incidents/{ident}")).status == 404


async def test_rentals_are_shown_without_their_secrets(api: Served) -> None:
    await api.machine.book("r1", pin="sealed-verifier-bytes")
    await api.machine.book("r2", asset="car2")
    for path in ("/v1/rentals", "/v1/rentals/r1", "/v1/journal?limit=500"):
        said = await api.call("GET", path)
        assert said.status == 200
        assert b"sealed-verifier" not in said.body
    row = (await api.call("GET", "/v1/rentals/r1")).json
    assert row["pin_on_file"] is True
    assert row["holder"] == "h-1"
    assert (await api.call("GET", "/v1/rentals/r2")).json["pin_on_file"] is False


async def test_pages_and_states_of_rentals(api: Served) -> None:
    for n in (1, 2, 3):
        await api.machine.book(f"r{n}", asset=f"car{n}")
    first = (await api.call("GET", "/v1/rentals?limit=2")).json
    assert [row["id"] for row in first["rentals"]] == ["r1", "r2"]
    rest = (await api.call("GET", f"/v1/rentals?limit=2&after={first['next']}")).json
    assert [row["id"] for row in rest["rentals"]] == ["r3"]
    assert rest["next"] is None
    assert (await api.call("GET", "/v1/rentals?state=on_trip")).json["rentals"] == []
    assert (await api.call("GET", "/v1/rentals?state=lost")).status == 422


async def test_attempts_are_reset(api: Served) -> None:
    await api.machine.book()
    said = await api.call("POST", "/v1/rentals/r1/reset-attempts", {"reason": "the holder called"})
    assert said.status == 200
    assert [r["kind"] for r in said.json["records"]] == ["rental.attempts_reset"]


async def test_more_than_may_wait_are_told_to_come_again(api: Served) -> None:
    head = parse_head(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
    call = Call(api.machine, asyncio.Lock(), "maria", head, {}, b"")
    asked = [call.ask(e.SetAvailability(None, True, "maria", f"{n}")) for n in range(CLI_LIMIT + 3)]
    said = await asyncio.gather(*asked, return_exceptions=True)
    busy = [one for one in said if isinstance(one, Problem)]
    assert [(one.status, one.headers["Retry-After"]) for one in busy] == [(429, "1")] * 3
    assert len(said) - len(busy) == CLI_LIMIT


# ---------------------------------------------------------------- the journal
async def test_the_newest_records_and_those_behind_a_number(api: Served) -> None:
    for n in range(5):
        await api.call("POST", "/v1/availability", {"in_service": bool(n % 2), "reason": f"turn {n}"})
    newest = (await api.call("GET", "/v1/journal?limit=3")).json
    last = newest["last_seq"]
    assert [row["seq"] for row in newest["records"]] == [last - 2, last - 1, last]
    assert newest["records"][-1]["data"]["reason"] == "turn 4"
    behind = (await api.call("GET", f"/v1/journal?after={last - 4}&limit=2")).json
    assert [row["seq"] for row in behind["records"]] == [last - 3, last - 2]
    assert behind["next"] == last - 2
    kind = (await api.call("GET", "/v1/journal?kind=machine.out&limit=2")).json["records"]
    assert [row["data"]["reason"] for row in kind] == ["turn 2", "turn 4"]
    end = (await api.call("GET", f"/v1/journal?after={last}")).json
    assert (end["records"], end["next"]) == ([], None)


async def test_the_journal_is_verified(api: Served) -> None:
    said = (await api.call("POST", "/v1/journal/verify")).json
    assert (said["ok"], said["head_seq"]) == (True, api.machine.last_seq)
    disk = api.machine.seams.store.disk
    broken = disk.records[2]
    object.__setattr__(broken, "subject", "forged")
    said = (await api.call("POST", "/v1/journal/verify")).json
    assert (said["ok"], said["first_bad_seq"]) == (False, 2)


async def test_a_restored_journal_takes_a_new_epoch(api: Served) -> None:
    said = (await api.call("POST", "/v1/journal/restored", {"reason": "card replaced"})).json
    epochs = api.machine.seams.store.disk.epochs
    assert epochs[-1].token == said["epoch"] != epochs[0].token
    assert "root" in epochs[-1].reason
    assert "card replaced" in epochs[-1].reason
    await api.machine.mailbox.settle()
    record = (await api.call("GET", "/v1/journal?limit=1")).json["records"][0]
    assert record["kind"] == "machine.journal_restored"
    assert record["name"].split("/")[1] == said["epoch"] == record["data"]["epoch"]
