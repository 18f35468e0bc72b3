"""The one order of events: step, commit, publish, act.

Events are stepped on the head world as they come, also while a commit is under way; what they made goes out together
in the next commit. Replies, screens and effects of an event wait for its own commit. A step that is not urgent (a
door closed, a sensor moved: nothing moves and nothing is promised because of it) is seen at once and rides with the
next commit, or with one of its own after a short linger, because flash wears out by commits.

After any commit error everything that was not durable is dropped with its effects, the machine is unavailable with the
reason, and the owner (recovery) reopens and reloads. Outcomes that could not be journalled stay with the executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drivers.ports import Clock
from fsm.effects import Effect
from fsm.events import ClockCorrected, Event, Restarted, Tick
from fsm.model import Aggregate, Layout, Now
from fsm.step import Step, step
from fsm.world import VOLATILE, Key, Record, World
from vendingd.journal.api import Batch, Committed, Loaded, NewRecord, Refused, StateChange, Store, StoreError
from vendingd.kernel.codec import decode, encode
from vendingd.kernel.inbox import Inbox, Item

LINGER_S = 2.0
# What is soon followed by a commit that cannot wait: these wait for it a little longer, for flash wears out by commits.
ROUTINE = frozenset({"bay.unlock_sent", "bay.opened", "bay.closed"})
ROUTINE_LINGER_S = 15.0
ACK_LINGER_S = 60.0
# Somebody asked that something be erased: what rows held before is wiped from the disk. Else once a day, where rentals
# leave the world; an opened store has wiped.
ERASURES = frozenset({"rental.forgotten"})
WIPE_EVERY_S = 86400.0
SLOW_COMMIT_S = 10.0
CORRECTED_S = 60.0  # a minute is forgiven to every pass
LATE_S = 5.0  # from a step to its commit: longer, and somebody else may stand at the terminal by now

Published = Callable[[Mapping[Key, Aggregate | None], Sequence[Record]], None]


class Unavailable(Exception):
    """Nothing can be journalled now, so nothing is promised; the reason says why."""


class Performer(Protocol):
    """Runs effects; the executor."""

    def perform(self, effect: Effect, *, late: bool = False) -> None:
        """`late`: its commit took so long that nothing is to move by it; it still has its outcome."""
        ...

    def foresee(self, effect: Effect) -> None:
        """It was decided, and will be performed once its commit is durable, unless that fails."""
        ...

    def journalled(self, event: Event) -> None:
        """An outcome that was told has become durable."""
        ...

    def tell_again(self) -> None:
        """Outcomes that were told and then lost with a failed commit are told once more."""
        ...


@dataclass(slots=True)
class _Open:
    """What the next commit will hold."""

    entries: list[tuple[Item, Step, float]] = field(default_factory=list)  # with when each was stepped; published later
    outcomes: list[Event] = field(default_factory=list)
    records: list[NewRecord] = field(default_factory=list)
    state: dict[Key, Aggregate | None] = field(default_factory=dict)
    ack: int | None = None
    refused: list[Refused] = field(default_factory=list)
    urgent: bool = False

    def __bool__(self) -> bool:
        return bool(self.records or self.state or self.entries or self.ack is not None or self.refused)


class Mailbox:
    """Owns the world. All methods are called on the loop's thread."""

    def __init__(
        self,
        *,
        layout: Layout,
        store: Store,
        clock: Clock,
        now: Callable[[], Now],
        performer: Performer,
        on_published: Published,
        on_committed: Callable[[Committed], None],
        on_failure: Callable[[StoreError], None],
        on_turn: Callable[[], None],
        offline: Callable[[], bool],
        fatal: Callable[[BaseException], None],
        linger_s: float = LINGER_S,
    ) -> None:
        self._layout = layout
        self._store = store
        self._clock = clock
        self._now = now
        self._performer = performer
        self._on_published = on_published
        self._on_committed = on_committed
        self._on_failure = on_failure
        self._on_turn = on_turn
        self._offline = offline
        self._fatal = fatal
        self._linger_s = linger_s
        self.head = World(layout)
        self.world = World(layout)  # published: what screens and the CLI see
        self.inbox = Inbox()
        self.unavailable: str | None = "starting"
        self.slow: bool = False  # a commit is taking too long
        self._open = _Open()
        self._committing: asyncio.Task[None] | None = None
        self._draining = False
        self._linger: asyncio.TimerHandle | None = None
        self._linger_until = 0.0
        self._wiped_mono = 0.0
        self.floor_utc = 0.0
        self._told_utc = 0.0  # trusted time of the newest record: the floor of another start
        self.vouched: tuple[float, float] | None = None  # by the journal, at the start: see TrustedTime

    # ------------------------------------------------ life
    def load(self, loaded: Loaded) -> list[str]:
        """Make the worlds anew from what the store holds; returns what of it this site file no longer has."""
        self.head, self.world = World(self._layout), World(self._layout)
        self._open = _Open()
        strangers = []
        changes: dict[Key, Aggregate | None] = {}
        for kind, rows in loaded.state.items():
            for key, data in rows.items():
                if kind == "bay" and key not in self._layout.bays:
                    strangers.append(key)
                    continue
                changes[kind, key] = decode(kind, key, data)
        # Assets first: the bays' index by class reads them.
        ordered = dict(sorted(changes.items(), key=lambda item: item[0][0]))
        self.head.apply(ordered)
        self.world.apply(ordered)
        self.floor_utc, self.vouched = loaded.floor_utc or self.floor_utc, loaded.vouched
        self._told_utc = self.floor_utc
        self._wiped_mono = self._clock.monotonic()
        self._failed = False
        # Before any level is heard: what was sensed in another life counts no more.
        self._step(Item(Restarted(loaded.epoch, frozenset(strangers))))
        return strangers

    def serve(self) -> None:
        """From now on people are served."""
        self.unavailable = None
        self.drain()

    async def settle(self) -> None:
        """Wait until everything that was stepped is durable (for a stop in order)."""
        self.drain()
        self._flush()
        while self._committing is not None:
            await asyncio.wait((self._committing,))
            self._flush()

    # ------------------------------------------------ in
    def post(self, event: Event) -> None:
        """An outcome, a timer, a fact of ours: never dropped."""
        self.inbox.outcome(Item(event))
        self._wake()

    def level(self, slot: str, event: Event) -> None:
        """A sensor's newest level. While the journal is away it is dropped: every level is read anew after."""
        if not self._failed:
            self.inbox.level(slot, event)
            self._wake()

    def credential(self, terminal: str, event: Event, at_mono: float) -> asyncio.Future[Step]:
        """Somebody showed something; the future tells the step once durable, or Busy, or Unavailable."""
        reply = self._reply()
        if self._refuse_unavailable(reply):
            return reply
        self.inbox.credential(terminal, Item(event, reply, at_mono))
        self._wake()
        return reply

    async def request(self, event: Event) -> Step:
        """Ask, and wait until the answer is durable. Raises Busy, Unavailable."""
        reply = self._reply()
        if not self._refuse_unavailable(reply):
            self.inbox.request(Item(event, reply))
            self._wake()
        return await reply

    async def deliver(self, event: Event) -> Step:
        """The feed's: returns once committed. Raises Unavailable."""
        reply = self._reply()
        if not self._refuse_unavailable(reply):
            self.inbox.feed(Item(event, reply))
            self._wake()
        return await reply

    def acknowledge(self, through: int, refused: Sequence[Refused]) -> None:
        """The outbox's cursor moves with the next commit, or within a minute."""
        self._open.ack = max(through, self._open.ack or 0)
        self._open.refused += refused
        self._linger_for(ACK_LINGER_S if not refused else self._linger_s)

    # ------------------------------------------------ turn
    _failed = False

    def _reply(self) -> asyncio.Future[Step]:
        reply: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(_retrieved)
        return reply

    def _refuse_unavailable(self, reply: asyncio.Future[Step]) -> bool:
        if self.unavailable is None and not self.slow:
            return False
        reply.set_exception(Unavailable(self.unavailable or "the journal does not answer"))
        return True

    def _wake(self) -> None:
        if not self._draining:
            self._draining = True
            asyncio.get_running_loop().call_soon(self._drain_safely)

    def _drain_safely(self) -> None:
        try:
            self.drain()
        except BaseException as why:  # noqa: BLE001 - whatever it is, it ends the process
            self._fatal(why)

    def drain(self) -> None:
        """Step everything that waits, then see to its commit."""
        self._draining = False
        if self._failed:  # the loop turns all the same: unavailable, not hung
            if self.inbox.take_ticks():
                self._on_turn()
            return
        turned = False
        for item in self.inbox.drain(self._clock.monotonic()):
            self._step(item)
            if isinstance(item.event, Tick):
                turned = True
                self._look_at_clock()
        if self._open.urgent:
            self._flush()
        if turned:
            self._on_turn()

    def _step(self, item: Item) -> None:
        now = self._now()
        made = step(self.head, item.event, now)
        self.head.apply(made.changes)
        open_ = self._open
        if made.durable:
            offline = self._offline()
            for record in made.records:
                open_.records.append(
                    NewRecord(record.kind, record.subject, encode(record.data), now.utc, now.mono, now.trusted, offline)
                )
            if now.trusted and made.records:
                self._told_utc = now.utc
            for key, new in made.changes.items():
                if key[0] not in VOLATILE:
                    open_.state[key] = new
            open_.outcomes.append(item.event)
        else:
            self._performer.journalled(item.event)
        if now.trusted:
            self.floor_utc = now.utc  # the last, not the highest: a clock that was once far ahead is not for ever
        must_wait = made.urgent or open_.urgent or self._committing is not None
        if must_wait and (made.durable or made.changes or item.reply is not None):
            open_.urgent = True if made.urgent else open_.urgent
            open_.entries.append((item, made, now.mono))
            for effect in made.effects:
                self._performer.foresee(effect)
        else:
            self._publish(item, made)
            if made.durable:
                self._linger_for(self._may_wait(made))

    def _look_at_clock(self) -> None:
        """What a wrong clock has journalled would be the floor of the next start, also once the clock is right."""
        now = self._now()
        if now.trusted and now.utc < self._told_utc - CORRECTED_S:
            self._step(Item(ClockCorrected(self._told_utc - now.utc)))

    def _may_wait(self, made: Step) -> float:
        """Seconds that a step may stay without a commit of its own."""
        routine = made.records and all(record.kind in ROUTINE for record in made.records)
        return max(self._linger_s, ROUTINE_LINGER_S) if routine else self._linger_s

    def _publish(self, item: Item, made: Step, stepped_mono: float | None = None) -> None:
        self.world.apply(made.changes)
        if made.changes or made.records:
            self._on_published(made.changes, made.records)
        late = stepped_mono is not None and self._clock.monotonic() - stepped_mono > LATE_S
        for effect in made.effects:
            self._performer.perform(effect, late=late)
        if item.reply is not None and not item.reply.done():
            item.reply.set_result(made)

    # ------------------------------------------------ commit
    def _linger_for(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        if self._linger is not None:
            if self._linger_until <= until:
                return
            self._linger.cancel()
        self._linger_until = until
        self._linger = asyncio.get_running_loop().call_later(seconds, self._linger_over)

    def _linger_over(self) -> None:
        self._linger = None
        self._flush()

    def _flush(self) -> None:
        if self._committing is None and self._open and not self._failed:
            if self._linger is not None:
                self._linger.cancel()
                self._linger = None
            self._committing = asyncio.get_running_loop().create_task(self._commit())

    async def _commit(self) -> None:
        try:
            while self._open:
                batch, self._open = self._open, _Open()
                await self._commit_one(batch)
                if not self._open.urgent:
                    break
        except StoreError as why:
            self._fail(why)
        except asyncio.CancelledError:
            raise
        except BaseException as why:  # noqa: BLE001 - whatever it is, it ends the process
            self._fatal(why)
        finally:
            self._committing = None
        if not self._failed:
            self._let_through()

    def _let_through(self) -> None:
        """What only waited for the commit before it is seen now; it rides with the next one."""
        entries, self._open.entries = self._open.entries, []
        for item, made, stepped in entries:
            self._publish(item, made, stepped)
        if self._open and self._linger is None:
            self._linger_for(
                min((self._may_wait(made) for _, made, _ in entries if made.durable), default=self._linger_s)
            )

    async def _commit_one(self, open_: _Open) -> None:
        watch = asyncio.get_running_loop().call_later(SLOW_COMMIT_S, self._too_slow)
        try:
            committed = None
            if open_.records or open_.state or open_.ack is not None or open_.refused:
                state = [
                    StateChange(kind, key, None if new is None else encode(new))
                    for (kind, key), new in open_.state.items()
                ]
                wipe = self._wipes(open_)
                committed = await self._store.commit(Batch(open_.records, state, open_.ack, open_.refused, wipe))
                self._wiped_mono = self._clock.monotonic() if wipe else self._wiped_mono
        except StoreError:
            self._drop(open_)
            raise
        finally:
            watch.cancel()
            self.slow = False
        for event in open_.outcomes:
            self._performer.journalled(event)
        for item, made, stepped in open_.entries:
            self._publish(item, made, stepped)
        if committed is not None:
            self._on_committed(committed)

    def _wipes(self, open_: _Open) -> bool:
        if any(record.kind in ERASURES for record in open_.records):
            return True
        leave = any(key[0] == "rental" and new is None for key, new in open_.state.items())
        return leave and self._clock.monotonic() - self._wiped_mono > WIPE_EVERY_S

    def _too_slow(self) -> None:
        self.slow = True

    # ------------------------------------------------ failure
    def _drop(self, open_: _Open) -> None:
        why = Unavailable("the journal cannot be written")
        for item, _, _ in open_.entries:
            if item.reply is not None and not item.reply.done():
                item.reply.set_exception(why)

    def _fail(self, why: StoreError) -> None:
        """Nothing that was pending happened; whoever asked is told so."""
        self._failed = True
        self.unavailable = str(why)
        self._drop(self._open)
        self._open = _Open()
        self.inbox.drop_requests(Unavailable(self.unavailable))
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._on_failure(why)

    def suspend(self, why: str) -> None:
        """There is no journal to step on: nothing is decided until `reopened`."""
        self._failed = True
        self.unavailable = why

    def reopened(self, loaded: Loaded) -> list[str]:
        """The store holds again: start from what it has; the sensors are read anew by the caller."""
        self.unavailable = "starting"
        strangers = self.load(loaded)
        self._performer.tell_again()
        self.drain()
        return strangers


def _retrieved(reply: asyncio.Future[Step]) -> None:
    """Whoever shows a credential need not wait for its answer."""
    if not reply.cancelled():
        reply.exception()
