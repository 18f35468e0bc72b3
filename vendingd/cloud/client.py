"""The cloud client as one part: feed, uplink and what is known of the cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from drivers.ports import Clock, HttpTransport, Random
from vendingd.cloud.feed import Deliver, Feed
from vendingd.cloud.status import Board, CloudStatus
from vendingd.cloud.uplink import Alarms, Head, Outbox, Uplink


class CloudClient:
    """Everything toward the cloud. `transport` is closed by whoever made it."""

    def __init__(
        self,
        *,
        machine: str,
        transport: HttpTransport,
        outbox: Outbox,
        deliver: Deliver,
        clock: Clock,
        random: Random,
        on_status: Callable[[CloudStatus], None],
        alarm: Alarms,
        cursor: str = "",
        acked: int = 0,
        last: int = 0,
        poll_wait_s: int = 25,
        check_head: Callable[[Head], Awaitable[bool]] | None = None,
    ) -> None:
        self._board = Board(clock, on_status)
        self.feed = Feed(
            machine=machine,
            transport=transport,
            clock=clock,
            random=random,
            board=self._board,
            deliver=deliver,
            cursor=cursor,
            poll_wait_s=poll_wait_s,
        )
        self.uplink = Uplink(
            machine=machine,
            transport=transport,
            outbox=outbox,
            clock=clock,
            random=random,
            board=self._board,
            alarm=alarm,
            acked=acked,
            last=last,
            check_head=check_head,
        )

    @property
    def status(self) -> CloudStatus:
        return self._board.status

    def committed(self, seq: int) -> None:
        """Records up to `seq` are durable: wakes the uplink. On the loop's thread."""
        self.uplink.committed(seq)

    async def run(self) -> None:
        """Serve until cancelled. Raises only on a defect, of ours or of `deliver`."""
        tasks = [asyncio.ensure_future(self.feed.run()), asyncio.ensure_future(self.uplink.run())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
