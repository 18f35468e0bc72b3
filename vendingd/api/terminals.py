"""Terminals: what a screen shows, and what its keys and its camera hand in.

A refusal is told to a screen by the customer's code alone: the journal knows the true reason, an attacker at the
screen does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from typing import Annotated, Any

import msgspec

from fsm import events as e
from fsm.step import Step
from vendingd.api.calls import Call, Name, Nothing, Stream, answer
from vendingd.api.http import Response
from vendingd.api.ports import Machine
from vendingd.api.problems import Problem, busy, not_found, unavailable
from vendingd.api.streams import Subscription
from vendingd.api.views import unavailable as why_unavailable
from vendingd.kernel.inbox import Busy
from vendingd.kernel.mailbox import Unavailable
from vendingd.prompts import TOLD, prompt

ANSWER_S = 30.0  # a PIN's derivation or a slow disk; past that the screen asks anew


class Code(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field()

    def __repr__(self) -> str:  # a pass is a secret
        return "Code(...)"


class Pin(msgspec.Struct, forbid_unknown_fields=True):
    digits: str

    def __repr__(self) -> str:
        return "Pin(...)"


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    ref: Name


class Close(msgspec.Struct, forbid_unknown_fields=True):
    bay: Name


def shown(machine: Machine, terminal: str) -> dict[str, Any]:
    """What this terminal says now."""
    return prompt(machine.mailbox.world, terminal, why_unavailable(machine), machine.site.support.reference)


def _terminal(call: Call) -> str:
    name = call.path["terminal"]
    if name not in call.machine.layout.terminals:
        raise not_found("terminal", name)
    return name


async def terminals(call: Call) -> Response:
    rows = [
        {"id": key, "offers": sorted(spec.offers), "prompt": shown(call.machine, key)}
        for key, spec in call.machine.layout.terminals.items()
    ]
    return answer({"terminals": rows})


async def follow(call: Call) -> Stream:
    """The prompt now, and again whenever it has changed."""
    terminal, machine = _terminal(call), call.machine

    async def items() -> AsyncGenerator[dict[str, Any], None]:
        with Subscription(machine, records=False) as news:
            last: dict[str, Any] | None = None
            while True:
                now = shown(machine, terminal)
                if now != last:
                    last = now
                    yield {"type": "prompt", "terminal": terminal, **now}
                await news.changed()

    return Stream(items)


# ---------------------------------------------------------------- what a screen hands in
async def _told(call: Call, terminal: str, coming: Awaitable[Step]) -> Response:
    try:
        async with asyncio.timeout(ANSWER_S):
            step = await coming
    except Busy as why:
        raise busy(str(why)) from None
    except Unavailable as why:
        raise unavailable(str(why)) from None
    except TimeoutError:
        raise busy("no answer yet; the prompt tells how it goes on") from None
    if step.refused is not None:
        code = TOLD.get(step.refused, "refused")
        said = shown(call.machine, terminal)
        raise Problem(409, code, f"refused: {code}", "Show the prompt to the customer.", prompt=said)
    return answer({"done": True, "prompt": shown(call.machine, terminal)})


def _mono(call: Call) -> float:
    return call.machine.time.now().mono


async def code(call: Call) -> Response:
    terminal, said = _terminal(call), call.body(Code)
    return await _told(call, terminal, call.machine.desk.show(terminal, said.text.encode(), _mono(call)))


async def pin(call: Call) -> Response:
    """Counted by the domain; whether it was right is told by the prompt."""
    terminal, said = _terminal(call), call.body(Pin)
    if not (said.digits.isascii() and said.digits.isdigit() and len(said.digits) <= 12):
        raise Problem(422, "unprocessable", "digits", "Send 1 to 12 digits.")
    return await _told(call, terminal, call.machine.desk.pin(terminal, said.digits, _mono(call)))


async def ask_return(call: Call) -> Response:
    return await _press(call, "return", e.ReturnAsked(_terminal(call)))


async def choose(call: Call) -> Response:
    """One of the rentals that a badge leads to, by its `ref` in the prompt."""
    terminal, said = _terminal(call), call.body(Choice)
    chosen = e.Chosen(terminal, said.ref)
    return await _told(call, terminal, call.machine.mailbox.credential(f"{terminal} choose", chosen, _mono(call)))


async def confirm(call: Call) -> Response:
    return await _press(call, "confirm", e.Confirmed(_terminal(call)))


async def leave(call: Call) -> Response:
    return await _press(call, "leave", e.Left(_terminal(call)))


async def _press(call: Call, key: str, event: e.AtTerminal) -> Response:
    call.body(Nothing)
    coming = call.machine.mailbox.credential(f"{event.terminal} {key}", event, _mono(call))
    return await _told(call, event.terminal, coming)


async def close(call: Call) -> Response:
    terminal, said = _terminal(call), call.body(Close)
    if said.bay not in call.machine.layout.bays:
        raise not_found("bay", said.bay)
    asked = e.CloseAsked(terminal, said.bay)
    return await _told(call, terminal, call.machine.mailbox.credential(f"{terminal} close", asked, _mono(call)))
