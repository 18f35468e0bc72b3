"""Enrolling at a terminal and forgetting, by a technician: told as it goes on, journalled, refused while in use."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from fsm import events as e
from fsm.model import TerminalSpec
from tests.unit.api.light import T0, Served

ENROL = "/v1/terminals/front/face/enrol"
FORGET = "/v1/terminals/front/face/forget"
BODY = {"name": "r-7", "reason": "at the desk"}
TEMPLATE = {"fmt": "eye", "user": "r-7"}


async def kinds(api: Served) -> list[tuple[str, dict[str, Any]]]:
    await api.machine.mailbox.settle()
    records = (await api.call("GET", "/v1/journal?after=0&limit=500&kind=face.")).json["records"]
    return [(one["kind"], {key: value for key, value in one["data"].items() if key != "who"}) for one in records]


async def enrolled(api: Served) -> list[dict[str, Any]]:
    data = json.dumps(BODY).encode()
    head = f"POST {ENROL} HTTP/1.0\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    async with api.connected() as (reader, writer):
        writer.write(head + data)
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
    return [json.loads(line) for line in body.splitlines()]


async def test_words_as_they_come_and_then_the_template(api: Served) -> None:
    api.machine.eye.may.set()
    assert await enrolled(api) == [
        {"type": "hint", "word": "look_here"},
        {"type": "hint", "word": "look_up"},
        {"type": "template", "template": TEMPLATE},
    ]
    assert await kinds(api) == [("face.enrol_asked", {"reason": "at the desk"}), ("face.enrolled", {})]


async def test_a_device_that_cannot_says_why_and_nobody_is_enrolled(api: Served) -> None:
    api.machine.eye.trouble = "this face is enrolled already"
    api.machine.eye.may.set()
    assert (await enrolled(api))[-1] == {"type": "failed", "detail": "this face is enrolled already"}
    assert [kind for kind, _ in await kinds(api)] == ["face.enrol_asked"]


async def test_who_hangs_up_ends_it(api: Served) -> None:
    data = json.dumps(BODY).encode()
    async with api.connected() as (reader, writer):
        writer.write(f"POST {ENROL} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        await reader.readuntil(b"look_up")
    async with asyncio.timeout(10):
        while not api.machine.eye.given_up:
            await asyncio.sleep(0.01)
    assert api.machine.eye.users == [] and [kind for kind, _ in await kinds(api)] == ["face.enrol_asked"]


async def test_not_while_somebody_is_served_there(api: Served) -> None:
    await api.machine.book()
    await api.machine.show()
    said = await api.call("POST", ENROL, BODY)
    assert (said.status, said.json["reason"]) == (409, "in_progress")
    assert await kinds(api) == []


async def test_a_device_forgets_and_says_so(api: Served) -> None:
    api.machine.eye.users.append("r-7")
    said = await api.call("POST", FORGET, {"template": TEMPLATE, "reason": "never booked"})
    assert said.status == 200 and api.machine.eye.users == []
    assert await kinds(api) == [("face.forget_asked", {"reason": "never booked"}), ("face.forgotten", {})]


async def test_whom_a_rental_names_is_not_forgotten_by_hand(api: Served) -> None:
    api.machine.eye.users.append("r-7")
    face = api.machine.faces.enrol("r1", TEMPLATE)
    put = e.PutReservation(
        id="i1",
        version=1,
        rental="r1",
        window_from=T0 - 60,
        window_to=T0 + 60,
        asset="car1",
        face=face.sealed,
        face_format=face.fmt,
        face_user=face.user,
    )
    await api.machine.mailbox.deliver(e.Deliver("c7", [put]))
    said = await api.call("POST", FORGET, {"template": TEMPLATE, "reason": "tidying"})
    assert (said.status, said.json["reason"]) == (409, "still_needed") and "r1" in said.json["detail"]
    assert api.machine.eye.users == ["r-7"] and await kinds(api) == []


async def test_what_the_device_would_not_take(api: Served) -> None:
    for template in ({}, {"fmt": "other"}, {"fmt": "eye"}):
        said = await api.call("POST", FORGET, {"template": template, "reason": "tidying"})
        assert said.status == 422
    api.machine.eye.trouble = "unplugged"
    said = await api.call("POST", FORGET, {"template": TEMPLATE, "reason": "tidying"})
    assert (said.status, said.json["detail"]) == (409, "unplugged")
    assert [kind for kind, _ in await kinds(api)] == ["face.forget_asked"]


async def test_a_terminal_without_such_a_device(api: Served) -> None:
    plan = api.machine.layout
    api.machine.layout = replace(plan, terminals={**plan.terminals, "side": TerminalSpec(id="side")})
    for terminal, status in (("side", 409), ("nowhere", 404)):
        said = await api.call("POST", f"/v1/terminals/{terminal}/face/enrol", BODY)
        assert said.status == status
