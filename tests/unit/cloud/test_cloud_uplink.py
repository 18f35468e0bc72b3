"""Records reach the cloud in order and at least once; nothing moves on a receipt that cannot be true."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from drivers.ports import HttpResponse
from tests.unit.cloud.support import (
    Half,
    ManualClock,
    MemoryOutbox,
    ScriptedTransport,
    json_answer,
    record,
    settle,
)
from vendingd.cloud.status import Board, CloudStatus
from vendingd.cloud.uplink import Head, Uplink

PROBLEM = {"type": "about:blank", "title": "No", "status": 422}


@dataclass
class Rig:
    clock: ManualClock
    outbox: MemoryOutbox
    transport: ScriptedTransport
    board: Board
    uplink: Uplink
    alarms: list[tuple[str, str]] = field(default_factory=list)
    statuses: list[CloudStatus] = field(default_factory=list)

    @property
    def batches(self) -> list[list[int]]:
        return [[e["seq"] for e in msgspec.json.decode(body or b"[]")] for *_, body, _ in self.transport.requests]


@asynccontextmanager
async def running(
    outbox: MemoryOutbox, server: Any, check_head: Callable[[Head], Awaitable[bool]] | None = None
) -> AsyncIterator[Rig]:
    clock = ManualClock()
    alarms: list[tuple[str, str]] = []
    statuses: list[CloudStatus] = []
    board = Board(clock, statuses.append)
    transport = ScriptedTransport(clock, server)
    uplink = Uplink(
        machine="m-1",
        transport=transport,
        outbox=outbox,
        clock=clock,
        random=Half(),
        board=board,
        alarm=lambda name, detail: alarms.append((name, detail)),
        last=len(outbox.records),
        check_head=check_head,
    )
    task = asyncio.ensure_future(uplink.run())
    try:
        yield Rig(clock, outbox, transport, board, uplink, alarms, statuses)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def seqs(body: bytes | None) -> list[int]:
    return [e["seq"] for e in msgspec.json.decode(body or b"[]")]


async def takes_all(method: str, path: str, body: bytes | None) -> HttpResponse:
    return json_answer({"taken_through": seqs(body)[-1], "refused": []})


async def test_a_backlog_goes_in_batches_of_500_in_order() -> None:
    async with running(MemoryOutbox(1200), takes_all) as rig:
        await settle()
        assert [(b[0], b[-1]) for b in rig.batches] == [(1, 500), (501, 1000), (1001, 1200)]
        assert rig.outbox.through == 1200
        assert rig.transport.requests[0][:2] == ("POST", "/v1/machines/m-1/events")
        assert rig.board.status.online
        assert rig.board.status.backlog == 0


async def test_a_new_record_wakes_and_nothing_polls() -> None:
    async with running(MemoryOutbox(), takes_all) as rig:
        await rig.clock.advance(86400)
        assert rig.transport.requests == []
        rig.outbox.records.append(record(1))
        rig.uplink.committed(1)
        await settle()
        assert rig.batches == [[1]]


async def test_batches_keep_under_512_kib_and_a_longer_record_goes_alone() -> None:
    outbox = MemoryOutbox()
    sizes = [200_000, 200_000, 200_000, 900_000, 10]
    outbox.records = [record(n, msgspec.json.encode({"x": "y" * size})) for n, size in enumerate(sizes, start=1)]
    async with running(outbox, takes_all) as rig:
        await settle()
        assert rig.batches == [[1, 2], [3], [4], [5]]
        assert all(len(b or b"") <= 512 * 1024 for *_, b, _ in rig.transport.requests if seqs(b) != [4])


async def test_refused_records_are_set_aside() -> None:
    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        return json_answer({"taken_through": 3, "refused": [{"seq": 2, "problem": PROBLEM}]})

    async with running(MemoryOutbox(3), server) as rig:
        await settle()
        assert rig.outbox.through == 3
        assert [(r.seq, r.problem["title"]) for r in rig.outbox.refused] == [(2, "No")]


async def test_what_was_taken_in_part_goes_on_after_it() -> None:
    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        return json_answer({"taken_through": seqs(body)[0] + 1})

    async with running(MemoryOutbox(6), server) as rig:
        await settle()
        assert [b[0] for b in rig.batches] == [1, 3, 5]


async def test_what_a_proxy_refuses_is_not_set_aside() -> None:
    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        return HttpResponse(413, {"Content-Type": "text/html"}, b"<h1>413 Request Entity Too Large</h1>")

    async with running(MemoryOutbox(3), server) as rig:
        await settle()
        assert rig.outbox.refused == [] and rig.outbox.through == 0
        assert not rig.board.status.online


@pytest.mark.parametrize("status", [413, 422])
async def test_a_batch_refused_whole_is_bisected_down_to_the_one(status: int) -> None:
    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        if 137 in seqs(body):
            return json_answer(PROBLEM | {"status": status}, status, {"Content-Type": "application/problem+json"})
        return await takes_all(method, path, body)

    async with running(MemoryOutbox(600), server) as rig:
        await settle()
        assert [r.seq for r in rig.outbox.refused] == [137]
        assert rig.outbox.through == 600
        assert len(rig.batches) < 40
        assert rig.board.status.online


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 429, 500, 502, 503])
async def test_other_refusals_set_nothing_aside(status: int) -> None:
    answers = [json_answer(PROBLEM, status)]

    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        return answers.pop() if answers else await takes_all(method, path, body)

    async with running(MemoryOutbox(4), server) as rig:
        await settle()
        assert rig.outbox.through == 0
        assert not rig.board.status.online
        assert str(status) in rig.board.status.last_error
        await rig.clock.advance(60)
        assert (rig.outbox.through, rig.outbox.refused) == (4, [])
        assert rig.batches == [[1, 2, 3, 4], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "120"}, 120),
        (
            {
                "retry-after": "Wed, 21 Oct 2015 07:30:00 GMT",
                "date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            120,
        ),
        ({"Retry-After": "999999"}, 3600),
    ],
)
async def test_retry_after_is_kept(headers: dict[str, str], wait_s: float) -> None:
    answers = [json_answer(PROBLEM, 429, headers)]

    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        return answers.pop() if answers else await takes_all(method, path, body)

    async with running(MemoryOutbox(1), server) as rig:
        await rig.clock.advance(wait_s - 1)
        rig.board.heard("feed", rig.clock.now)  # the other channel being well does not shorten it
        await settle()
        assert len(rig.batches) == 1
        await rig.clock.advance(2)
        assert len(rig.batches) == 2


async def test_silence_is_noticed_after_three_seconds_and_waits_grow() -> None:
    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with running(MemoryOutbox(8), takes_all) as rig:
        await settle()
        assert rig.board.status.online
        rig.transport.server = server
        rig.outbox.records.append(record(9))
        rig.uplink.committed(9)
        await rig.clock.advance(2.9)
        assert rig.board.status.online
        await rig.clock.advance(0.2)
        assert not rig.board.status.online
        assert rig.board.status.backlog == 1
        await rig.clock.advance(3600)
        tries = len(rig.batches)
        assert 3600 / 95 < tries < 3600 / 40
        assert rig.transport.requests[-1][3] == 30.0  # more patience for a thin line
        rig.transport.server = takes_all
        await rig.clock.advance(100)
        assert rig.board.status.online
        assert rig.outbox.through == 9


async def test_a_thin_line_gets_smaller_batches() -> None:
    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        await rig.clock.sleep_until(rig.clock.now + len(seqs(body)) * 0.1)  # ten records a second
        return await takes_all(method, path, body)

    async with running(MemoryOutbox(500), server) as rig:
        await rig.clock.advance(600)
        assert rig.outbox.through == 500


async def test_late_answers_are_noticed_as_offline_in_time_too() -> None:
    async with running(MemoryOutbox(), takes_all) as rig:

        async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
            await rig.clock.sleep_until(rig.clock.now + 5)
            return await takes_all(method, path, body)

        rig.transport.server = server
        rig.outbox.records += [record(1)]
        rig.uplink.committed(1)
        await rig.clock.advance(30)
        assert rig.outbox.through == 1  # by the second, more patient try
        assert rig.board.status.online
        rig.outbox.records += [record(2)]
        rig.uplink.committed(2)
        await rig.clock.advance(3.1)
        assert not rig.board.status.online
        await rig.clock.advance(2)
        assert rig.board.status.online
        assert rig.outbox.through == 2


async def test_a_kept_connection_that_was_closed_is_no_outage() -> None:
    answers: list[Any] = [ConnectionResetError("closed")]

    async def server(method: str, path: str, body: bytes | None) -> Any:
        return answers.pop() if answers else await takes_all(method, path, body)

    async with running(MemoryOutbox(1), takes_all) as rig:
        await settle()
        rig.transport.server = server
        rig.outbox.records.append(record(2))
        rig.uplink.committed(2)
        await settle()
        assert rig.outbox.through == 2
        assert [s.online for s in rig.statuses] == [True]


async def test_refused_connections_are_offline_at_once_and_the_feed_brings_the_next_try_forward() -> None:
    async def refuses(method: str, path: str, body: bytes | None) -> Any:
        return ConnectionRefusedError("refused")

    async with running(MemoryOutbox(1), refuses) as rig:
        await rig.clock.advance(300)
        assert not rig.board.status.online
        rig.transport.server = takes_all
        before = len(rig.batches)
        await rig.clock.advance(2)
        rig.board.heard("feed", rig.clock.now)
        await settle()
        assert len(rig.batches) == before + 1
        assert rig.board.status.online


@pytest.mark.parametrize(
    "receipt",
    [
        {"taken_through": 4},
        {"taken_through": -1},
        {"taken_through": 2},
        {"taken_through": "3"},
        {"taken_through": 3, "refused": [{"seq": 4, "problem": PROBLEM}]},
        {"taken_through": 3, "refused": [{"seq": 3, "problem": PROBLEM}] * 2},
        {"refused": []},
        [],
        "taken",
    ],
)
async def test_a_receipt_that_cannot_be_true_moves_nothing_and_is_alarmed_once(receipt: Any) -> None:
    async def lies(method: str, path: str, body: bytes | None) -> HttpResponse:
        return json_answer(receipt)

    async def first(method: str, path: str, body: bytes | None) -> HttpResponse:
        return json_answer({"taken_through": 3})

    outbox = MemoryOutbox(3)
    async with running(outbox, first) as rig:
        await settle()
        rig.transport.server = lies
        # 2 goes backwards now, 3 with refusals speaks of what was not sent
        outbox.records.append(record(4 if receipt != {"taken_through": 4} else 10))
        if receipt == {"taken_through": 4}:
            rig.transport.server = beyond
        rig.uplink.committed(outbox.records[-1].seq)
        await rig.clock.advance(200)
        assert (outbox.through, outbox.refused) == (3, [])
        assert [name for name, _ in rig.alarms] == ["cloud_receipt"]
        assert not rig.board.status.online
        rig.transport.server = takes_all
        await rig.clock.advance(100)
        assert outbox.through == outbox.records[-1].seq
        assert rig.alarms[-1] == ("cloud_receipt", "")


async def beyond(method: str, path: str, body: bytes | None) -> HttpResponse:
    return json_answer({"taken_through": seqs(body)[-1] + 1})


async def test_a_head_that_the_journal_does_not_hold_moves_nothing() -> None:
    held = False

    async def check(head: Head) -> bool:
        assert head == Head("e0", 77, "ab")
        return held

    async def server(method: str, path: str, body: bytes | None) -> HttpResponse:
        return json_answer({"taken_through": 2, "head": {"epoch": "e0", "seq": 77, "hash": "ab"}})

    async with running(MemoryOutbox(2), server, check) as rig:
        await settle()
        assert rig.outbox.through == 0
        assert rig.alarms[0][0] == "cloud_journal_differs"
        held = True
        await rig.clock.advance(60)
        assert rig.outbox.through == 2
        assert rig.alarms[-1] == ("cloud_journal_differs", "")


async def test_a_record_whose_row_is_damaged_is_set_aside_and_the_rest_goes_on() -> None:
    outbox = MemoryOutbox(3)
    outbox.records[1] = record(2, b'{"state": ')
    async with running(outbox, takes_all) as rig:
        await settle()
        assert [r.seq for r in outbox.refused] == [2]
        assert outbox.through == 3
        assert rig.batches == [[1], [3]]
