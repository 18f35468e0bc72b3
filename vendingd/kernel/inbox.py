"""Where events wait: bounded where they may be, in the order in which they are drained.

Safety and sensors first, then outcomes and timers (never dropped), then people, then the feed. A sensor has one slot
with its newest level and, where it changed in between, the level before; a terminal one slot with its newest
credential, which is dropped when it has become too old.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from fsm.events import Event, Tick
from fsm.step import Step

CLI_LIMIT = 32
CREDENTIAL_AGE_S = 5.0


class Busy(Exception):
    """Too many requests wait already; try again shortly."""


@dataclass(slots=True)
class Item:
    """One waiting event; `reply` is told the step once it is durable."""

    event: Event
    reply: asyncio.Future[Step] | None = None
    at_mono: float = 0.0


class Inbox:
    """Not a queue to await on: the mailbox drains it when it is told that something came."""

    def __init__(self) -> None:
        self._levels: dict[str, list[Event]] = {}
        self._outcomes: deque[Item] = deque()
        self._credentials: dict[str, Item] = {}
        self._requests: deque[Item] = deque()
        self._feed: deque[Item] = deque()

    def __len__(self) -> int:
        return (
            sum(map(len, self._levels.values()))
            + len(self._outcomes)
            + len(self._credentials)
            + len(self._requests)
            + len(self._feed)
        )

    def level(self, slot: str, event: Event) -> None:
        """A sensor's newest level. What it said before stays only as the one change in between."""
        waiting = self._levels.setdefault(slot, [])
        if waiting and waiting[-1] == event:
            return
        waiting.append(event)
        if len(waiting) > 2:
            del waiting[0]

    def outcome(self, item: Item) -> None:
        self._outcomes.append(item)

    def credential(self, terminal: str, item: Item) -> None:
        """The newest at this terminal; the one that it displaces was never acted upon."""
        old = self._credentials.pop(terminal, None)
        if old is not None and old.reply is not None and not old.reply.done():
            old.reply.set_exception(Busy("a newer credential was shown"))
        self._credentials[terminal] = item

    def request(self, item: Item) -> None:
        """Raises Busy when 32 wait."""
        if len(self._requests) >= CLI_LIMIT:
            raise Busy(f"{CLI_LIMIT} requests wait already; try again in a moment")
        self._requests.append(item)

    def feed(self, item: Item) -> None:
        self._feed.append(item)

    def drain(self, now_mono: float) -> Iterator[Item]:
        """Everything that waits, most urgent first, looked at afresh after each."""
        while True:
            if self._levels:
                slot, waiting = next(iter(self._levels.items()))
                event = waiting.pop(0)
                if not waiting:
                    del self._levels[slot]
                yield Item(event)
            elif self._outcomes:
                yield self._outcomes.popleft()
            elif self._credentials:
                item = self._credentials.pop(next(iter(self._credentials)))
                if now_mono - item.at_mono <= CREDENTIAL_AGE_S:
                    yield item
                elif item.reply is not None and not item.reply.done():
                    item.reply.set_exception(Busy("shown too long ago; show it again"))
            elif self._requests:
                yield self._requests.popleft()
            elif self._feed:
                yield self._feed.popleft()
            else:
                return

    def take_ticks(self) -> bool:
        """Whether a tick waited; while nothing can be stepped they must neither pile up nor starve the watchdog."""
        kept = deque(item for item in self._outcomes if not isinstance(item.event, Tick))
        ticked = len(kept) < len(self._outcomes)
        self._outcomes = kept
        return ticked

    def drop_requests(self, why: Exception) -> None:
        """Nobody can be served now: whoever asks is told so. Outcomes stay."""
        self._levels.clear()
        for item in (*self._credentials.values(), *self._requests, *self._feed):
            if item.reply is not None and not item.reply.done():
                item.reply.set_exception(why)
        self._credentials.clear()
        self._requests.clear()
        self._feed.clear()
