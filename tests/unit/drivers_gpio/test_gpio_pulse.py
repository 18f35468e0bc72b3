"""Locks and gates: when an output is energised, and what is said of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.gpio.gate import DRIVER as GATE
from drivers.gpio.gate import GateOptions
from drivers.gpio.lock import DRIVER as LOCK
from drivers.gpio.lock import LockOptions
from drivers.ports import DeviceStatus, Gate, Lock, Outcome, Sent

FAR = 1e9


async def a_lock(bench: Any, **options: Any) -> Any:
    lock = LOCK.make("locks", LockOptions(**{"pins": (5, 6), **options}), bench.surroundings)
    await bench.start(lock)
    return lock


def unlocking(lock: Any, channel: int = 1, not_after_mono: float = FAR) -> asyncio.Task[Outcome]:
    return asyncio.ensure_future(lock.unlock(channel, not_after_mono=not_after_mono))


@pytest.mark.parametrize(("active_low", "idle", "active"), [(False, "low", "high"), (True, "high", "low")])
async def test_one_pulse_then_undriven(bench: Any, active_low: bool, idle: str, active: str) -> None:
    lock = await a_lock(bench, active_low=active_low)
    bench.factory.history.clear()
    pulse = unlocking(lock, 2)
    await bench.clock.advance(0.399)
    assert bench.factory.wire(6).function == "output"
    assert bench.factory.wire(6).state is (active == "high")
    assert not pulse.done()
    await bench.clock.advance(0.001)
    assert await pulse == Outcome(Sent.SENT)
    assert bench.factory.history == [(6, "output"), (6, active), (6, idle), (6, "input")]


@pytest.mark.parametrize("active_low", [False, True])
async def test_construction_drives_nothing_and_rests_at_the_idle_level(bench: Any, active_low: bool) -> None:
    await a_lock(bench, active_low=active_low)
    assert "output" not in {what for _, what in bench.factory.history}, bench.factory.history
    for pin in (5, 6):
        assert bench.factory.wire(pin).function == "input"
        assert bench.factory.wire(pin).state is active_low


async def test_pulses_of_one_supply_keep_the_gap(bench: Any) -> None:
    lock = await a_lock(bench, pulse_ms=400, gap_ms=500)
    first, second = unlocking(lock, 1), unlocking(lock, 2)
    await bench.clock.advance(0.899)
    assert first.done()
    assert bench.factory.wire(6).function == "input"
    await bench.clock.advance(0.001)
    assert bench.factory.wire(6).state is True
    await bench.clock.advance(0.4)
    assert (await second).sent is Sent.SENT


async def test_a_pulse_that_waited_too_long_is_never_sent(bench: Any) -> None:
    lock = await a_lock(bench)
    first = unlocking(lock, 1)
    second = unlocking(lock, 2, not_after_mono=bench.clock.now + 0.85)
    await bench.clock.advance(2.0)
    assert (await first).sent is Sent.SENT
    assert await second == Outcome(Sent.NOT_SENT, "expired")
    assert (6, "output") not in bench.factory.history


async def test_at_its_very_deadline_it_still_goes(bench: Any) -> None:
    lock = await a_lock(bench)
    pulse = unlocking(lock, not_after_mono=bench.clock.now)
    await bench.clock.advance(1)
    assert (await pulse).sent is Sent.SENT


@pytest.mark.parametrize("channel", [0, -1, 3, 99])
async def test_a_channel_outside_the_range_touches_nothing(bench: Any, channel: int) -> None:
    lock = await a_lock(bench)
    before = list(bench.factory.history)
    outcome = await lock.unlock(channel, not_after_mono=FAR)
    assert outcome.sent is Sent.NOT_SENT
    assert bench.factory.history == before


async def test_a_cancelled_pulse_ends_de_energised_and_keeps_the_gap(bench: Any) -> None:
    lock = await a_lock(bench)
    pulse = unlocking(lock)
    await bench.clock.advance(0.1)
    assert bench.factory.wire(5).state is True
    pulse.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulse
    assert bench.factory.wire(5).function == "input"
    assert bench.factory.wire(5).state is False
    another = unlocking(lock, 2)
    await bench.clock.advance(0.499)
    assert bench.factory.wire(6).function == "input"
    another.cancel()


async def test_stopping_the_device_ends_a_pulse(bench: Any) -> None:
    lock = LOCK.make("locks", LockOptions(pins=(5,)), bench.surroundings)
    running = await bench.start(lock)
    pulse = unlocking(lock)
    await bench.clock.advance(0.1)
    running.cancel()
    await bench.clock.settle()
    assert bench.factory.wire(5).function == "input"
    await bench.clock.advance(1)
    assert (await pulse).sent is Sent.UNKNOWN


async def test_the_link_lost_in_mid_pulse_is_unknown_and_the_device_comes_back(bench: Any) -> None:
    lock = await a_lock(bench)
    pulse = unlocking(lock)
    await bench.clock.advance(0.1)
    bench.factory.gone = True
    await bench.clock.advance(0.31)
    assert (await pulse).sent is Sent.UNKNOWN
    statuses = [r for r in bench.said if isinstance(r, DeviceStatus)]
    assert [s.up for s in statuses] == [True, False]
    assert "gone" in statuses[-1].detail
    await bench.clock.advance(10)
    assert len(bench.made) == 2
    again = unlocking(lock)
    await bench.clock.advance(1)
    assert (await again).sent is Sent.SENT


async def test_an_output_that_cannot_be_switched_off_by_level_is_left_undriven(bench: Any) -> None:
    lock = await a_lock(bench)
    bench.factory.fail_writing = False
    old = bench.factory
    pulse = unlocking(lock)
    await bench.clock.advance(0.41)
    assert (await pulse).sent is Sent.UNKNOWN
    assert [what for pin, what in old.history if pin == 5][-1] == "input"
    assert old.wire(5).function == "input"


async def test_an_error_at_the_edge_is_unknown(bench: Any) -> None:
    lock = await a_lock(bench)
    bench.factory.fail_writing = True
    pulse = unlocking(lock)
    await bench.clock.settle()
    assert (await pulse).sent is Sent.UNKNOWN


async def test_while_the_link_is_down_nothing_is_sent_and_nothing_later_either(bench: Any) -> None:
    bench.openable = False
    lock = await a_lock(bench)
    outcome = await lock.unlock(1, not_after_mono=FAR)
    assert outcome == Outcome(Sent.NOT_SENT, "link down")
    bench.openable = True
    await bench.clock.advance(20)
    assert (5, "output") not in bench.factory.history
    assert [r.up for r in bench.said if isinstance(r, DeviceStatus)] == [False, True]


async def test_a_dead_factory_is_noticed_without_a_pulse(bench: Any) -> None:
    await a_lock(bench)
    bench.factory.gone = True
    await bench.clock.advance(5)
    assert [r.up for r in bench.said if isinstance(r, DeviceStatus)] == [True, False]


async def test_a_gate_asks_one_thing_at_a_time(bench: Any) -> None:
    gate: Any = GATE.make("gate", GateOptions(open_pins=(5,), close_pins=(6,)), bench.surroundings)
    await bench.start(gate)
    assert isinstance(gate, Lock)
    assert isinstance(gate, Gate)
    opening = unlocking(gate)
    closing = asyncio.ensure_future(gate.request_close(1, not_after_mono=FAR))
    await bench.clock.advance(3)
    assert (await opening).sent is Sent.SENT
    assert (await closing).sent is Sent.SENT
    pulses = [step for step in bench.factory.history if step[1] in ("high", "low")]
    assert pulses == [(5, "high"), (5, "low"), (6, "high"), (6, "low")]
    assert (await gate.request_close(2, not_after_mono=FAR)).sent is Sent.NOT_SENT


@pytest.mark.parametrize(
    "options",
    [
        {"pins": [5, 6, 5]},
        {"pins": []},
        {"pins": [-1]},
        {"pins": [5], "pulse_ms": 0},
        {"pins": [5], "pulse_ms": 1001},
        {"pins": [5], "pulse": 400},
    ],
)
def test_lock_options_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LockOptions(**options)


def test_a_doubled_pin_is_named() -> None:
    with pytest.raises(ValidationError, match="pin used twice: 6"):
        GateOptions(open_pins=(5, 6), close_pins=(6, 7))
    with pytest.raises(ValidationError, match="one of each"):
        GateOptions(open_pins=(5, 6), close_pins=(7,))


def test_lines_and_channels() -> None:
    assert GateOptions(open_pins=(5, 6), close_pins=(7, 8)).lines() == (5, 6, 7, 8)
    assert list(GATE.channels(GateOptions(open_pins=(5, 6), close_pins=(7, 8)))) == [1, 2]
    assert list(LOCK.channels(LockOptions(pins=(5, 6, 7)))) == [1, 2, 3]


async def test_a_line_that_a_resistor_pulls_to_active_is_refused_and_disturbs_nobody(bench: Any) -> None:
    await a_lock(bench)
    first = bench.factory
    strapped = LOCK.make("strapped", LockOptions(pins=(2,)), bench.surroundings)  # a Pi pulls GPIO 2 up
    await bench.start(strapped)
    await bench.clock.advance(12)
    down = [r for r in bench.said if isinstance(r, DeviceStatus) and not r.up]
    assert {r.device for r in down} == {"strapped"}
    assert "PinFixedPull" in down[0].detail
    assert bench.made == [first]
