"""A device of lock boards on one serial bus: polling, unlocking, and what is known of each lock.

One request is in flight at a time. An unlock goes out as soon as the exchange in flight has ended, before any
poll. What an unlock's reply says is not believed (on some boards it equals the command, so that an adapter
with local echo would look like an answer): the board is asked for its states right after.

Ours, for want of vendors' figures: the constants below.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from drivers.link import Link, Statuses, WireLostUnwritten, noteworthy, together
from drivers.ports import (
    ByteWire,
    LevelRead,
    Outcome,
    Sense,
    Sent,
    SerialSettings,
    Sink,
    Surroundings,
    WireLost,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

MISSES = 3  # unanswered queries after which a board is down
PROBE_S = 2.0  # a board that is down is asked this often: each question costs the others a reply time-out
BUSY_AFTER_UNLOCK_S = 15.0  # a board is polled at the busy rate for this long after an unlock
PULSE_GRACE_S = 2.0  # a board may be deaf during its pulse: misses do not count for this long after an unlock
SILENCE_S = 0.02  # left to a board after a command that it does not answer
WRITE_LIMIT_S = 2.0  # a bus that does not take a frame within this time is reopened
EARLY_S = 0.0005  # a poll this close is due now
EXPECT_S = 0.05  # polls wait this long for an unlock that was announced; a commit takes a few ms


# ---------------------------------------------------------------- what a family of boards must say
@dataclass(frozen=True, slots=True)
class States:
    """The states of a board's locks, lock 1 first, or of the one lock `only`."""

    address: int
    bits: Sequence[bool]
    only: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A board answered an unlock. `as_sent`: with the very bytes of the command."""

    address: int
    lock: int
    as_sent: bool


class Family(Protocol):
    """A codec in the bus's terms. Locks count from 1."""

    answers_unlock: bool

    def query(self, address: int) -> bytes: ...

    def unlock(self, address: int, lock: int) -> bytes: ...

    def feed(self, data: bytes) -> list[States | Answered]: ...

    def reset(self) -> None: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def echoes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BusPlan:
    """Everything about a bus that its options say."""

    settings: SerialSettings
    addresses: Sequence[int]
    locks: int  # on each board
    sense: Sense  # DOOR or BOLT: what the boards' feedback speaks of
    poll_hz: float
    poll_busy_hz: float
    reply_timeout_s: float
    closed: Callable[[int, bool], bool]  # (channel, status bit) -> closed, or locked


# ---------------------------------------------------------------- state
@dataclass(slots=True)
class _Board:
    address: int
    first: int  # its lowest channel
    values: list[bool | None]
    told: bool = False  # its levels were reported at least once, be it as None
    answers: bool | None = None  # None: not known yet
    bits: Sequence[bool] | None = None  # the last full reading, while `values` says nothing newer
    missed: int = 0
    polled_mono: float = float("-inf")
    unlocked_mono: float = float("-inf")
    urgent: bool = False
    sampling: list[asyncio.Future[None]] = field(default_factory=list)


@dataclass(slots=True)
class _Request:
    board: _Board
    lock: int
    not_after_mono: float
    done: asyncio.Future[Outcome]

    def settle(self, sent: Sent, detail: str = "") -> None:
        if not self.done.done():
            self.done.set_result(Outcome(sent, detail))


class LockBus:
    """Device, Lock, Sampling and Attention over one bus. Channels count on from board to board, from 1."""

    def __init__(self, name: str, plan: BusPlan, family: Family, around: Surroundings) -> None:
        self.name = name
        self._plan = plan
        self._family = family
        self._clock = around.clock
        self._link = Link(name, around.serial(plan.settings), around.clock, around.random)
        self._boards = [
            _Board(address, 1 + index * plan.locks, [None] * plan.locks) for index, address in enumerate(plan.addresses)
        ]
        self._by_address = {board.address: board for board in self._boards}
        self._statuses = Statuses(name, {str(b.address): range(b.first, b.first + plan.locks) for b in self._boards})
        self._sink: Sink | None = None
        self._unlocks: deque[_Request] = deque()
        self._asked = False  # something to do has come since the last look
        self._pausing: asyncio.Future[None] | None = None
        self._busy = False
        self._expect_until_mono = float("-inf")
        self._awaited: tuple[int, int | None, asyncio.Future[bool]] | None = None  # address, lock or None: states
        self._corrupt = 0

    # ------------------------------------------------------------ roles
    async def run(self, sink: Sink) -> None:
        self._sink = sink
        await self._link.run(self._serve, self._down)

    async def unlock(self, channel: int, *, not_after_mono: float) -> Outcome:
        """SENT says that every byte was handed over; a link that is down gives NOT_SENT at once."""
        index, lock = divmod(channel - 1, self._plan.locks)
        if not 0 <= index < len(self._boards):
            return Outcome(Sent.NOT_SENT, f"{self.name} has no channel {channel}")
        if not self._link.up:
            return Outcome(Sent.NOT_SENT, f"port {self._plan.settings.port} is down")
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._unlocks.append(_Request(self._boards[index], lock + 1, not_after_mono, done))
        self._wake()
        return await done  # cancelled: the request is found done and passed over, unless its bytes are leaving

    async def sample(self) -> None:
        """Ask every board afresh and report every level; a board that does not answer reports None.

        Waits for the first attempt to open the port, so it needs `run` under way.
        """
        await self._link.tried.wait()
        if not self._link.up:
            for board in self._boards:
                self._set(board, [None] * self._plan.locks, every=True)
            return
        asked: list[asyncio.Future[None]] = []
        for board in self._boards:
            asked.append(asyncio.get_running_loop().create_future())
            board.sampling.append(asked[-1])
            board.urgent = True
        self._wake()
        await asyncio.gather(*asked)

    def attend(self, busy: bool) -> None:
        """Poll all boards at the busy rate while somebody is there."""
        self._busy = busy
        self._wake()

    def expect(self) -> None:
        """Begin no poll for a moment: an exchange takes longer than the commit before an unlock."""
        self._expect_until_mono = self._clock.monotonic() + EXPECT_S

    # ------------------------------------------------------------ the open link
    async def _serve(self, wire: ByteWire) -> None:
        self._family.reset()
        try:
            await together(self._listen(wire), self._work(wire))
        finally:
            self._awaited = None
            while self._unlocks:
                self._unlocks.popleft().settle(Sent.NOT_SENT, f"port {self._plan.settings.port} went down")

    def _down(self, detail: str) -> None:
        self._tell(False, detail)
        for board in self._boards:
            board.answers = None
            board.missed = 0
            board.urgent = False
            board.polled_mono = float("-inf")
            self._set(board, [None] * self._plan.locks, every=bool(board.sampling))
            _resolve_all(board.sampling)
            board.sampling = []

    async def _work(self, wire: ByteWire) -> None:
        while True:
            self._asked = False
            if self._unlocks:
                await self._unlock(wire, self._unlocks.popleft())
                continue
            now = self._clock.monotonic()
            due, board = min(((self._due(b, now), b) for b in self._boards), key=lambda pair: pair[0])
            due = max(due, self._expect_until_mono)
            if due <= now + EARLY_S:
                await self._poll(wire, board)
            else:
                await self._pause(due - now)

    def _wake(self) -> None:
        self._asked = True
        if self._pausing is not None:
            _settle(self._pausing, None)

    async def _pause(self, seconds: float) -> None:
        """Until something is asked for, at most this long."""
        if self._asked:
            return
        self._pausing = asyncio.get_running_loop().create_future()
        try:
            await _within(seconds, self._pausing, None)
        finally:
            self._pausing = None

    def _due(self, board: _Board, now: float) -> float:
        if board.urgent:
            return float("-inf")
        if board.answers is False:
            return board.polled_mono + PROBE_S
        hurry = self._busy or board.missed > 0 or now < board.unlocked_mono + BUSY_AFTER_UNLOCK_S
        return board.polled_mono + 1 / (self._plan.poll_busy_hz if hurry else self._plan.poll_hz)

    # ------------------------------------------------------------ exchanges
    async def _unlock(self, wire: ByteWire, request: _Request) -> None:
        board = request.board
        if request.done.done():
            return
        frame = self._family.unlock(board.address, request.lock)
        spare_s = request.not_after_mono - self._clock.monotonic()
        if spare_s < 0:
            request.settle(Sent.NOT_SENT, "expired before the bus was free")
            return
        try:
            await self._write(wire, frame, min(spare_s, WRITE_LIMIT_S))
        except WireLostUnwritten as exc:
            request.settle(Sent.NOT_SENT, str(exc))
            raise
        except WireLost as exc:
            request.settle(Sent.UNKNOWN, str(exc))
            raise
        except asyncio.CancelledError:
            request.settle(Sent.UNKNOWN, "stopped while its bytes were leaving")
            raise
        request.settle(Sent.SENT)
        self._expect_until_mono = float("-inf")
        board.unlocked_mono = self._clock.monotonic()
        board.urgent = True
        if self._family.answers_unlock:
            await self._answer(board.address, request.lock)
        else:
            leaving_s = len(frame) * 10 / self._plan.settings.baud
            await self._clock.sleep_until(board.unlocked_mono + leaving_s + SILENCE_S)

    async def _poll(self, wire: ByteWire, board: _Board) -> None:
        asked, board.sampling = board.sampling, []
        board.urgent = False
        board.polled_mono = self._clock.monotonic()
        try:
            await self._write(wire, self._family.query(board.address), WRITE_LIMIT_S)
            if await self._answer(board.address, None):
                if asked:
                    self._set(board, board.values, every=True)
                    _resolve_all(asked)
                    asked = []
                return
            self._miss(board)
            if board.answers is False and asked:
                self._set(board, [None] * self._plan.locks, every=True)
                _resolve_all(asked)
                asked = []
            board.urgent = bool(asked)
        finally:
            board.sampling = asked + board.sampling  # not answered yet: with the next poll, or when the link is down

    async def _write(self, wire: ByteWire, frame: bytes, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await wire.write(frame)
        except TimeoutError as exc:
            raise WireLost(f"port {self._plan.settings.port} takes no bytes: check the adapter") from exc

    async def _answer(self, address: int, lock: int | None) -> bool:
        """Wait for the reply to the request that has just left; False where none came in time."""
        reply: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._awaited = (address, lock, reply)
        try:
            answered = await _within(self._plan.reply_timeout_s, reply, False)
        finally:
            self._awaited = None
        if not answered:
            self._family.reset()  # half a frame that nothing will complete
        return answered

    # ------------------------------------------------------------ what arrives
    async def _listen(self, wire: ByteWire) -> None:
        while True:
            for frame in self._family.feed(await wire.read()):
                self._take(frame)
            if self._family.corrupt > self._corrupt:
                self._corrupt = self._family.corrupt
                if noteworthy(self._corrupt):
                    log.warning("%s: %d broken frames so far: check wiring and baud", self.name, self._corrupt)

    def _take(self, frame: States | Answered) -> None:
        board = self._by_address.get(frame.address)
        if board is None:
            log.debug("%s: a frame from board %d, which the site does not name", self.name, frame.address)
            return
        lock = None
        if isinstance(frame, Answered):
            lock = frame.lock
            if frame.as_sent and self._family.echoes:
                return  # an adapter that echoes: this is our own command; the answer follows or is not needed
        elif frame.only is not None:
            self._pushed(board, frame.only, bool(frame.bits[0]))
            return
        else:
            self._read(board, frame.bits)
        if self._awaited is not None and self._awaited[:2] == (board.address, lock):
            _settle(self._awaited[2], True)

    def _pushed(self, board: _Board, lock: int, bit: bool) -> None:
        if lock > self._plan.locks or not board.answers:
            return  # before the first full reading the others' levels are unknown, which is told with them
        values = list(board.values)
        values[lock - 1] = self._level(board.first + lock - 1, bit)
        self._set(board, values)

    def _read(self, board: _Board, bits: Sequence[bool]) -> None:
        board.missed = 0
        if not board.answers:
            board.answers = True
            self._tell(True, "", board)
        if bits == board.bits:
            return  # nothing moved
        self._set(board, [self._level(board.first + i, bits[i]) for i in range(self._plan.locks)])
        board.bits = bits

    def _miss(self, board: _Board) -> None:
        if self._clock.monotonic() < board.unlocked_mono + PULSE_GRACE_S:
            return
        board.missed += 1
        if board.missed >= MISSES and board.answers is not False:
            board.answers = False
            port = self._plan.settings.port
            detail = f"board {board.address} on {port} does not answer: check power, A/B, address switch and baud"
            log.warning("%s: %s", self.name, detail)
            self._tell(False, detail, board)
            self._set(board, [None] * self._plan.locks, every=True)

    def _level(self, channel: int, bit: bool) -> bool:
        closed = self._plan.closed(channel, bit)
        return closed if self._plan.sense is Sense.BOLT else not closed

    # ------------------------------------------------------------ reports
    def _set(self, board: _Board, values: Sequence[bool | None], *, every: bool = False) -> None:
        """Take over a board's levels and report those that changed, or every one."""
        before, board.values, board.bits = board.values, list(values), None
        if self._sink is None:
            return
        every = every or not board.told
        board.told = True
        for index, value in enumerate(board.values):
            if every or value is not before[index]:
                self._sink(LevelRead(self.name, self._plan.sense, board.first + index, value))

    def _tell(self, up: bool, detail: str, *boards: _Board) -> None:
        if self._sink is not None:
            self._statuses.tell(self._sink, up, detail, *(str(board.address) for board in boards))


async def _within(seconds: float, future: asyncio.Future[T], otherwise: T) -> T:
    """The future's result, or `otherwise` once this time is over. Every poll waits so: `asyncio.timeout` costs more."""
    timer = asyncio.get_running_loop().call_later(seconds, _settle, future, otherwise)
    try:
        return await future
    finally:
        timer.cancel()


def _settle(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _resolve_all(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        _settle(future, None)
