"""Levels become facts once they have stood still; silence is told at once."""

from __future__ import annotations

import asyncio

from drivers.ports import DeviceStatus, LevelRead, Sense, TagRead
from fsm.events import DeviceChanged, EstopChanged, Event, LevelChanged, TagChanged
from tests.unit.virtual import simulate
from vendingd.sensing import Debounce, Sensing, Wiring


def sensing() -> tuple[Sensing, list[Event]]:
    heard: list[Event] = []
    wiring = Wiring(
        doors={("d", 1): "b1"},
        bolts={},
        presences={("p", 1): "b1"},
        tags={("t", 1): "b1"},
        estop=("e", 1),
        tamper=None,
    )
    made = Sensing(wiring, Debounce(0.03, 1.5), level=lambda slot, event: heard.append(event), post=heard.append)
    return made, heard


def door(value: bool | None) -> LevelRead:
    return LevelRead("d", Sense.DOOR, 1, value)


def presence(value: bool | None) -> LevelRead:
    return LevelRead("p", Sense.PRESENCE, 1, value)


def test_a_bouncing_contact_is_told_once_it_rests() -> None:
    async def story() -> list[Event]:
        made, heard = sensing()
        for value in (True, False, True, False, True):
            made.level(door(value))
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        return heard

    assert simulate(story()) == [LevelChanged("b1", "door", True)]


def test_occupancy_takes_longer_and_silence_no_time() -> None:
    async def story() -> list[Event]:
        made, heard = sensing()
        made.level(presence(True))
        await asyncio.sleep(1.4)
        assert heard == []
        await asyncio.sleep(0.2)
        made.level(presence(None))
        return heard

    assert simulate(story()) == [LevelChanged("b1", "presence", True), LevelChanged("b1", "presence", None)]


def test_a_bay_has_answered_when_each_sensor_has_settled_or_is_known_to_be_silent() -> None:
    async def story() -> list[bool]:
        made, _ = sensing()
        seen = [made.answered("b1")]
        made.level(door(False))
        made.level(presence(None))
        await asyncio.sleep(0.1)
        seen.append(made.answered("b1"))
        made.status(DeviceStatus("t", False, "unplugged"))
        seen.append(made.answered("b1"))
        return seen

    assert simulate(story()) == [False, False, True]


def test_a_reader_that_goes_away_reads_nothing_and_is_said_once() -> None:
    async def story() -> list[Event]:
        made, heard = sensing()
        made.status(DeviceStatus("t", True, ""))
        made.tag(TagRead("t", 1, "AA", 0.0))
        made.status(DeviceStatus("t", False, "unplugged"))
        made.status(DeviceStatus("t", False, "unplugged"))
        return heard

    assert simulate(story()) == [
        TagChanged("b1", "AA", True),
        DeviceChanged("t", False, "unplugged"),
        TagChanged("b1", None, False),
    ]


def test_a_reader_that_comes_up_has_not_looked_yet() -> None:
    """Its port is open; what is in its field it says itself, an empty field after a pause."""

    async def story() -> list[bool]:
        made, _ = sensing()
        made.level(door(False))
        made.level(presence(True))
        await asyncio.sleep(2)
        made.status(DeviceStatus("t", True, ""))
        seen = [made.answered("b1")]
        made.tag(TagRead("t", 1, None, 0.0))
        seen.append(made.answered("b1"))
        return seen

    assert simulate(story()) == [False, True]


def test_after_a_reload_everything_settled_is_told_again() -> None:
    async def story() -> list[Event]:
        made, heard = sensing()
        made.level(door(False))
        made.level(presence(True))
        made.level(LevelRead("e", Sense.ESTOP, 1, False))
        await asyncio.sleep(2)
        heard.clear()
        made.replay()
        return heard

    assert simulate(story()) == [
        LevelChanged("b1", "door", False),
        LevelChanged("b1", "presence", True),
        EstopChanged(False),
    ]


def test_a_tag_of_no_bay_is_left_to_the_desk() -> None:
    async def story() -> bool:
        made, _ = sensing()
        return made.tag(TagRead("elsewhere", 1, "AA", 0.0))

    assert simulate(story()) is False
