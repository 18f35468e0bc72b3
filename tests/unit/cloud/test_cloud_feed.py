"""The cursor moves with what was committed, and with nothing else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers.ports import HttpResponse
from tests.unit.cloud.support import Half, ManualClock, ScriptedTransport, json_answer, settle
from vendingd.cloud.feed import Feed
from vendingd.cloud.instructions import Instruction, Malformed, PassesRevoke
from vendingd.cloud.status import Board

PROBLEM = {"type": "about:blank", "title": "No", "status": 410}


@dataclass
class Rig:
    clock: ManualClock
    transport: ScriptedTransport
    board: Board
    feed: Feed
    delivered: list[tuple[str, list[str], bool]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    read: list[Instruction] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return [path.partition("?")[2] for _, path, *_ in self.transport.requests]


@asynccontextmanager
async def running(answers: list[Any], cursor: str = "c0") -> AsyncIterator[Rig]:
    """Answers are given one after another, then the cloud is silent until asked to stop."""
    clock = ManualClock()
    board = Board(clock, lambda status: None)

    async def server(method: str, path: str, body: bytes | None) -> Any:
        if not answers:
            await asyncio.Event().wait()
        return answers.pop(0)

    transport = ScriptedTransport(clock, server)

    async def deliver(at: str, instructions: Sequence[Instruction], snapshot: bool) -> None:
        await rig.gate.wait()
        rig.delivered.append((at, [i.id for i in instructions], snapshot))
        rig.read += instructions

    feed = Feed(
        machine="m 1",
        transport=transport,
        clock=clock,
        random=Half(),
        board=board,
        deliver=deliver,
        cursor=cursor,
        poll_wait_s=25,
    )
    rig = Rig(clock, transport, board, feed)
    rig.gate.set()
    task = asyncio.ensure_future(feed.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def answer(cursor: str, *items: Any, snapshot: bool = False) -> HttpResponse:
    return json_answer({"cursor": cursor, "instructions": list(items), "snapshot": snapshot})


def revoke(name: str) -> dict[str, Any]:
    return {"id": name, "kind": "passes.revoke", "rentals": ["r"]}


async def test_the_first_poll_does_not_wait_and_the_next_does() -> None:
    async with running([answer("c0"), answer("c&1", revoke("a"))]) as rig:
        await settle()
        assert rig.asked == ["after=c0&wait=0", "after=c0&wait=25", "after=c%261&wait=25"]
        assert rig.transport.requests[0][1].startswith("/v1/machines/m%201/feed?")
        assert [t for *_, t in rig.transport.requests] == [5.0, 30.0, 30.0]
        assert rig.delivered == [("c&1", ["a"], False)]
        assert rig.feed.cursor == "c&1"
        assert rig.board.status.online


async def test_nothing_is_asked_before_the_commit() -> None:
    async with running([answer("c1", revoke("a"))]) as rig:
        rig.gate.clear()
        await settle()
        assert len(rig.asked) == 1
        assert rig.feed.cursor == "c0"
        rig.gate.set()
        await settle()
        assert rig.feed.cursor == "c1"


async def test_an_unreadable_instruction_is_delivered_as_such_and_the_cursor_moves() -> None:
    async with running([answer("c1", revoke("a"), {"id": "b", "kind": "x"}, 7)]) as rig:
        await settle()
        assert rig.delivered == [("c1", ["a", "b", "c1#3"], False)]
        assert [type(i) for i in rig.read] == [PassesRevoke, Malformed, Malformed]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[]",
        b'{"cursor": 7, "instructions": []}',
        b'{"cursor": "", "instructions": []}',
        b'{"cursor": "a b", "instructions": []}',
        b'{"cursor": "c1"}',
        b'{"cursor": "c1", "instructions": {}}',
        b'{"cursor": "c0", "instructions": [{}]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_an_unreadable_answer_moves_nothing(body: bytes) -> None:
    async with running([HttpResponse(200, {}, body), answer("c1", revoke("a"))]) as rig:
        await settle()
        assert rig.delivered == []
        assert rig.feed.cursor == "c0"
        assert not rig.board.status.online
        await rig.clock.advance(1)
        assert rig.delivered == [("c1", ["a"], False)]


async def test_a_long_answer_comes_in_parts_and_the_cursor_with_the_last() -> None:
    async with running([answer("c1", *(revoke(f"i{n}") for n in range(130)))]) as rig:
        await settle()
        assert [(at, len(ids)) for at, ids, _ in rig.delivered] == [("c0", 64), ("c0", 64), ("c1", 2)]


async def test_a_cursor_that_is_gone_leads_to_a_snapshot() -> None:
    answers = [
        json_answer(PROBLEM, 410),
        answer("n1", *(revoke(f"i{n}") for n in range(65)), snapshot=True),
        answer("n2", revoke("z")),
    ]
    async with running(answers) as rig:
        await settle()
        assert rig.asked[1].startswith("after=&")
        assert [(at, len(ids), s) for at, ids, s in rig.delivered] == [
            ("", 64, True),
            ("n1", 1, True),
            ("n2", 1, False),
        ]


async def test_an_empty_snapshot_is_delivered_too() -> None:
    async with running([answer("n1", snapshot=True)], cursor="") as rig:
        await settle()
        assert rig.delivered == [("n1", [], True)]


async def test_a_snapshot_that_is_none_and_a_gone_empty_cursor_are_errors() -> None:
    async with running([answer("n1", revoke("a")), json_answer(PROBLEM, 410)], cursor="") as rig:
        await settle()
        assert not rig.board.status.online
        await rig.clock.advance(1)
        assert len(rig.asked) == 2
        assert not rig.board.status.online
        assert rig.delivered == []


async def test_silence_is_noticed_after_the_wait_and_five_seconds() -> None:
    async with running([answer("c0")]) as rig:
        await rig.clock.advance(29.9)
        assert rig.board.status.online
        await rig.clock.advance(0.2)
        assert not rig.board.status.online
        assert "no answer within 30 s" in rig.board.status.last_error


async def test_a_cloud_that_does_not_wait_is_not_asked_in_a_hurry() -> None:
    async with running([answer("c0") for _ in range(1000)]) as rig:
        await rig.clock.advance(600)
        assert len(rig.asked) < 40


@pytest.mark.parametrize("status", [302, 401, 403, 404, 429, 500, 503])
async def test_refusals_are_waited_out(status: int) -> None:
    refusal = json_answer(PROBLEM, status, {"Retry-After": "30"})
    async with running([refusal, answer("c1", revoke("a"))]) as rig:
        await rig.clock.advance(29)
        assert len(rig.asked) == 1
        assert str(status) in rig.board.status.last_error
        await rig.clock.advance(2)
        assert rig.delivered == [("c1", ["a"], False)]
