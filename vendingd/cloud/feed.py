"""Instructions down: a long poll with a cursor that moves only with what was committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

import msgspec

from drivers.ports import Clock, HttpResponse, HttpTransport, Random
from vendingd.cloud import problems
from vendingd.cloud.instructions import Instruction
from vendingd.cloud.parse import parse
from vendingd.cloud.status import Backoff, Board, retry_after_s

MOST_PER_DELIVERY = 64
GRACE_S = 5.0  # beyond the poll's wait: then nobody answers
SOONEST_EMPTY_S = 0.5  # an empty answer that comes earlier was not waited for

Deliver = Callable[[str, Sequence[Instruction], bool], Awaitable[None]]
"""`await deliver(cursor, instructions, snapshot)` returns once they are committed together with the cursor.

A longer answer comes in parts: all but the last carry the old cursor, so that after a crash it comes again. A
snapshot is whole with the part whose cursor is not empty.
"""


class _Answer(msgspec.Struct):
    cursor: str
    instructions: list[msgspec.Raw]
    snapshot: bool = False


_decode = msgspec.json.Decoder(_Answer).decode


class Feed:
    """`cursor` is the stored one, "" for none. `poll_wait_s` is whole seconds, 1 to 60."""

    def __init__(
        self,
        *,
        machine: str,
        transport: HttpTransport,
        clock: Clock,
        random: Random,
        board: Board,
        deliver: Deliver,
        cursor: str = "",
        poll_wait_s: int = 25,
    ) -> None:
        self._path = f"/v1/machines/{quote(machine, safe='')}/feed"
        self._transport = transport
        self._clock = clock
        self._board = board
        self._deliver = deliver
        self._cursor = cursor
        self._wait_s = max(1, min(poll_wait_s, 60))
        self._backoff = Backoff(clock, random, board.nudges["feed"])

    @property
    def cursor(self) -> str:
        return self._cursor

    async def run(self) -> None:
        """Poll until cancelled. Raises what `deliver` raises."""
        while True:
            pause_s = await self._poll()
            if pause_s is None:
                self._backoff.reset()
            else:
                await self._backoff.wait(pause_s)

    async def _poll(self) -> float | None:
        # not waiting tells at once whether the cloud is there
        wait_s = self._wait_s if self._board.well("feed") else 0
        began = self._clock.monotonic()
        try:
            answer = await self._transport.request(
                "GET",
                f"{self._path}?after={quote(self._cursor, safe='')}&wait={wait_s}",
                headers={"Accept": "application/json, application/problem+json"},
                body=None,
                timeout_s=wait_s + GRACE_S,
            )
        except (TimeoutError, ConnectionError) as error:
            self._board.lost("feed", str(error) or type(error).__name__, silent=True)
            return 0.0
        if answer.status == 410 and self._cursor:
            self._board.heard("feed", began)
            self._cursor = ""  # in memory only: the stored one stays until the snapshot is committed
            return None
        if answer.status != 200:
            self._board.lost("feed", problems.in_words(answer), silent=False)
            return retry_after_s(answer)
        return await self._take(answer, wait_s, began)

    async def _take(self, answer: HttpResponse, wait_s: int, began: float) -> float | None:
        try:
            feed = self._read(answer.body)
        except ValueError as error:
            self._board.lost("feed", f"the answer cannot be read: {str(error)[:200]}", silent=False)
            return 0.0
        self._board.heard("feed", began)
        early = wait_s > 0 and self._clock.monotonic() - began < SOONEST_EMPTY_S
        if feed.cursor == self._cursor:
            return 0.0 if early else None
        parts = [parse(raw, f"{feed.cursor}#{n}"[-128:]) for n, raw in enumerate(feed.instructions, start=1)]
        while len(parts) > MOST_PER_DELIVERY:
            await self._deliver(self._cursor, parts[:MOST_PER_DELIVERY], feed.snapshot)
            del parts[:MOST_PER_DELIVERY]
        await self._deliver(feed.cursor, parts, feed.snapshot)
        self._cursor = feed.cursor
        return 0.0 if early and not feed.instructions else None

    def _read(self, body: bytes) -> _Answer:
        try:
            feed = _decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None
        if not 1 <= len(feed.cursor) <= 512 or not all("!" <= c <= "~" for c in feed.cursor):
            raise ValueError("its cursor is none")
        if feed.cursor == self._cursor and feed.instructions:
            raise ValueError("its cursor did not move")
        if not self._cursor and not feed.snapshot:
            raise ValueError("a snapshot was asked for and is none")
        return feed
