"""A counter to attack: the real desk and domain before a screen, passes as bytes, no wires."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from drivers.ports import BadgeRead, CodeRead
from fsm import events as e
from fsm.step import Step
from fsm.world import World
from tests.unit.fsm.factors import factor_bench
from tests.unit.fsm.machine import HOUR, T0, Bench
from vendingd.desk import Desk, Keys, Terminals
from vendingd.identity.badges import BadgeKey
from vendingd.identity.cwt import Pass
from vendingd.identity.keys import KeyRing
from vendingd.identity.tool import make_key, public_jwk, sign_pass
from vendingd.prompts import prompt

KEY, OLD, ROGUE = make_key("k1"), make_key("k0"), make_key("k1")
CARS = {"b1": "car1", "b2": "car2"}


class Counter:
    """One terminal's scanner and badge reader, and the machine behind them."""

    def __init__(self, m: Bench) -> None:
        self.m = m
        ring = KeyRing.parse({"keys": [public_jwk(KEY), public_jwk(OLD) | {"retired": True}]})
        self.keys = Keys(ring, "https://rent.example", BadgeKey(bytes(32)))
        terminals = Terminals({"scanner": "front"}, {}, {}, {}, {}, {("nfc", 1): "front"})
        self.desk = Desk(terminals, self.keys, self, self, lambda: m.now)  # type: ignore[arg-type]
        self.last: Step | None = None
        self._at = 0.0

    # what the desk needs of a mailbox and a clock
    def credential(self, slot: str, event: e.Event, at_mono: float) -> asyncio.Future[Step]:
        self.last = self.m.tell(event)
        reply: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        reply.set_result(self.last)
        return reply

    @property
    def head(self) -> World:
        return self.m.world

    def monotonic(self) -> float:
        return self.m.mono

    # what people hold before it
    async def code(self, text: bytes) -> Step:
        self._at += 10.0
        self.last = None
        self.desk.code(CodeRead("scanner", text, self._at))
        await asyncio.sleep(0)
        assert self.last is not None, "it was not even looked at"
        return self.last

    async def badge(self, number: str) -> Step:
        self._at += 10.0
        self.last = None
        self.desk.badge(BadgeRead("nfc", number, self._at))
        await asyncio.sleep(0)
        assert self.last is not None
        return self.last

    # what came of it
    def refused_as(self, reason: str) -> None:
        """Refused, nothing opened; the record has the reason, and the customer a sentence that tells nothing."""
        assert self.last is not None and self.last.refused == reason, self.last
        assert self.m.unlocks() == []
        assert [r.data["reason"] for r in self.last.records if r.kind == "credential.refused"] == [reason]

    def shown(self) -> dict[str, Any]:
        return prompt(self.m.world, "front", None, "")

    async def others_are_served(self) -> None:
        """Whatever was tried: after a moment the next customer gets their car."""
        self.m.wait(60)
        assert (await self.code(genuine(rental="honest", asset="car2"))).refused is None
        assert self.m.unlocks()[-1] == "b2"


def counter(**book: Any) -> Counter:
    """`victim` has booked car1, with a PIN."""
    m = factor_bench(("pass",), cars=CARS)
    m.book("victim", "car1", **({"pin": "sealed", "demands": ("pass+pin",)} | book))
    m.book("honest", "car2")
    return Counter(m)


def claims(**over: Any) -> Pass:
    said = Pass(
        issuer="https://rent.example",
        rental="victim",
        audience="m1",
        exp=T0 + HOUR,
        nbf=T0 - HOUR,
        cti=b"12345678",
        asset="car1",
    )
    return replace(said, **over)


def genuine(key: Any = KEY, **over: Any) -> bytes:
    return sign_pass(key, claims(**over)).encode()
