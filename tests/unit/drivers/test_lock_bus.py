"""The bus of lock boards in simulated time, against boards written from their protocol's description."""

import asyncio
from functools import reduce
from itertools import pairwise
from operator import xor

import pytest

from drivers.locks import bus
from drivers.locks.kerong_cu48 import DRIVER as CU48
from drivers.locks.lock_8a import DRIVER as LOCK_8A
from drivers.memory import MemoryPeer
from drivers.ports import Attention, Expectant, LevelRead, Lock, Outcome, Sampling, Sense, Sent
from tests.unit.drivers.drivers_virtual import Bench, start, virtually

OPEN_1 = bytes.fromhex("8A 01 01 11 9B")
OPEN_2 = bytes.fromhex("8A 01 02 11 98")
QUERY_1 = bytes.fromhex("80 01 00 33 B2")
FOREVER = 1e9
NEAR_S = 1e-6  # of sums of floats


def with_bcc(*body: int) -> bytes:
    return bytes([*body, reduce(xor, body)])


class Boards8A:
    """Boards of eight locks on one memory port. A lock's state is 11 while closed."""

    def __init__(self, bench: Bench, *addresses: int, port: str = "bus") -> None:
        self.peer: MemoryPeer = bench.ports.peer(port)
        self.peer.on_bytes = self.take
        self.closed = {address: [True] * 8 for address in addresses}
        self.deaf: set[int] = set()
        self.delay_s = 0.010
        self.echo = False
        self.opened_state = 0x00
        self.seen: list[tuple[float, bytes]] = []

    def take(self, frame: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.seen.append((loop.time(), frame))
        assert len(frame) == 5 and reduce(xor, frame) == 0, "the device writes whole frames"
        if self.echo:
            self.peer.send(frame)
        if frame[1] in self.closed and frame[1] not in self.deaf:
            loop.call_later(self.delay_s, self.answer, frame)

    def answer(self, frame: bytes) -> None:
        address, lock = frame[1], frame[2]
        if frame[0] == 0x8A:
            self.closed[address][lock - 1] = False
            self.peer.send(with_bcc(0x8A, address, lock, self.opened_state))
        else:
            bits = sum(closed << n for n, closed in enumerate(self.closed[address]))
            self.peer.send(with_bcc(0x80, address, 0, 0, bits, 0x33))

    def frames(self, head: int) -> list[bytes]:
        return [frame for _, frame in self.seen if frame[0] == head]


def device(bench: Bench, **options: object) -> bus.LockBus:
    made = LOCK_8A.make("locks", LOCK_8A.options(port="bus", **options), bench.around)
    assert isinstance(made, bus.LockBus)
    assert isinstance(made, Lock) and isinstance(made, Sampling) and isinstance(made, Attention)
    return made


@virtually
async def test_levels_are_told_once_and_then_on_change(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    start(bench, device(bench).run)
    await bench.passes(5)
    assert bench.reports[1:] == [LevelRead("locks", Sense.DOOR, n, False) for n in range(1, 9)]
    status = bench.status()
    assert status is not None and status.up
    boards.closed[1][4] = False
    await bench.passes(1)
    assert bench.reports[9:] == [LevelRead("locks", Sense.DOOR, 5, True)]


@virtually
async def test_bolt_feedback_and_inverted_channels(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    boards.closed[1][2] = False
    start(bench, device(bench, feedback="bolt", closed_is="00", inverted=[1, 3]).run)
    await bench.passes(1)
    # closed_is 00 turns every 11 into "not locked"; 1 and 3 are turned back
    assert bench.levels() == {n: n == 1 for n in range(1, 9)}
    assert all(report.sense is Sense.BOLT for report in bench.of(LevelRead))


@virtually
async def test_an_unlock_goes_before_polls_and_is_confirmed_by_a_query(bench: Bench) -> None:
    boards = Boards8A(bench, 1, 2)
    locks = device(bench, addresses=[1, 2])
    start(bench, locks.run)
    await bench.passes(1)
    boards.seen.clear()
    while not boards.seen:  # a poll is in flight
        await bench.passes(0.001)
    asked_mono = bench.now()
    outcome = await locks.unlock(10, not_after_mono=bench.now() + 5)
    assert outcome == Outcome(Sent.SENT)
    assert bench.now() - asked_mono <= boards.delay_s, "it waits for the exchange in flight and no longer"
    await bench.passes(0.1)
    assert [frame for _, frame in boards.seen][1:3] == [
        with_bcc(0x8A, 2, 2, 0x11),
        with_bcc(0x80, 2, 0, 0x33),
    ]
    assert bench.levels()[10] is True


@virtually
async def test_no_poll_begins_while_an_unlock_is_expected(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    boards.delay_s = 0.030
    locks = device(bench)
    assert isinstance(locks, Expectant)
    start(bench, locks.run)
    await bench.passes(2.0)
    last = boards.seen[-1][0]
    await bench.passes(last + 0.5 - 0.005 - asyncio.get_running_loop().time())  # the next poll is due in 5 ms
    locks.expect()
    await bench.passes(0.010)  # the commit
    assert boards.seen[-1][0] == last
    assert await locks.unlock(1, not_after_mono=FOREVER) == Outcome(Sent.SENT)
    assert boards.seen[-1] == (pytest.approx(last + 0.505), OPEN_1), "at once, with no exchange before it"
    await bench.passes(0.1)
    assert boards.frames(0x80)[-1] == QUERY_1 and boards.seen[-1][0] < last + 0.6, "then it is confirmed"


@virtually
async def test_an_unlock_that_was_expected_and_never_came_stops_no_polling(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(2.0)
    before = len(boards.seen)
    locks.expect()
    await bench.passes(2.0)
    assert len(boards.seen) - before == 4


@virtually
async def test_sent_before_any_answer(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(0.3)
    before = bench.now()
    boards.deaf.add(1)
    assert (await locks.unlock(1, not_after_mono=FOREVER)).sent is Sent.SENT
    assert bench.now() == before


@virtually
async def test_one_request_in_flight(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    boards.delay_s = 0.05
    locks = device(bench, poll_hz=20, poll_busy_hz=50)
    start(bench, locks.run)
    await bench.passes(0.3)
    await asyncio.gather(*(locks.unlock(n, not_after_mono=FOREVER) for n in (1, 2, 3, 4)))
    await bench.passes(1)
    times = [at for at, _ in boards.seen]
    assert all(later - earlier > boards.delay_s - NEAR_S for earlier, later in pairwise(times))
    assert [frame[2] for frame in boards.frames(0x8A)] == [1, 2, 3, 4]


@virtually
async def test_an_unlock_that_waited_too_long_is_not_sent(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench, reply_timeout_ms=500)
    start(bench, locks.run)
    await bench.passes(0.2)
    boards.deaf.add(1)
    boards.seen.clear()
    while not boards.seen:  # an exchange that will take all of its time-out
        await bench.passes(0.01)
    outcome = await locks.unlock(1, not_after_mono=bench.now() + 0.3)
    assert outcome.sent is Sent.NOT_SENT and "expired" in outcome.detail
    await bench.passes(20)
    assert boards.frames(0x8A) == []


@pytest.mark.parametrize("channel", [-1, 0, 9, 10**9])
def test_a_channel_outside_writes_nothing(channel: int) -> None:
    async def body(bench: Bench) -> None:
        boards = Boards8A(bench, 1)
        locks = device(bench)
        start(bench, locks.run)
        await bench.passes(0.3)
        outcome = await locks.unlock(channel, not_after_mono=FOREVER)
        assert outcome.sent is Sent.NOT_SENT and str(channel) in outcome.detail
        await bench.passes(1)
        assert boards.frames(0x8A) == []

    virtually(body)()


@virtually
async def test_a_link_that_is_down_gives_not_sent_at_once_and_nothing_fires_later(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(0.3)
    boards.peer.unplug()
    await bench.passes(0.1)
    before = bench.now()
    outcome = await locks.unlock(1, not_after_mono=FOREVER)
    assert (outcome.sent, bench.now()) == (Sent.NOT_SENT, before)
    boards.peer.plug()
    await bench.passes(30)
    status = bench.status()
    assert status is not None and status.up
    assert boards.frames(0x8A) == []


@virtually
async def test_an_unlock_behind_an_exchange_that_ends_with_the_cable_is_not_sent(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(0.3)
    boards.deaf.add(1)
    boards.seen.clear()
    while not boards.seen:
        await bench.passes(0.01)
    waiting = asyncio.create_task(locks.unlock(1, not_after_mono=FOREVER))
    await bench.passes(0.01)
    boards.peer.unplug()
    assert (await waiting).sent is Sent.NOT_SENT
    boards.deaf.clear()
    boards.peer.plug()
    await bench.passes(30)
    assert boards.frames(0x8A) == []


@pytest.mark.parametrize(("room", "expected"), [(0, Sent.NOT_SENT), (1, Sent.UNKNOWN), (4, Sent.UNKNOWN)])
def test_a_write_that_fails(room: int, expected: Sent) -> None:
    async def body(bench: Bench) -> None:
        boards = Boards8A(bench, 1)
        locks = device(bench)
        start(bench, locks.run)
        await bench.passes(0.3)
        boards.peer.on_bytes = None
        boards.peer.limit(room, cut=True)
        assert (await locks.unlock(1, not_after_mono=FOREVER)).sent is expected
        boards.peer.on_bytes = boards.take
        boards.peer.limit(None)
        await bench.passes(30)
        assert boards.frames(0x8A) == [], "nothing is sent again"
        status = bench.status()
        assert status is not None and status.up

    virtually(body)()


@virtually
async def test_a_port_that_takes_no_bytes_is_unknown_by_its_last_moment(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(0.3)
    boards.peer.on_bytes = None
    boards.peer.limit(2)
    before = bench.now()
    assert (await locks.unlock(1, not_after_mono=before + 0.5)).sent is Sent.UNKNOWN
    assert bench.now() <= before + 0.5


@virtually
async def test_a_cancelled_unlock_that_still_waits_never_leaves(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(0.3)
    boards.seen.clear()
    while not boards.seen:
        await bench.passes(0.001)
    waiting = asyncio.create_task(locks.unlock(1, not_after_mono=FOREVER))
    await bench.passes(0)
    waiting.cancel()
    await bench.passes(5)
    assert waiting.cancelled()
    assert boards.frames(0x8A) == []


@virtually
async def test_stopping_settles_what_waits(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    running = start(bench, locks.run)
    await bench.passes(0.3)
    boards.deaf.add(1)
    boards.seen.clear()
    while not boards.seen:
        await bench.passes(0.01)
    waiting = asyncio.create_task(locks.unlock(1, not_after_mono=FOREVER))
    await bench.passes(0)
    running.cancel()
    assert (await waiting).sent is Sent.NOT_SENT
    assert (await locks.unlock(1, not_after_mono=FOREVER)).sent is Sent.NOT_SENT


@virtually
async def test_a_silent_board_goes_down_and_comes_back(bench: Bench) -> None:
    boards = Boards8A(bench, 1, 2)
    start(bench, device(bench, addresses=[1, 2]).run)
    await bench.passes(1)
    boards.deaf.add(2)
    await bench.passes(3)
    assert bench.levels() == {n: False if n <= 8 else None for n in range(1, 17)}
    device_status, first, second = bench.status(), bench.status(1), bench.status(9)
    assert device_status is not None and device_status.up and "board 2" in device_status.detail
    assert first is not None and first.up
    assert second is not None and not second.up and "check power" in second.detail
    boards.seen.clear()
    await bench.passes(20)
    assert len([frame for _, frame in boards.seen if frame[1] == 2]) <= 11, "a dead board is asked rarely"
    boards.deaf.clear()
    await bench.passes(3)
    assert bench.levels() == dict.fromkeys(range(1, 17), False)
    second = bench.status(9)
    assert second is not None and second.up


@virtually
async def test_the_only_board_silent_is_the_device_down(bench: Bench) -> None:
    Boards8A(bench)
    start(bench, device(bench).run)
    await bench.passes(5)
    status = bench.status()
    assert status is not None and not status.up and "board 1 on bus does not answer" in status.detail
    assert bench.levels() == dict.fromkeys(range(1, 9), None)
    assert len(bench.reports) == 9, "each is told once"


@virtually
async def test_a_board_may_be_deaf_while_it_pulses(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(0.3)
    boards.deaf.add(1)
    await locks.unlock(1, not_after_mono=FOREVER)
    await bench.passes(1.5)
    boards.deaf.clear()
    await bench.passes(1)
    assert all(report.value is not None for report in bench.of(LevelRead))


@virtually
async def test_a_missing_port_is_told_with_levels_of_none(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    boards.peer.unplug()
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(60)
    status = bench.status()
    assert status is not None and not status.up and "is not there" in status.detail
    assert bench.levels() == dict.fromkeys(range(1, 9), None)
    assert len(bench.reports) == 9, "each is told once"


@virtually
async def test_polling_follows_attention_and_unlocks(bench: Bench) -> None:
    boards = Boards8A(bench, 1, 2)
    locks = device(bench, addresses=[1, 2])
    start(bench, locks.run)

    async def rates(seconds: float) -> tuple[float, float]:
        boards.seen.clear()
        await bench.passes(seconds)
        asked = [frame[1] for frame in boards.frames(0x80)]
        return asked.count(1) / seconds, asked.count(2) / seconds

    await bench.passes(1)
    assert await rates(10) == pytest.approx((2, 2), abs=0.2)
    locks.attend(True)
    assert await rates(10) == pytest.approx((10, 10), abs=1)
    locks.attend(False)
    await bench.passes(1)
    assert await rates(10) == pytest.approx((2, 2), abs=0.2)
    await locks.unlock(9, not_after_mono=FOREVER)
    assert await rates(10) == pytest.approx((2, 10), abs=1)
    await bench.passes(10)
    assert await rates(10) == pytest.approx((2, 2), abs=0.2)


@virtually
async def test_sample_reports_everything_afresh(bench: Bench) -> None:
    boards = Boards8A(bench, 1, 2)
    locks = device(bench, addresses=[1, 2], poll_hz=0.01)
    start(bench, locks.run)
    await bench.passes(1)
    bench.reports.clear()
    boards.closed[2][7] = False
    await locks.sample()
    assert bench.levels() == {n: n == 16 for n in range(1, 17)}


@virtually
async def test_sample_at_start_waits_for_the_first_readings(bench: Bench) -> None:
    Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await locks.sample()
    assert bench.levels() == dict.fromkeys(range(1, 9), False)


@virtually
async def test_sample_of_what_does_not_answer_is_none(bench: Bench) -> None:
    boards = Boards8A(bench, 1, 2)
    boards.deaf.add(2)
    locks = device(bench, addresses=[1, 2])
    start(bench, locks.run)
    await locks.sample()
    assert bench.levels() == {n: False if n <= 8 else None for n in range(1, 17)}
    boards.peer.unplug()
    await bench.passes(0.1)
    bench.reports.clear()
    await locks.sample()
    assert bench.levels() == dict.fromkeys(range(1, 17), None)


@virtually
async def test_sample_ends_when_the_link_goes(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(1)
    boards.deaf.add(1)
    bench.reports.clear()
    sampling = asyncio.create_task(locks.sample())
    await bench.passes(0.05)
    boards.peer.unplug()
    await sampling
    assert bench.levels() == dict.fromkeys(range(1, 9), None)


@virtually
async def test_a_local_echo_confirms_nothing(bench: Bench) -> None:
    """With an adapter that echoes, the command itself must not end the exchange."""
    boards = Boards8A(bench, 1)
    boards.echo = True
    boards.delay_s = 0.05
    locks = device(bench)
    start(bench, locks.run)
    await bench.passes(1)
    assert (await locks.unlock(1, not_after_mono=FOREVER)).sent is Sent.SENT
    sent_mono = bench.now()
    boards.seen.clear()
    while not boards.seen:
        await bench.passes(0.001)
    assert boards.seen[0][0] - sent_mono > boards.delay_s - NEAR_S
    await bench.passes(1)
    assert bench.levels()[1] is True


@virtually
async def test_without_echo_an_answer_as_sent_is_the_answer(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    boards.opened_state = 0x11
    locks = device(bench, reply_timeout_ms=2000)
    start(bench, locks.run)
    await bench.passes(0.3)
    await locks.unlock(2, not_after_mono=FOREVER)
    await bench.passes(0.1)
    assert [frame for _, frame in boards.seen][-2:] == [OPEN_2, QUERY_1]


@virtually
async def test_pushed_frames_are_levels(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    start(bench, device(bench, poll_hz=0.01).run)
    await bench.passes(1)
    for head in (0x81, 0x82):
        bench.reports.clear()
        boards.peer.send(with_bcc(head, 1, 3, 0x00) + with_bcc(head, 1, 9, 0x00) + with_bcc(head, 2, 1, 0x00))
        await bench.passes(0.1)
        assert bench.reports == [LevelRead("locks", Sense.DOOR, 3, True)]
        boards.peer.send(with_bcc(head, 1, 3, 0x11))
        await bench.passes(0.1)
        assert bench.levels() == {3: False}


@virtually
async def test_broken_and_late_replies(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    boards.peer.on_bytes = None
    start(bench, device(bench).run)
    await boards.peer.read()
    boards.peer.send(bytes.fromhex("80 01 00 00 FF 33 00"))  # wrong checksum
    await bench.passes(0.15)
    assert bench.reports == []
    assert await boards.peer.read() == QUERY_1
    boards.peer.send(bytes.fromhex("80 01 00"))  # half a reply, never completed
    assert await boards.peer.read() == QUERY_1
    boards.peer.send(with_bcc(0x80, 1, 0, 0, 0xFF, 0x33))
    await bench.passes(0.01)
    assert bench.levels() == dict.fromkeys(range(1, 9), False)


@virtually
async def test_a_push_before_the_first_full_reading_is_not_told(bench: Bench) -> None:
    boards = Boards8A(bench, 1)
    boards.deaf.add(1)
    start(bench, device(bench).run)
    await bench.passes(0.05)
    boards.peer.send(with_bcc(0x81, 1, 3, 0x00))
    await bench.passes(0.05)
    assert bench.reports == []


# ---------------------------------------------------------------- CU48
@virtually
async def test_cu48_unlock_has_no_reply_and_is_confirmed_by_a_query(bench: Bench) -> None:
    peer = bench.ports.peer("bus")
    seen: list[bytes] = []
    locked = [[True] * 48, [True] * 48]

    def take(frame: bytes) -> None:
        seen.append(frame)
        assert len(frame) == 6 and frame[5] == sum(frame[:5]) % 256
        if frame[3] == 0x51:
            locked[frame[1]][frame[2]] = False
        else:
            number = sum(bit << n for n, bit in enumerate(locked[frame[1]]))
            body = bytes([2, frame[1], 0, 0x65]) + number.to_bytes(6, "little") + b"\x03"
            peer.send(body + bytes([sum(body) % 256]))

    peer.on_bytes = take
    locks = CU48.make("locks", CU48.options(port="bus", addresses=[0, 1], feedback="bolt"), bench.around)
    assert isinstance(locks, bus.LockBus)
    start(bench, locks.run)
    await bench.passes(1)
    assert bench.levels() == dict.fromkeys(range(1, 97), True)
    seen.clear()
    assert (await locks.unlock(96, not_after_mono=FOREVER)).sent is Sent.SENT
    assert seen[-1] == bytes.fromhex("02 01 2F 51 03 86")
    await bench.passes(0.1)
    assert bench.levels() == {n: n != 96 for n in range(1, 97)}
    assert (await locks.unlock(97, not_after_mono=FOREVER)).sent is Sent.NOT_SENT
