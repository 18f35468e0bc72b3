"""Lights follow the visit: told of changes alone, and each terminal's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from fsm.model import Visit, VisitState
from vendingd.lights import Lights, signal_of
from vendingd.site.resolved import Channel


@pytest.mark.parametrize(
    ("state", "more", "signal"),
    [
        (VisitState.IDLE, {}, "idle"),
        (VisitState.VERIFYING, {}, "wait"),
        (VisitState.VERIFYING, {"reason": "wrong_pin"}, "refused"),
        (VisitState.VERIFYING, {"reason": "wrong_pin", "checking": True}, "wait"),
        (VisitState.CHOOSING, {"choices": ("r1", "r2")}, "wait"),
        (VisitState.SERVING, {}, "granted"),
        (VisitState.FAREWELL, {"reason": "taken"}, "idle"),
        (VisitState.FAREWELL, {"reason": "unknown_badge"}, "refused"),
    ],
)
def test_what_a_light_says(state: VisitState, more: dict[str, Any], signal: str) -> None:
    assert signal_of(Visit(id="front", state=state, **more)) == signal


class Reader:
    """A line of two readers with lights."""

    name = "line"

    def __init__(self) -> None:
        self.shown: list[tuple[str, int | None]] = []

    async def run(self, sink: Any) -> None:
        raise AssertionError

    async def show(self, signal: str, channel: int | None = None) -> None:
        self.shown.append((signal, channel))


async def test_changes_alone_and_at_the_terminal_where_they_are() -> None:
    reader = Reader()

    def at(terminal: str, n: int) -> SimpleNamespace:
        return SimpleNamespace(id=terminal, badge=Channel("line", n), keypad=Channel("line", n))

    site: Any = SimpleNamespace(terminals={"front": at("front", 1), "side": at("side", 2)})

    def spawn(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coro)

    lights = Lights(site, {"line": reader}, spawn)
    for state in (VisitState.IDLE, VisitState.VERIFYING, VisitState.VERIFYING, VisitState.SERVING):
        lights.follow("side", Visit(id="side", state=state))
    lights.follow("front", Visit(id="front", state=VisitState.FAREWELL, reason="malformed"))
    await asyncio.sleep(0)
    assert reader.shown == [("wait", 2), ("granted", 2), ("refused", 1)]
