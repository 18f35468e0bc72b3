"""The physical model: what a pulse, a hand and time do to a bay."""

import pytest

from hw_sim.model.bay import Bay, BayShape, Impossible
from hw_sim.model.log import PhysicalLog
from hw_sim.model.people import Person
from hw_sim.model.sensors import next_bounce, sensed
from hw_sim.model.world import Asset, Unknown, World


def a_bay(log: PhysicalLog | None = None, **shape: object) -> Bay:
    return Bay("bay-1", log if log is not None else PhysicalLog(), BayShape(**shape))  # type: ignore[arg-type]


def a_world(**shape: object) -> World:
    world = World()
    for n in (1, 2):
        world.bays[f"bay-{n}"] = Bay(f"bay-{n}", world.log, BayShape(**shape))  # type: ignore[arg-type]
        world.add_asset(Asset(f"car-{n}", "car", f"000000000{n}"))
    world.place(world.bays["bay-1"], 0.0, "car-1")
    return world


def whats(log: PhysicalLog) -> list[str]:
    return [m.what for m in log.after(0)]


def pulse(bay: Bay, at: float, length: float = 0.4) -> None:
    bay.advance(at)
    bay.energise(at, "test")
    bay.advance(at + length)
    bay.de_energise(at + length)


def test_a_locked_door_does_not_open() -> None:
    bay = a_bay()
    with pytest.raises(Impossible, match="bolt is locked"):
        bay.open_door(1.0)
    assert bay.door == "closed"


def test_a_latch_stays_free_until_the_door_was_opened_and_closed() -> None:
    bay = a_bay(free_s=5.0)
    pulse(bay, 10.0)
    bay.advance(12.0)
    assert not bay.bolted
    bay.open_door(12.0)
    bay.advance(100.0)
    assert not bay.bolted and bay.door == "open"
    bay.close_door(100.0)
    assert bay.bolted
    assert whats(bay.log) == ["pulse_on", "bolt_released", "pulse", "door_opened", "door_closed", "bolt_locked"]


def test_a_latch_that_nobody_uses_locks_again() -> None:
    bay = a_bay(free_s=5.0)
    pulse(bay, 10.0)
    assert bay.next_change() == pytest.approx(15.4)
    bay.advance(15.4)
    assert bay.bolted
    with pytest.raises(Impossible):
        bay.open_door(16.0)


def test_a_solenoid_bolt_is_free_only_during_the_pulse() -> None:
    bay = a_bay(bolt="solenoid")
    bay.energise(1.0, "test")
    assert not bay.bolted
    bay.de_energise(1.4)
    assert bay.bolted
    assert bay.log.after(0)[-2].fields["duration_s"] == pytest.approx(0.4)


def test_a_door_closed_during_the_pulse_locks_when_it_ends() -> None:
    bay = a_bay()
    bay.energise(1.0, "test")
    bay.open_door(1.1)
    bay.close_door(1.2)
    assert not bay.bolted
    bay.de_energise(1.4)
    assert bay.bolted


def test_an_ejector_opens_the_door_and_a_spring_closes_it() -> None:
    pop = a_bay(door="pop", pop_after_s=0.15)
    pulse(pop, 1.0)
    assert pop.door == "open"
    spring = a_bay(door="spring", close_after_s=2.0)
    pulse(spring, 1.0)
    spring.open_door(2.0)
    spring.advance(3.9)
    assert spring.door == "open"
    spring.touched(3.9)
    spring.advance(5.8)
    assert spring.door == "open", "a hand at the door starts the spring anew"
    spring.advance(5.9)
    assert spring.door == "closed" and spring.bolted


def test_a_door_left_open_stays_open_though_it_has_a_spring() -> None:
    bay = a_bay(door="spring")
    bay.faults.door_left_open = True
    pulse(bay, 1.0)
    bay.open_door(2.0)
    bay.advance(1000.0)
    assert bay.door == "open" and bay.next_change() is None


def test_stuck_and_sticky_bolts() -> None:
    stuck = a_bay()
    stuck.faults.bolt_stuck = True
    pulse(stuck, 1.0)
    assert stuck.bolted and "bolt_released" not in whats(stuck.log)
    sticky = a_bay()
    sticky.faults.bolt_sticky_s = 3.0
    pulse(sticky, 1.0)
    assert sticky.bolted
    sticky.advance(4.0)
    assert not sticky.bolted, "released long after the current has ended"
    sticky.open_door(4.5)
    sticky.close_door(5.0)
    assert sticky.bolted


def test_force_opens_a_locked_door_and_is_logged() -> None:
    bay = a_bay()
    bay.open_door(1.0, force=True)
    assert bay.door == "open" and "door_forced" in whats(bay.log)
    bay.close_door(2.0)
    assert bay.bolted


def test_a_gate_moves_when_asked_and_stops_at_an_estop() -> None:
    world = World()
    gate = world.bays["gate"] = Bay("gate", world.log, BayShape(door="gate", travel_s=2.0))
    world.energise(gate, 1.0, "test")
    gate.de_energise(1.4)
    assert gate.door == "opening"
    gate.advance(3.0)
    assert gate.door == "open"
    gate.request_gate(4.0, "close", "test")
    world.press_estop(4.5)
    gate.advance(100.0)
    assert gate.door == "open"
    with pytest.raises(Impossible):
        gate.close_door(101.0)


def test_things_move_only_through_open_doors() -> None:
    world = a_world()
    bay, other = world.bays["bay-1"], world.bays["bay-2"]
    with pytest.raises(Impossible, match="nobody can reach inside"):
        world.take(bay, 1.0)
    bay.open_door(1.0, force=True)
    with pytest.raises(Impossible, match="full"):
        world.put(bay, 1.0, "car-2")
    assert world.take(bay, 2.0) == "car-1"
    with pytest.raises(Impossible, match="empty"):
        world.take(bay, 2.0)
    world.put(bay, 3.0, "car-2")
    assert world.tag_in(bay) == "0000000002"
    other.open_door(4.0, force=True)
    with pytest.raises(Impossible, match="nobody holds it"):
        world.put(other, 4.0, "car-2")
    with pytest.raises(Unknown, match="bay-1, bay-2"):
        world.bay("bay-9")


def test_something_small_fits_beside_something_big() -> None:
    world = a_world()
    world.add_asset(Asset("phone", "thing", size="small"))
    world.bays["bay-1"].open_door(1.0, force=True)
    world.put(world.bays["bay-1"], 1.0, "phone")
    assert world.bays["bay-1"].items == ["car-1", "phone"]
    assert world.tag_in(world.bays["bay-1"]) == "0000000001"


def run(world: World, upto: float) -> None:
    """Advance in the steps that the world itself asks for."""
    now = 0.0
    while (due := world.next_change(now)) is not None and due <= upto:
        now = max(due, now)
        world.advance(now)
    world.advance(upto)


PICKUP: list[tuple[str, str | None]] = [("open", None), ("take", None), ("close", None)]


def test_a_person_waits_for_the_bolt_and_takes_what_is_there() -> None:
    world = a_world()
    person = Person("p", "pickup", ("bay-1", "bay-2"), list(PICKUP), 0.2, 60.0)
    world.people["p"] = person
    run(world, 10.0)
    assert person.stage == "waiting"
    world.energise(world.bays["bay-1"], 10.0, "test")
    world.advance(10.0)
    world.bays["bay-1"].de_energise(10.4)
    run(world, 20.0)
    assert person.stage == "done" and person.took == ["car-1"]
    assert world.bays["bay-1"].bolted and world.assets["car-1"].bay is None


def test_a_person_gives_up() -> None:
    world = a_world()
    world.people["p"] = person = Person("p", "pickup", ("bay-1",), list(PICKUP), 0.2, 30.0)
    run(world, 29.0)
    assert person.stage == "waiting"
    run(world, 31.0)
    assert person.stage == "gave_up"


def test_a_person_too_slow_for_a_solenoid_waits_for_the_next_pulse() -> None:
    world = a_world(bolt="solenoid")
    world.people["p"] = person = Person("p", "pickup", ("bay-1",), list(PICKUP), 1.0, 60.0)
    bay = world.bays["bay-1"]
    world.energise(bay, 1.0, "test")
    world.advance(1.0)
    bay.de_energise(1.4)
    run(world, 5.0)
    assert person.stage == "waiting" and bay.door == "closed"
    world.energise(bay, 6.0, "test")
    world.advance(6.0)
    run(world, 7.5)
    assert bay.door == "open"


def test_power_off_drops_the_coil_and_opens_only_fail_safe_locks() -> None:
    world = a_world()
    world.bays["bay-2"].shape.fail = "safe"
    world.energise(world.bays["bay-1"], 1.0, "test")
    world.power(False, 1.2)
    assert world.bays["bay-1"].energised_at is None
    assert not world.bays["bay-2"].bolted
    world.energise(world.bays["bay-2"], 2.0, "test")
    assert "pulse_without_power" in whats(world.log)
    world.power(True, 3.0)
    assert world.bays["bay-2"].bolted


def test_sensors_tell_the_truth_until_they_are_broken() -> None:
    world = a_world()
    bay = world.bays["bay-1"]
    assert (sensed(bay, "door", 0.0), sensed(bay, "bolt", 0.0), sensed(bay, "presence", 0.0)) == (False, True, True)
    bay.faults.lost["door"] = None
    bay.faults.presence_stuck = False
    assert sensed(bay, "door", 0.0) is None
    assert sensed(bay, "presence", 0.0) is False


def test_a_bouncing_contact_toggles_and_ends_at_the_truth() -> None:
    bay = a_bay()
    bay.faults.bounce_ms = 20.0
    bay.open_door(1.0, force=True)
    seen, now = [sensed(bay, "door", 1.0)], 1.0
    while (due := next_bounce(bay, now)) is not None:
        now = due
        seen.append(sensed(bay, "door", now))
    assert seen == [True, False, True, False, True, False, True]


def test_the_log_has_no_gaps_and_drops_its_oldest() -> None:
    log = PhysicalLog(keep=3)
    for i in range(5):
        log.add(float(i), "x")
    assert [m.n for m in log.after(0)] == [3, 4, 5]
    assert [m.n for m in log.after(4)] == [5]
    assert log.after(5) == []
