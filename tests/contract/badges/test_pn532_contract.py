"""The role of a badge reader by a PN532 driver, against a chip written from NXP's manual, over a pty whose bytes take
the time that they take on a wire."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import BadgeRead, DeviceStatus
from hw_sim.model.log import PhysicalLog
from hw_sim.wires.line import Line
from hw_sim.wires.pn532 import ACK, CardReader
from tests.contract.serial.cables import HANG_S, Rig

CARD, OTHER, LONG = "nfc:04112233", "nfc:0511223344AABB", "nfc:01020304050607080910"


class Desk:
    """A reader with a driver at its wire."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.line = Line("badges", path, 115200, random.Random(1), PhysicalLog(), grain=8)
        self.line.plug()
        self.reader = CardReader(self.line, PhysicalLog(), random.Random(2))
        self.rig: Rig
        self._options = {"poll_ms": 50, "gone_ms": 150, **options}

    def start(self) -> None:
        self.rig = Rig("pn532", [self.line], port=str(self.line.path), **self._options)  # type: ignore[list-item]

    async def up(self) -> "Desk":
        """Running, and past the first search, whose card would be taken for one that lies there already."""
        self.start()
        await self.rig.until(lambda: self.rig.up() is True)
        await self.searches(2)
        return self

    async def searches(self, n: int) -> None:
        """Let the reader search so many times more."""
        upto = self.reader.searches + n
        async with asyncio.timeout(HANG_S):
            while self.reader.searches < upto:
                await asyncio.sleep(0.002)

    async def away(self) -> None:
        """Take the card away until that has been noticed."""
        self.reader.present(None)
        await self.searches(6)

    def read(self) -> list[str]:
        return [report.badge for report in self.rig.of(BadgeRead)]

    async def until_read(self, n: int) -> None:
        await self.rig.until(lambda: len(self.read()) >= n)


Make = Callable[..., Desk]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Desk] = []

    def make(**options: Any) -> Desk:
        made.append(Desk(tmp_path / "badges", **options))
        return made[-1]

    yield make
    for one in made:
        await one.rig.stop()
        one.reader.stop()


@pytest.mark.parametrize("badge", [CARD, OTHER, LONG])
async def test_a_card_is_told_with_its_time(desk: Make, badge: str) -> None:
    at = await desk().up()
    before = at.rig.clock.monotonic()
    at.reader.present(badge)
    await at.until_read(1)
    (read,) = at.rig.of(BadgeRead)
    assert (read.device, read.badge, read.channel) == ("device", badge, 1)
    assert before <= read.at_mono <= at.rig.clock.monotonic()
    assert badge not in repr(read)


async def test_a_card_that_rests_is_told_once_and_again_after_it_has_gone(desk: Make) -> None:
    at = await desk().up()
    at.reader.present(CARD)
    await at.until_read(1)
    await at.searches(8)
    assert at.read() == [CARD]
    await at.away()
    at.reader.present(CARD)
    await at.until_read(2)
    assert at.read() == [CARD, CARD]


async def test_a_card_that_is_missed_once_has_not_gone(desk: Make) -> None:
    at = await desk(gone_ms=60000).up()
    at.reader.present(CARD)
    await at.until_read(1)
    await at.away()
    at.reader.present(CARD)
    await at.searches(3)
    at.reader.present(OTHER)
    await at.until_read(2)
    assert at.read() == [CARD, OTHER]


async def test_another_card_is_told_at_once(desk: Make) -> None:
    at = await desk().up()
    at.reader.present(CARD)
    await at.until_read(1)
    at.reader.present(OTHER)
    await at.until_read(2)
    assert at.read() == [CARD, OTHER]


async def test_a_card_that_lies_there_at_the_start_was_shown_to_nobody(desk: Make) -> None:
    at = desk()
    at.reader.present(CARD)
    await at.up()
    await at.searches(4)
    assert at.read() == []
    await at.away()
    at.reader.present(CARD)
    await at.until_read(1)


async def test_a_random_number_is_never_told_and_explained_to_technicians(desk: Make) -> None:
    at = await desk().up()
    at.reader.present("nfc:random")
    await at.rig.until(lambda: "random" in at.rig.of(DeviceStatus)[-1].detail)
    await at.searches(4)
    assert at.read() == [] and at.rig.up() is True
    assert len(at.rig.of(DeviceStatus)) == 2
    at.reader.present(CARD)
    await at.until_read(1)
    assert at.rig.of(DeviceStatus)[-1].detail == ""


async def test_unplugged_and_back(desk: Make) -> None:
    at = await desk().up()
    at.line.unplug()
    await at.rig.until(lambda: at.rig.up() is False)
    assert any(word in at.rig.of(DeviceStatus)[-1].detail for word in ("check the cable", "went away"))
    at.reader.restarted()  # it had no power either: asleep, its settings gone
    at.reader.present(CARD)
    at.line.plug()
    await at.rig.until(lambda: at.rig.up() is True)
    await at.searches(2)
    assert at.read() == []  # shown while nobody was listening
    await at.away()
    at.reader.present(OTHER)
    await at.until_read(1)
    assert at.read() == [OTHER]


async def test_a_chip_that_lost_its_power_is_woken_again(desk: Make) -> None:
    at = await desk().up()
    at.reader.restarted()
    at.reader.present(CARD)
    await at.until_read(1)
    assert at.line.counters.frames["14"] > 1
    assert [status.up for status in at.rig.of(DeviceStatus)] == [True]


async def test_a_silent_chip_is_down(desk: Make) -> None:
    at = desk()
    at.reader.silent = True
    at.start()
    await at.rig.until(lambda: at.rig.up() is False)
    assert "does not answer" in at.rig.of(DeviceStatus)[-1].detail
    assert "HSU" in at.rig.of(DeviceStatus)[-1].detail
    at.reader.silent = False
    await at.rig.until(lambda: at.rig.up() is True)


async def test_something_else_that_answers_is_down(desk: Make) -> None:
    at = desk()
    at.reader.options.ic = 0x33
    at.start()
    await at.rig.until(lambda: at.rig.up() is False)
    assert "no PN532" in at.rig.of(DeviceStatus)[-1].detail


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("fault", ["drop_one_in", "corrupt_one_in"])
async def test_bytes_lost_or_wrong_now_and_then_are_asked_for_again(desk: Make, fault: str, direction: str) -> None:
    at = await desk().up()
    setattr(at.line.faults, fault, 80)
    at.line.faults.drop_direction = at.line.faults.corrupt_direction = direction
    for seen, badge in enumerate((CARD, OTHER, LONG), start=1):
        at.reader.present(badge)
        await at.until_read(seen)
    assert at.read() == [CARD, OTHER, LONG]
    assert at.line.counters.dropped + at.line.counters.corrupted > 0
    assert at.rig.up() is True


async def test_a_broken_answer_is_asked_for_again_without_another_search(desk: Make) -> None:
    at = await desk().up()
    at.reader.present(CARD)
    await at.until_read(1)
    at.reader.present(OTHER)
    answers: list[int] = []  # how many searches there were when each card was told
    send = at.line.send

    def broken_once(data: bytes, **more: Any) -> None:
        if data[5:8] == b"\xd5\x4b\x01":
            answers.append(at.reader.searches)
            if len(answers) == 1:
                data = data[:-2] + bytes([data[-2] ^ 1, 0])
        send(data, **more)

    at.line.send = broken_once  # type: ignore[method-assign]
    await at.until_read(2)
    assert at.read() == [CARD, OTHER] and answers[0] == answers[1]


async def test_a_card_whose_answer_was_lost_for_good_is_found_by_the_next_search(desk: Make) -> None:
    at = await desk().up()
    lost, send = [], at.line.send

    def losing(data: bytes, **more: Any) -> None:
        if data[5:8] == b"\xd5\x4b\x01" and len(lost) < 3:  # and again when it is asked to repeat it
            lost.append(data)
            return
        send(data, **more)

    at.line.send = losing  # type: ignore[method-assign]
    at.reader.present(CARD)
    await at.until_read(1)
    assert len(lost) == 3 and at.read() == [CARD]


async def test_an_answer_before_its_acknowledgement_belongs_to_something_else(desk: Make) -> None:
    at = await desk().up()
    stale, send = bytes.fromhex("00 00 FF 0C F4 D5 4B 01 01 00 04 08 04 11 22 33 44 24 00"), at.line.send

    def with_stale(data: bytes, **more: Any) -> None:
        if data == ACK:
            send(stale)
        send(data, **more)

    at.line.send = with_stale  # type: ignore[method-assign]
    await at.searches(3)
    assert at.read() == []
    at.reader.present(CARD)
    await at.until_read(1)
    assert at.read() == [CARD]


async def test_late_answers_and_echoes(desk: Make) -> None:
    at = desk()
    at.line.faults.echo = True
    at.line.faults.late_s = 0.05
    await at.up()
    at.reader.present(CARD)
    await at.until_read(1)
    await at.searches(3)
    assert at.read() == [CARD]


async def test_no_number_reaches_the_log(desk: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    at = await desk().up()
    at.line.faults.corrupt_one_in = 60
    at.reader.present(CARD)
    await at.until_read(1)
    at.line.unplug()
    await at.rig.until(lambda: at.rig.up() is False)
    assert "04112233" not in caplog.text.upper() and "04 11 22 33" not in caplog.text
