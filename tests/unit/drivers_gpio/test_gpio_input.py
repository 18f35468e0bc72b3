"""Inputs: edges from a foreign thread, polarity, re-reading, and the loss of the factory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.gpio.input import DRIVER, InputOptions
from drivers.ports import DeviceStatus, LevelRead, Sampling, Sense


async def an_input(bench: Any, **options: Any) -> Any:
    device = DRIVER.make("in", InputOptions(**{"sense": "door", "pins": (17, 18), **options}), bench.surroundings)
    await bench.start(device)
    return device


async def test_first_levels_then_edges_in_order(bench: Any) -> None:
    await an_input(bench)
    assert bench.levels() == [(1, True), (2, True)]
    bench.said.clear()

    def act() -> None:
        bench.factory.wire(18).drive_low()
        bench.factory.wire(18).drive_high()
        bench.factory.wire(17).drive_low()

    await bench.from_thread(act)
    assert bench.levels() == [(2, False), (2, True), (1, False)]
    assert {type(r) for r in bench.said} == {LevelRead}
    assert {(r.device, r.sense) for r in bench.said} == {("in", Sense.DOOR)}


@pytest.mark.parametrize(
    ("sense", "cut_wire"),
    [
        ("door", True),
        ("bolt", False),
        ("presence", False),
        ("button", False),
        ("estop", True),
        ("tamper", True),
    ],
)
async def test_what_a_cut_wire_reads(bench: Any, sense: str, cut_wire: bool) -> None:
    await an_input(bench, sense=sense, pins=(17,))  # a mock line with a pull-up and nothing on it is high
    assert bench.levels() == [(1, cut_wire)]


@pytest.mark.parametrize(("pull", "expected"), [("up", "up"), ("down", "down"), ("none", "floating")])
async def test_polarity_and_pull_can_be_said(bench: Any, pull: str, expected: str) -> None:
    await an_input(bench, pins=(17,), true_is="low", pull=pull)
    assert bench.factory.wire(17).pull == expected
    assert bench.levels() == [(1, pull != "up")]


async def test_a_lost_edge_is_found_at_the_next_look(bench: Any) -> None:
    await an_input(bench)
    bench.said.clear()
    bench.factory.wire(17)._state = False  # the level changes without an event
    await bench.clock.advance(4.9)
    assert bench.levels() == []
    await bench.clock.advance(0.2)
    assert bench.levels() == [(1, False)]
    await bench.clock.advance(60)
    assert bench.levels() == [(1, False)]


async def test_at_rest_lines_are_read_only_now_and_then(bench: Any) -> None:
    await an_input(bench)
    before = bench.factory.touched
    await bench.clock.advance(59)
    assert bench.factory.touched - before <= 2 * 12


async def test_sample_reports_every_level_even_unchanged(bench: Any) -> None:
    device = await an_input(bench)
    assert isinstance(device, Sampling)
    bench.said.clear()
    await device.sample()
    assert bench.levels() == [(1, True), (2, True)]


async def test_sample_waits_for_the_first_try_and_says_unknown(bench: Any) -> None:
    bench.openable = False
    device: Any = DRIVER.make("in", InputOptions(sense=Sense.DOOR, pins=(17,)), bench.surroundings)
    sampling = asyncio.ensure_future(device.sample())
    await bench.clock.settle()
    assert not sampling.done()
    await bench.start(device)
    await sampling
    assert bench.levels()[-1] == (1, None)
    down = next(r for r in bench.said if isinstance(r, DeviceStatus))
    assert not down.up
    assert "nobody listens" in down.detail


async def test_lost_and_found_again(bench: Any) -> None:
    await an_input(bench)
    bench.said.clear()
    bench.factory.gone = True
    bench.openable = False
    await bench.clock.advance(5.1)
    assert bench.levels() == [(1, None), (2, None)]
    down = [r for r in bench.said if isinstance(r, DeviceStatus)]
    assert [r.up for r in down] == [False, False]
    assert "is gone" in down[0].detail
    assert "nobody listens" in down[1].detail
    bench.said.clear()
    await bench.clock.advance(30)
    assert bench.said == []  # not said again and again
    bench.openable = True
    bench.said.clear()
    await bench.clock.advance(6)
    assert bench.levels() == [(1, True), (2, True)]
    assert [r.up for r in bench.said if isinstance(r, DeviceStatus)] == [True]
    bench.said.clear()
    await bench.from_thread(bench.factory.wire(17).drive_low)
    assert bench.levels() == [(1, False)]


async def test_one_device_that_meets_the_loss_wakes_the_others(bench: Any) -> None:
    sampled = await an_input(bench, pins=(17,))
    await an_input(bench, pins=(18,), sense="bolt")
    bench.factory.gone = True
    bench.openable = False
    await sampled.sample()
    await bench.clock.settle()
    assert [(r.sense, r.value) for r in bench.said if isinstance(r, LevelRead)][-2:] == [
        (Sense.DOOR, None),
        (Sense.BOLT, None),
    ]


async def test_a_line_that_is_taken_does_not_disturb_the_others(bench: Any) -> None:
    await an_input(bench, pins=(17,))
    first = bench.factory
    await an_input(bench, pins=(18, 17))
    await bench.clock.advance(12)
    assert bench.made == [first]
    down = [r for r in bench.said if isinstance(r, DeviceStatus) and not r.up]
    assert down
    assert "already in use" in down[0].detail
    await bench.from_thread(first.wire(17).drive_low)
    assert bench.levels()[-1] == (1, False)


async def test_edges_after_the_end_say_nothing_and_raise_nothing(bench: Any) -> None:
    device = DRIVER.make("in", InputOptions(sense=Sense.DOOR, pins=(17,)), bench.surroundings)
    running = await bench.start(device)
    pin = bench.factory.wire(17)
    late = pin.when_changed
    assert late is not None
    running.cancel()
    await bench.clock.settle()
    bench.said.clear()
    await bench.from_thread(lambda: late(0, 0))
    assert bench.said == []


def test_an_edge_after_the_loop_is_closed_does_not_kill_the_callback_thread(bench_factory: Any) -> None:
    callback = bench_factory()
    callback(0, 1)


@pytest.fixture
def bench_factory() -> Any:
    from gpiozero.pins.mock import MockFactory

    from drivers.wires.gpio import Line

    kept: list[Line] = []

    def make() -> Any:
        factory = MockFactory()

        async def claim() -> Any:
            line = Line(factory, 17)
            line.listen(lambda number, high: None)
            kept.append(line)
            return factory.pin(17).when_changed

        return asyncio.run(claim())

    yield make
    for line in kept:
        line.close()


@pytest.mark.parametrize(
    "options",
    [
        {"sense": "door", "pins": [17, 17]},
        {"sense": "doors", "pins": [17]},
        {"sense": "door", "pins": [17], "debounce": 3},
        {"sense": "door", "pins": [17], "pull": "upwards"},
        {"pins": [17]},
    ],
)
def test_options_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InputOptions(**options)


def test_options_say_their_lines_and_sense() -> None:
    options = InputOptions.model_validate({"sense": "bolt", "pins": [1, 2]})
    assert options.lines() == (1, 2)
    assert options.senses() == {Sense.BOLT}
    assert list(DRIVER.channels(options)) == [1, 2]
