"""GPIO lines: gpiozero's side and the simulator's, over a real socket."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from gpiozero import DigitalInputDevice, DigitalOutputDevice
from gpiozero.exc import BadPinFactory, GPIOZeroError, PinFixedPull, PinSetInput

from hw_sim.machine import Machine
from hw_sim.model.log import Motion
from hw_sim.pins import PinBusy, PinUnreachable, SimFactory
from hw_sim.scenario import Scenario
from hw_sim.site import Channel, SiteError, parse_site
from tests.unit.hw_sim.sim_waiting import until

SITE: dict[str, Any] = {
    "machine": "m",
    "devices": {
        "locks": {"driver": "gpio-lock", "pins": [5, 40]},
        "low": {"driver": "gpio-lock", "pins": [6], "active_low": True},
        "doors": {"driver": "gpio-input", "sense": "door", "pins": [7, 8]},
        "bolts": {"driver": "gpio-input", "sense": "bolt", "pins": [9], "true_is": "high", "pull": "down"},
        "presence": {"driver": "gpio-input", "sense": "presence", "pins": [10], "pull": "none"},
        "stop": {"driver": "gpio-input", "sense": "estop", "pins": [11]},
    },
    "bays": [
        {"id": "a", "lock": "locks:1", "door": "doors:1", "bolt": "bolts", "presence": "presence"},
        {"id": "b", "lock": "low", "door": "doors:2"},
    ],
    "estop": {"input": "stop"},
}


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    one = Machine(parse_site(SITE), Scenario(), tmp_path, 1)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def factory(machine: Machine) -> AsyncIterator[SimFactory]:
    one = await asyncio.to_thread(SimFactory, path=str(machine.gpio.path))
    yield one
    await asyncio.to_thread(one.close)


async def an_input(factory: SimFactory, pin: int, pull_up: bool | None = True, **more: Any) -> DigitalInputDevice:
    return await asyncio.to_thread(DigitalInputDevice, pin, pull_up=pull_up, pin_factory=factory, **more)


async def an_output(factory: SimFactory, pin: int, **more: Any) -> DigitalOutputDevice:
    return await asyncio.to_thread(DigitalOutputDevice, pin, pin_factory=factory, **more)


def motions(machine: Machine, what: str) -> list[Motion]:
    return [m for m in machine.log.after(0) if m.what == what]


def test_the_entry_point_names_the_factory() -> None:
    (found,) = entry_points(group="gpiozero_pin_factories", name="hw-sim")
    assert found.load() is SimFactory


def test_without_a_socket_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HW_SIM_GPIO", raising=False)
    with pytest.raises(BadPinFactory, match="HW_SIM_GPIO"):
        SimFactory()


async def test_an_output_pulses_the_coil_and_its_length_is_logged(machine: Machine, factory: SimFactory) -> None:
    lock = await an_output(factory, 5)
    bay = machine.world.bays["a"]
    lock.on()
    await until(lambda: not bay.bolted)
    assert bay.energised_at is not None
    lock.off()
    await until(lambda: bay.energised_at is None)
    (pulse,) = motions(machine, "pulse")
    assert pulse.fields["bay"] == "a" and pulse.fields["by"] == "locks:1"


async def test_an_active_low_output_blips_unless_it_begins_high(machine: Machine, factory: SimFactory) -> None:
    lock = await an_output(factory, 6, active_high=False, initial_value=False)
    assert machine.log.last_n == 0
    lock.on()
    await until(lambda: machine.world.bays["b"].energised_at is not None)
    await asyncio.to_thread(lock.close)
    await until(lambda: machine.world.bays["b"].energised_at is None)


async def test_hanging_up_leaves_every_line_undriven(machine: Machine, factory: SimFactory) -> None:
    other = await asyncio.to_thread(SimFactory, path=str(machine.gpio.path))
    lock = await an_output(other, 5)
    lock.on()
    await until(lambda: machine.world.bays["a"].energised_at is not None)
    with pytest.raises(PinBusy):
        await an_output(factory, 5)
    other.link.close()  # as a killed process hangs up: nothing was switched off first
    await until(lambda: machine.world.bays["a"].energised_at is None)
    await asyncio.to_thread(other.close)
    again = await an_output(factory, 5)
    assert again.value == 0


async def test_an_unwired_output_drives_nothing(machine: Machine, factory: SimFactory) -> None:
    (await an_output(factory, 40)).on()
    await until(lambda: bool(motions(machine, "pulse_unwired")))
    (await an_output(factory, 30)).on()
    await until(lambda: bool(motions(machine, "output_unwired")))
    assert not motions(machine, "pulse_on")


async def test_edges_come_from_a_foreign_thread_and_reads_agree(machine: Machine, factory: SimFactory) -> None:
    door = await an_input(factory, 7)
    other = await an_input(factory, 8)
    seen: list[tuple[str, int, int]] = []

    def changed(device: DigitalInputDevice) -> None:
        seen.append((threading.current_thread().name, device.pin.state, other.pin.state))

    door.when_activated = door.when_deactivated = changed
    assert door.pin.state == 0, "a closed door's contact goes to ground"
    machine.world.bays["a"].open_door(time.monotonic(), force=True)
    machine.poke()
    await until(lambda: len(seen) == 1)
    machine.world.bays["a"].close_door(time.monotonic())
    machine.poke()
    await until(lambda: len(seen) == 2)
    assert seen == [("hw-sim-edges", 1, 0), ("hw-sim-edges", 0, 0)]


async def test_levels_follow_the_wiring(machine: Machine, factory: SimFactory) -> None:
    bolt = await an_input(factory, 9, pull_up=False)
    presence = await an_input(factory, 10, pull_up=None, active_state=False)
    stop = await an_input(factory, 11)
    assert (bolt.pin.state, presence.pin.state, stop.pin.state) == (1, 1, 0)
    machine.world.press_estop(time.monotonic())
    machine.gpio.cut(Channel("bolts", 1), True)
    machine.poke()
    await until(lambda: (bolt.pin.state, stop.pin.state) == (0, 1))


async def test_a_forgotten_pull_is_felt(machine: Machine, factory: SimFactory) -> None:
    door = await an_input(factory, 7, pull_up=None, active_state=True)
    machine.world.bays["a"].open_door(time.monotonic(), force=True)
    machine.poke()
    await asyncio.to_thread(lambda: setattr(door.pin, "pull", "floating"))
    assert door.pin.state == 0, "nothing pulls the open contact up"
    await asyncio.to_thread(lambda: setattr(door.pin, "pull", "up"))
    assert door.pin.state == 1


async def test_a_cut_wire_reads_unsafe(machine: Machine, factory: SimFactory) -> None:
    door = await an_input(factory, 7)
    machine.world.bays["a"].faults.lost["door"] = None
    machine.poke()
    await until(lambda: door.pin.state == 1)


async def test_a_handler_that_raises_ends_the_thread_but_not_the_levels(
    machine: Machine, factory: SimFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: died.append(str(args.exc_value)))
    door = await an_input(factory, 7)

    def broken() -> None:
        raise RuntimeError("mine")

    door.when_deactivated = broken  # an open door reads high, which is inactive with a pull-up
    machine.world.bays["a"].open_door(time.monotonic(), force=True)
    machine.poke()
    await until(lambda: died == ["mine"])
    machine.world.bays["a"].close_door(time.monotonic())
    machine.poke()
    await until(lambda: door.pin.state == 0)


async def test_it_survives_the_plant_going_away(machine: Machine, factory: SimFactory) -> None:
    door = await an_input(factory, 7)
    lock = await an_output(factory, 5)
    seen: list[int] = []

    def changed() -> None:
        seen.append(1)

    door.when_deactivated = changed
    await machine.gpio_gone(True)
    await until(lambda: not factory.link.up.is_set())
    with pytest.raises(PinUnreachable) as no:
        _ = door.pin.state
    assert isinstance(no.value, GPIOZeroError) and isinstance(no.value, ConnectionError)
    with pytest.raises(PinUnreachable):
        lock.on()
    machine.world.bays["a"].open_door(time.monotonic(), force=True)
    machine.poke()
    await machine.gpio_gone(False)
    await until(factory.link.up.is_set)
    assert door.pin.state == 1
    await until(lambda: seen == [1])
    lock.on()
    await until(lambda: machine.world.bays["a"].energised_at is not None)


async def test_pins_behave_as_a_boards(factory: SimFactory, machine: Machine) -> None:
    with pytest.raises(PinFixedPull):
        await an_input(factory, 2, pull_up=False)
    door = await an_input(factory, 7)
    with pytest.raises(PinSetInput):
        door.pin.state = 1
    assert factory.pin(7) is factory.pin("GPIO7")


def test_a_line_with_two_uses_is_refused(tmp_path: Path) -> None:
    doc = {"devices": {n: {"driver": "gpio-lock", "pins": [5]} for n in ("x", "y")}}
    with pytest.raises(SiteError, match="line 5"):
        Machine(parse_site(doc), Scenario(), tmp_path, 1)
