"""Records up: in order, at least once, nothing dropped. The journal keeps the cursor; this moves it.

Sends while there are records, else sleeps until `committed` is called. Slow or silent clouds are waited for,
with smaller batches and more patience; who is offline is noticed after `NOTICE_S` all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from drivers.ports import Clock, HttpResponse, HttpTransport, Random
from vendingd.cloud import problems
from vendingd.cloud.events import CONTENT_TYPE, MAX_RECORDS, Batch, OutRecord, pack
from vendingd.cloud.status import Backoff, Board, retry_after_s

NOTICE_S = 3.0  # an events request without an answer for so long: offline
PATIENCE_MOST_S = 30.0  # how long a request may take once the cloud was found slow

ALARM_RECEIPT = "cloud_receipt"  # an acknowledgement that cannot be true
ALARM_JOURNAL = "cloud_journal_differs"  # the cloud's head is not in this journal: it was restored


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the cloud will not take; `problem` is RFC 9457's."""

    seq: int
    problem: Mapping[str, str | int]


class Outbox(Protocol):
    """The journal as a queue of records for the cloud."""

    async def read(self, after: int, limit: int) -> list[OutRecord]:
        """The first records with seq > after, in order, at most `limit`."""
        ...

    async def acked(self, through: int, refused: Sequence[Refused]) -> None:
        """Everything up to `through` is done with; `refused` are to be set aside and alarmed.

        May be made durable later (with the next commit): what was acked may be sent again. Must not raise.
        """
        ...


class Head(msgspec.Struct, frozen=True):
    """The last record that the cloud has of this machine."""

    epoch: str
    seq: int
    hash: str


class _RefusedItem(msgspec.Struct):
    seq: int
    problem: dict[str, Any]


class _Receipt(msgspec.Struct):
    taken_through: int
    refused: list[_RefusedItem] = []
    head: Head | None = None


class Distrusted(Exception):
    """A receipt that cannot be true."""


_decode_receipt = msgspec.json.Decoder(_Receipt).decode
Alarms = Callable[[str, str], None]  # name, detail; detail "" clears it


class Uplink:
    """`acked` and `last` are the journal's cursor and its last seq at start.

    `check_head` tells whether the journal holds the cloud's last record with that hash; where it does not,
    the acknowledgement moves nothing.
    """

    def __init__(
        self,
        *,
        machine: str,
        transport: HttpTransport,
        outbox: Outbox,
        clock: Clock,
        random: Random,
        board: Board,
        alarm: Alarms,
        acked: int = 0,
        last: int = 0,
        check_head: Callable[[Head], Awaitable[bool]] | None = None,
    ) -> None:
        self._machine = machine
        self._path = f"/v1/machines/{quote(machine, safe='')}/events"
        self._transport = transport
        self._outbox = outbox
        self._clock = clock
        self._board = board
        self._alarm = alarm
        self._check_head = check_head
        self._acked = acked
        self._last = max(last, acked)
        self._wake = asyncio.Event()
        self._backoff = Backoff(clock, random, board.nudges["events"])
        self._most = MAX_RECORDS
        self._patience_s = NOTICE_S
        self._alarmed: dict[str, str] = {}  # name -> what was said last
        board.backlog(self._last - self._acked)

    @property
    def acked(self) -> int:
        return self._acked

    def committed(self, seq: int) -> None:
        """Records up to `seq` are durable."""
        self._last = max(self._last, seq)
        self._board.backlog(self._last - self._acked)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled. Raises only on a defect."""
        while True:
            self._wake.clear()  # before reading, so that what is committed meanwhile wakes
            records = await self._outbox.read(self._acked, self._most)
            if not records:
                await self._wake.wait()
                continue
            batch = pack(records, self._machine, self._clock.utc_now())
            if not batch.records:
                problem = problems.clean({"title": "The record cannot be written", "detail": batch.bad}, 422)
                await self._move(records[0].seq, [Refused(records[0].seq, problem)])
                continue
            pause_s = await self._send(batch)
            if pause_s is None:
                self._backoff.reset()
            else:
                await self._backoff.wait(pause_s)

    async def _send(self, batch: Batch) -> float | None:
        """One batch; None when it went on, else how long to wait at least."""
        began = self._clock.monotonic()
        try:
            answer = await self._post(batch.body)
        except TimeoutError as error:
            # a thin line may carry less in more time
            self._most = max(1, len(batch.records) // 2)
            self._patience_s = min(PATIENCE_MOST_S, self._patience_s * 2)
            self._board.lost("events", str(error), silent=True)
            return 0.0
        except ConnectionError as error:
            self._board.lost("events", str(error) or type(error).__name__, silent=True)
            return 0.0
        if self._clock.monotonic() - began < NOTICE_S:
            self._patience_s = NOTICE_S
        if answer.status == 200:
            return await self._receipt(batch, answer, began)
        if answer.status in (413, 422):
            if len(batch.records) == 1 and not problems.is_problem(answer):
                # A proxy's word: the cloud itself has not seen the record, so it is not set aside for it.
                self._board.lost("events", problems.in_words(answer), silent=False)
                return retry_after_s(answer)
            self._board.heard("events", began)
            await self._refused_whole(batch, answer)
            return None
        self._board.lost("events", problems.in_words(answer), silent=False)
        return retry_after_s(answer)

    async def _post(self, body: bytes) -> HttpResponse:
        was_well = self._board.well("events")
        try:
            return await self._post_once(body)
        except TimeoutError:
            raise
        except ConnectionError:
            if not was_well:
                raise
        # a kept connection may have been closed under the request; repeating is harmless by contract
        return await self._post_once(body)

    async def _post_once(self, body: bytes) -> HttpResponse:
        notice = asyncio.ensure_future(self._notice()) if self._patience_s > NOTICE_S else None
        try:
            return await self._transport.request(
                "POST",
                self._path,
                headers={
                    "Content-Type": CONTENT_TYPE,
                    "Accept": "application/json, application/problem+json",
                },
                body=body,
                timeout_s=self._patience_s,
            )
        finally:
            if notice is not None:
                notice.cancel()
                await asyncio.gather(notice, return_exceptions=True)

    async def _notice(self) -> None:
        await self._clock.sleep_until(self._clock.monotonic() + NOTICE_S)
        self._board.lost("events", f"no answer within {NOTICE_S:g} s", silent=True)

    async def _receipt(self, batch: Batch, answer: HttpResponse, began: float) -> float | None:
        try:
            through, refused, head = self._checked(batch, answer.body)
        except Distrusted as error:
            self._raise(ALARM_RECEIPT, str(error))
            self._board.lost("events", str(error), silent=False)
            return 0.0
        self._clear(ALARM_RECEIPT)
        if head is not None and self._check_head is not None:
            if not await self._check_head(head):
                why = f"the cloud has record {head.seq} of epoch {head.epoch}, which is not in this journal"
                self._raise(ALARM_JOURNAL, why)
                self._board.lost("events", why, silent=False)
                return 0.0
            self._clear(ALARM_JOURNAL)
        self._board.heard("events", began)
        if through <= self._acked:
            return 0.0  # it took nothing and says so
        await self._move(through, refused)
        self._most = min(MAX_RECORDS, self._most * 2)
        return None

    def _checked(self, batch: Batch, body: bytes) -> tuple[int, list[Refused], Head | None]:
        try:
            receipt = _decode_receipt(body)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise Distrusted(f"the acknowledgement cannot be read: {str(error)[:200]}") from None
        through, sent = receipt.taken_through, {r.seq for r in batch.records}
        if through > batch.records[-1].seq:
            raise Distrusted(f"acknowledged through {through}, sent through {batch.records[-1].seq}")
        if through < self._acked:
            raise Distrusted(f"acknowledged through {through}, had been through {self._acked}")
        seqs = [item.seq for item in receipt.refused]
        for seq in seqs:
            if seq not in sent or seq > through or seqs.count(seq) > 1:
                raise Distrusted(f"refused {seq}, which is not among the records taken through {through}")
        refused = [Refused(item.seq, problems.clean(item.problem, 422)) for item in receipt.refused]
        return through, refused, receipt.head

    async def _refused_whole(self, batch: Batch, answer: HttpResponse) -> None:
        if len(batch.records) > 1:
            self._most = len(batch.records) // 2
            return
        seq = batch.records[0].seq
        await self._move(seq, [Refused(seq, problems.from_answer(answer))])
        self._most = min(MAX_RECORDS, self._most * 2)

    async def _move(self, through: int, refused: Sequence[Refused]) -> None:
        await self._outbox.acked(through, refused)
        self._acked = through
        self._board.backlog(max(self._last, through) - through)

    def _raise(self, name: str, detail: str) -> None:
        if self._alarmed.get(name) != detail:
            self._alarmed[name] = detail
            self._alarm(name, detail)

    def _clear(self, name: str) -> None:
        if self._alarmed.pop(name, None) is not None:
            self._alarm(name, "")
