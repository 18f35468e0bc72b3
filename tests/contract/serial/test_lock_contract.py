"""The role Lock, with its feedback, against every serial driver that claims it, over raw ptys."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import registry
from drivers.ports import Attention, DeviceStatus, LevelRead, Lock, Sampling, Sense, Sent
from drivers.wires.serial import SerialWire
from tests.contract.serial.boards import Boards, Cu48, EightA
from tests.contract.serial.cables import Cable, Rig, settings_of

FAMILIES: list[type[Boards]] = [EightA, Cu48]
FOREVER = 1e12


class Bench:
    def __init__(self, family: type[Boards], path: Path, feedback: str) -> None:
        self.cable = Cable(path)
        self.cable.plug()
        self.boards = family(self.cable, family.options["addresses"])
        # quick, so that the tests are; nothing in them depends on it
        options = {"poll_hz": 20, "poll_busy_hz": 50, "reply_timeout_ms": 100, **family.options}
        self.rig = Rig(family.driver, [self.cable], port=str(path), feedback=feedback, **options)
        self.boards.heard = self.rig.news
        self.last = 2 * family.locks
        self.channels = range(1, self.last + 1)

    def soon(self) -> float:
        return self.rig.clock.monotonic() + 5

    async def started(self) -> None:
        await self.rig.until(lambda: len(self.rig.levels()) == self.last and self.rig.up() is True)


@pytest.fixture(params=FAMILIES, ids=lambda family: family.driver)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(request.param, tmp_path / "bus", "door")
    yield made
    await made.rig.stop()
    assert made.boards.strange == [], "the device wrote what no board understands"


def test_every_serial_driver_with_the_role_is_here() -> None:
    serial = [name for name in registry.BUILT_IN if registry.BUILT_IN[name].startswith("drivers.locks.")]
    claim = {name for name in serial if "lock" in registry.find(name).roles}
    assert claim == {family.driver for family in FAMILIES}


async def test_it_has_its_roles(bench: Bench) -> None:
    for role in (Lock, Sampling, Attention):
        assert isinstance(bench.rig.device, role)


async def test_levels_are_told_at_start(bench: Bench) -> None:
    await bench.started()
    assert bench.rig.levels() == dict.fromkeys(bench.channels, False)
    assert all(level.sense is Sense.DOOR for level in bench.rig.of(LevelRead))


async def test_an_unlock_gives_one_pulse_to_one_lock_and_only_the_feedback_says_open(bench: Bench) -> None:
    await bench.started()
    outcome = await bench.rig.device.unlock(bench.last, not_after_mono=bench.soon())
    assert outcome.sent is Sent.SENT
    await bench.rig.until(lambda: bench.rig.levels()[bench.last] is True)
    assert bench.boards.unlocked == [bench.last]
    assert bench.rig.levels() == {n: n == bench.last for n in bench.channels}


async def test_every_channel_opens_itself_and_nothing_else(bench: Bench) -> None:
    await bench.started()
    for channel in bench.channels:
        outcome = await bench.rig.device.unlock(channel, not_after_mono=FOREVER)
        assert outcome.sent is Sent.SENT
    await bench.rig.until(lambda: len(bench.boards.unlocked) >= bench.last)
    assert bench.boards.unlocked == list(bench.channels)


async def test_unlocks_at_the_same_time_go_out_one_by_one(bench: Bench) -> None:
    await bench.started()
    asked = [bench.rig.device.unlock(channel, not_after_mono=FOREVER) for channel in (3, bench.last, 1)]
    assert {outcome.sent for outcome in await asyncio.gather(*asked)} == {Sent.SENT}
    await bench.rig.until(lambda: len(bench.boards.unlocked) >= 3)
    assert bench.boards.unlocked == [3, bench.last, 1]


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 255])
async def test_a_channel_that_is_not_there_is_not_sent(bench: Bench, beyond: int) -> None:
    await bench.started()
    channel = bench.last + beyond if beyond > 0 else beyond
    outcome = await bench.rig.device.unlock(channel, not_after_mono=bench.soon())
    assert outcome.sent is Sent.NOT_SENT and outcome.detail
    await bench.rig.device.sample()  # whatever it had written would have arrived before this
    assert bench.boards.unlocked == []


async def test_too_late_is_not_sent(bench: Bench) -> None:
    await bench.started()
    outcome = await bench.rig.device.unlock(1, not_after_mono=bench.rig.clock.monotonic() - 0.001)
    assert outcome.sent is Sent.NOT_SENT and "expired" in outcome.detail
    await bench.rig.device.sample()
    assert bench.boards.unlocked == []


async def test_an_unplugged_adapter_is_not_sent_and_nothing_fires_when_it_is_back(bench: Bench) -> None:
    await bench.started()
    bench.cable.unplug()
    await bench.rig.until(lambda: bench.rig.up() is False)
    assert bench.rig.levels() == dict.fromkeys(bench.channels, None)
    outcome = await bench.rig.device.unlock(1, not_after_mono=FOREVER)
    assert outcome.sent is Sent.NOT_SENT
    bench.rig.reports.clear()
    bench.cable.plug()
    await bench.rig.until(lambda: bench.rig.up() is True and len(bench.rig.levels()) == bench.last)
    await bench.rig.device.sample()
    assert bench.rig.levels() == dict.fromkeys(bench.channels, False)
    assert bench.boards.unlocked == []
    assert (await bench.rig.device.unlock(1, not_after_mono=bench.soon())).sent is Sent.SENT


async def test_a_silent_board_takes_only_its_own_channels_down(bench: Bench) -> None:
    await bench.started()
    address = bench.boards.addresses[1]
    first = bench.boards.channel(address, 1)
    bench.boards.silent.add(address)
    await bench.rig.until(lambda: bench.rig.up(first) is False and bench.rig.levels()[bench.last] is None)
    assert bench.rig.up() is True and bench.rig.up(1) is True
    assert bench.rig.levels() == {n: False if n < first else None for n in bench.channels}
    details = [status.detail for status in bench.rig.of(DeviceStatus) if status.channel == first]
    assert f"board {address}" in details[-1]
    bench.boards.silent.clear()
    await bench.rig.until(lambda: bench.rig.up(first) is True and bench.rig.levels()[bench.last] is False)


async def test_noise_and_lost_bytes_are_lived_with(bench: Bench) -> None:
    await bench.started()
    bench.boards.noise = bytes.fromhex("02 80 8A 00 FF 02")
    bench.boards.drop = 1
    assert (await bench.rig.device.unlock(2, not_after_mono=bench.soon())).sent is Sent.SENT
    await bench.rig.until(lambda: bench.rig.levels()[2] is True)
    bench.cable.send(bytes(range(256)) * 4)
    bench.boards.closed[bench.boards.addresses[0]][1] = True
    await bench.rig.until(lambda: bench.rig.levels()[2] is False)
    assert bench.boards.unlocked == [2]
    assert bench.rig.levels() == dict.fromkeys(bench.channels, False)


async def test_sample_reports_every_level(bench: Bench) -> None:
    await bench.started()
    bench.rig.reports.clear()
    await bench.rig.device.sample()
    assert bench.rig.levels() == dict.fromkeys(bench.channels, False)


async def test_a_missing_port_is_told_with_what_to_check(tmp_path: Path) -> None:
    for family in FAMILIES:
        rig = Rig(family.driver, [], port=str(tmp_path / "missing"), **family.options)
        await rig.until(lambda rig=rig: rig.up() is False and len(rig.levels()) > 0)  # type: ignore[misc]
        assert "check the cable" in rig.of(DeviceStatus)[0].detail
        assert set(rig.levels().values()) == {None}
        await rig.stop()


async def test_stopping_gives_the_port_back(bench: Bench) -> None:
    await bench.started()
    bench.rig.task.cancel()
    await asyncio.wait([bench.rig.task])
    wire = SerialWire(settings_of(bench.cable))
    await wire.open()
    wire.close()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.driver)
async def test_feedback_of_the_bolt_is_true_when_locked(family: type[Boards], tmp_path: Path) -> None:
    bench = Bench(family, tmp_path / "bus", "bolt")
    await bench.started()
    assert bench.rig.levels() == dict.fromkeys(bench.channels, True)
    await bench.rig.device.unlock(1, not_after_mono=bench.soon())
    await bench.rig.until(lambda: bench.rig.levels()[1] is False)
    assert all(level.sense is Sense.BOLT for level in bench.rig.of(LevelRead))
    await bench.rig.stop()
