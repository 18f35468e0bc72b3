"""Enrolling at a terminal's device and having it forget somebody, by a technician's hand.

A reservation's faces are forgotten by themselves; this is for who was enrolled before there was a reservation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec

from drivers.ports import DriverError
from fsm import events as e
from vendingd.api.calls import Call, Stream, Text
from vendingd.api.http import Response
from vendingd.api.problems import Problem, not_found
from vendingd.api.writes import done
from vendingd.identity.face import FaceError

ENROL_S = 60.0  # five directions with a sentence for each


class Enrolment(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    reason: Text


class Forgetting(msgspec.Struct, forbid_unknown_fields=True):
    template: dict[str, Any]
    reason: Text

    def __repr__(self) -> str:  # of a person's face
        return "Forgetting(...)"


def _terminal(call: Call) -> str:
    name = call.path["terminal"]
    spec = call.machine.layout.terminals.get(name)
    if spec is None:
        raise not_found("terminal", name)
    if not spec.face_formats:
        raise Problem(
            409, "no_face_device", f"nothing at {name} looks at faces", "Name a terminal whose `face` is a device."
        )
    return name


async def enrol(call: Call) -> Stream:
    """`hint` as it goes on, then `template` or `failed`. Who hangs up ends it, and nobody was enrolled."""
    terminal, said, machine = _terminal(call), call.body(Enrolment), call.machine
    await call.ask(e.FaceByHand(terminal, "enrol", call.who, said.reason))

    async def items() -> AsyncGenerator[dict[str, Any], None]:
        words: asyncio.Queue[str] = asyncio.Queue()
        enrolling = machine.faces.enrol_at(terminal, said.name, words.put_nowait, timeout_s=ENROL_S)
        working = asyncio.ensure_future(enrolling)
        working.add_done_callback(lambda _: words.put_nowait(""))
        try:
            while word := await words.get():
                yield {"type": "hint", "word": word}
            try:
                template = working.result()
            except DriverError as why:
                yield {"type": "failed", "detail": str(why)}
                return
            machine.mailbox.post(e.FaceByHandDone(terminal, "enrol", call.who))
            yield {"type": "template", "template": msgspec.json.decode(template)}
        finally:
            working.cancel()

    return Stream(items)


async def forget(call: Call) -> Response:
    terminal, said, machine = _terminal(call), call.body(Forgetting), call.machine
    template = msgspec.json.encode(said.template).decode()
    try:
        user = machine.faces.user_at(terminal, template)
    except FaceError as why:
        raise Problem(
            422, "unprocessable", str(why), "Send the template as enrolling at this device gave it."
        ) from None
    wanted = sorted(machine.mailbox.world.rentals_of_face.get(user, ())) if user is not None else []
    if wanted:
        advice = "It is forgotten by itself with the last of them; `vendingctl privacy erase ID` is for before."
        raise Problem(409, "still_needed", f"named by {', '.join(wanted)[:200]}", advice)
    step = await call.ask(e.FaceByHand(terminal, "forget", call.who, said.reason))
    try:
        await machine.faces.forget_at(terminal, template)
    except DriverError as why:
        raise Problem(409, "device_refused", str(why), "`vendingctl doctor` says what is wrong with it.") from None
    machine.mailbox.post(e.FaceByHandDone(terminal, "forget", call.who))
    return done(step, terminal=terminal)
