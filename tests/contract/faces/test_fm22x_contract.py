"""The role of a face verifier by an FM22x driver, against a module written from the vendor's description, over a pty
whose bytes take the time that they take on a wire."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import DeviceStatus, DriverError, FaceFinding, FaceResult, FaceVerifier
from hw_sim.model.log import PhysicalLog
from hw_sim.wires.fm22x import FaceModule, FM22xOptions, Standing, User, framed
from hw_sim.wires.line import Line
from tests.contract.serial.cables import HANG_S, Rig

VERIFIED, WRONG, UNAVAILABLE = FaceFinding.VERIFIED, FaceFinding.WRONG, FaceFinding.UNAVAILABLE
SERIAL = "HLK-7"


class Site:
    """A module with alice (1) and bob (2) enrolled, a driver at its wire."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.log = PhysicalLog()
        self.line = Line("eye", path, 115200, random.Random(1), self.log, grain=8)
        self.line.plug()
        self.module = FaceModule(self.line, self.log, FM22xOptions(SERIAL, look_s=0.03, compare_s=0.05))
        self.module.users = {1: User("alice", b"ref-a"), 2: User("bob", b"ref-b")}
        self.hints: list[str] = []
        self._options = options

    def start(self) -> None:
        self.rig = Rig("fm22x", [self.line], port=str(self.line.path), **self._options)  # type: ignore[list-item]

    async def up(self) -> "Site":
        self.start()
        await self.rig.until(lambda: self.rig.up() is True)
        return self

    @property
    def device(self) -> Any:
        return self.rig.device

    def stand(self, *people: str, look: str = "live") -> None:
        self.module.see(tuple(Standing(person, look) for person in people))

    def hint(self, word: str) -> None:
        self.hints.append(word)
        self.rig.news()

    async def verify(self, uid: int = 1, timeout_s: float = 1.0, **more: Any) -> FaceResult:
        async with asyncio.timeout(HANG_S):
            result = await self.device.verify_face(template(uid, **more), hint=self.hint, timeout_s=timeout_s)
        assert isinstance(result, FaceResult)
        return result

    async def enrol(self, name: str = "ref-c", timeout_s: float = 3.0) -> bytes:
        async with asyncio.timeout(HANG_S):
            made = await self.device.enrol_face(name, hint=self.hint, timeout_s=timeout_s)
        assert isinstance(made, bytes)
        return made

    async def until(self, holds: Callable[[], bool]) -> None:
        """For what only the far end can tell."""
        async with asyncio.timeout(HANG_S):
            while not holds():
                await asyncio.sleep(0.002)

    def detail(self) -> str:
        return self.rig.of(DeviceStatus)[-1].detail

    def said(self, what: str) -> int:
        return sum(entry.what == what for entry in self.log.after(0))


NAMES = {1: b"ref-a", 2: b"ref-b"}


def template(uid: int = 1, **more: Any) -> bytes:
    mark = hashlib.sha256(NAMES.get(uid, b"")).hexdigest()[:16]
    return json.dumps({"fmt": "fm22x-user", "uid": uid, "device": SERIAL, "mark": mark, **more}).encode()


Make = Callable[..., Site]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(Site(tmp_path / "eye", **options))
        return made[-1]

    yield make
    for one in made:
        await one.rig.stop()
        one.module.stop()


# ---------------------------------------------------------------- comparing
async def test_the_one_of_the_template_is_verified(site: Make) -> None:
    at = await site().up()
    assert isinstance(at.device, FaceVerifier)
    assert (at.device.formats, at.device.liveness) == ({"fm22x-user"}, "hardware")
    at.stand("alice")
    assert await at.verify(1) == FaceResult(VERIFIED, "hardware")
    assert at.hints == []


async def test_another_enrolled_face_is_wrong(site: Make) -> None:
    at = await site().up()
    at.stand("bob")
    result = await at.verify(1)
    assert (result.finding, result.detail) == (WRONG, "another enrolled face")


async def test_a_stranger_is_wrong(site: Make) -> None:
    at = await site().up()
    at.stand("carol")
    assert (await at.verify(1)).finding is WRONG


async def test_a_printed_face_is_wrong_and_told_to_look(site: Make) -> None:
    at = await site().up()
    at.stand("alice", look="print")
    result = await at.verify(1)
    assert result.finding is WRONG and "alive" in result.detail
    assert at.hints == ["look_here"]


async def test_of_two_people_the_nearer_one_counts(site: Make) -> None:
    at = await site().up()
    at.stand("bob", "alice")
    assert (await at.verify(1)).finding is WRONG
    at.stand("alice", "bob")
    assert (await at.verify(1)).finding is VERIFIED


async def test_where_nobody_came_nothing_was_compared(site: Make) -> None:
    at = await site().up()
    result = await at.verify(1)
    assert result.finding is UNAVAILABLE and result.liveness == "none"
    assert at.hints == ["look_here"]


@pytest.mark.parametrize(
    ("look", "word"),
    [("far", "closer"), ("close", "farther"), ("left", "look_here"), ("eyes_covered", "uncover"), ("turned", "turn")],
)
async def test_who_stands_badly_is_told_and_has_not_tried(site: Make, look: str, word: str) -> None:
    at = await site().up()
    at.stand("alice", look=look)
    assert (await at.verify(1)).finding is UNAVAILABLE
    assert at.hints == [word]


async def test_hints_follow_the_person_and_do_not_repeat(site: Make) -> None:
    at = await site().up()
    verifying = asyncio.create_task(at.verify(1, timeout_s=20))
    await at.rig.until(lambda: "look_here" in at.hints)
    at.stand("alice", look="far")
    await at.rig.until(lambda: "closer" in at.hints)
    at.stand("alice")
    assert (await verifying).finding is VERIFIED
    assert at.hints == ["look_here", "closer"]


async def test_closed_eyes_are_refused(site: Make) -> None:
    at = await site().up()
    at.stand("alice", look="eyes_closed")
    result = await at.verify(1, timeout_s=5)
    assert (result.finding, result.detail) == (WRONG, "the eyes were closed")
    assert at.hints == ["eyes_open"] * 3


async def test_a_blink_costs_no_attempt(site: Make) -> None:
    at = await site().up()
    at.stand("alice", look="eyes_closed")
    verifying = asyncio.create_task(at.verify(1, timeout_s=20))
    await at.rig.until(lambda: "eyes_open" in at.hints)
    at.stand("alice")
    assert (await verifying).finding is VERIFIED


async def test_firmware_that_is_silent_about_eyes_proves_nothing(site: Make) -> None:
    at = await site().up()
    at.module.options.reports_eyes = False
    at.stand("alice")
    result = await at.verify(1)
    assert result.finding is UNAVAILABLE and "eyes" in result.detail


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (template(1, device="HLK-8"), "another module"),
        (json.dumps({"fmt": "fm22x-user", "uid": 1}).encode(), "by which module"),
        (template(0xFFFF), "uid"),
        (template(True), "uid"),
        (template(1, mark=""), "mark"),
        (json.dumps({"fmt": "vendingd-face-1", "uid": 1}).encode(), "none of fm22x-user"),
        (b"\xff\x00", "none of fm22x-user"),
        (b"[" * 5000, "none of fm22x-user"),
    ],
)
async def test_a_template_of_something_else_asks_nothing_of_the_module(site: Make, data: bytes, why: str) -> None:
    at = await site().up()
    at.stand("alice")
    result = await at.device.verify_face(data, hint=at.hint, timeout_s=1.0)
    assert result.finding is UNAVAILABLE and why in result.detail
    assert "12" not in at.line.counters.frames


@pytest.mark.parametrize(
    ("data", "unfit"),
    [
        (template(1), ""),
        (template(0), "malformed"),
        (template(0xFFFF), "malformed"),
        (template(True), "malformed"),
        (template("1"), "malformed"),  # type: ignore[arg-type]
        (template(1, mark=None), "malformed"),
        (template(1, device="HLK-8"), "other_device"),
        (json.dumps({"fmt": "fm22x-user", "uid": 1, "mark": "00"}).encode(), "malformed"),
    ],
)
async def test_a_template_is_judged_before_anybody_stands_there(site: Make, data: bytes, unfit: str) -> None:
    at = await site().up()
    judged = at.device.judge_face(data, from_utc=0.0)
    assert judged.unfit == unfit and bool(judged.detail) == bool(unfit) and bool(judged.user) == (not unfit)


async def test_a_module_that_was_never_heard_believes_what_a_template_says_of_it(site: Make) -> None:
    at = site()
    at.module.silent = True
    at.start()
    user = at.device.judge_face(template(1, device="HLK-8"), from_utc=0.0).user
    assert user and user == at.device.judge_face(template(1, device="HLK-8", mark="00"), from_utc=0.0).user
    assert user != at.device.judge_face(template(2, device="HLK-8"), from_utc=0.0).user


async def test_a_number_that_was_given_to_somebody_else_since(site: Make) -> None:
    at = await site().up()
    at.stand("carol")
    made = await at.enrol("ref-c")
    at.module.users[3] = User("dave", b"ref-d")
    at.stand("dave")
    result = await at.device.verify_face(made, hint=at.hint, timeout_s=1.0)
    assert result.finding is WRONG and "somebody else" in result.detail


async def test_one_at_a_time(site: Make) -> None:
    at = await site().up()
    first = asyncio.create_task(at.verify(1, timeout_s=20))
    await at.rig.until(lambda: bool(at.hints))
    second = await at.verify(2)
    assert second.finding is UNAVAILABLE and "one at a time" in second.detail
    at.stand("alice")
    assert (await first).finding is VERIFIED


async def test_a_success_that_nobody_asked_for_counts_for_nobody(site: Make) -> None:
    at = await site().up()
    success = bytes([0x12, 0, 0, 1]) + b"ref-a".ljust(32, b"\0") + b"\0\xc8"
    at.line.send(framed(0, success))
    await at.until(lambda: at.line.counters.bytes_out > 43)
    at.line.send(framed(0, success), delay_s=0.0)
    assert (await at.verify(1)).finding is UNAVAILABLE


async def test_who_gives_up_stops_the_module_and_the_next_one_is_served(site: Make) -> None:
    at = await site().up()
    verifying = asyncio.create_task(at.verify(1, timeout_s=200))
    await at.rig.until(lambda: bool(at.hints))
    verifying.cancel()
    await asyncio.wait([verifying])
    at.stand("bob")
    assert (await at.verify(2)).finding is VERIFIED
    assert at.line.counters.frames["10"] == 1
    assert at.rig.up() is True and len(at.rig.of(DeviceStatus)) == 1


async def test_a_module_that_was_left_verifying_is_reset_at_the_start(site: Make) -> None:
    at = site()
    at.module._begin(0x12, bytes([0, 200]), asyncio.get_running_loop().time())
    await at.up()
    assert not at.module.busy


# ---------------------------------------------------------------- demo mode
async def test_demo_mode_is_switched_off_at_the_start(site: Make) -> None:
    at = site()
    at.module.demo = True
    await at.up()
    at.stand("carol")
    assert (await at.verify(1)).finding is WRONG


async def test_a_module_that_stays_in_demo_mode_is_down(site: Make) -> None:
    at = site()
    at.module.demo = at.module.demo_stuck = True
    at.start()
    await at.rig.until(lambda: at.rig.up() is False)
    assert "demo mode" in at.detail()
    at.stand("alice")
    result = await at.verify(1)
    assert result.finding is UNAVAILABLE and "demo mode" in result.detail


@pytest.mark.long
async def test_a_success_in_demo_mode_is_refused_and_takes_the_module_down_until_it_restarts(site: Make) -> None:
    at = await site().up()
    at.module.demo = True
    at.stand("carol")
    assert (await at.verify(1)).finding is UNAVAILABLE
    await at.rig.until(lambda: at.rig.up() is False)
    assert "demo mode" in at.detail()
    at.module.demo = False
    asked = at.line.counters.frames["11"]
    await at.until(lambda: at.line.counters.frames["11"] >= asked + 2)  # it has looked again, and again
    assert at.rig.up() is False and (await at.verify(1)).finding is UNAVAILABLE
    at.module.restarted()
    await at.rig.until(lambda: at.rig.up() is True)
    at.stand("alice")
    assert (await at.verify(1)).finding is VERIFIED


async def test_without_the_check_a_demo_success_is_still_refused(site: Make) -> None:
    at = site(demo_check=False)
    at.module.demo = at.module.demo_stuck = True
    await at.up()
    at.stand("alice")
    result = await at.verify(1)
    assert result.finding is UNAVAILABLE and "demo mode" in result.detail


# ---------------------------------------------------------------- enrolling
async def test_enrolled_verified_forgotten(site: Make) -> None:
    at = await site().up()
    at.stand("carol")
    made = await at.enrol()
    assert {key: json.loads(made)[key] for key in ("fmt", "uid", "device")} == {
        "fmt": "fm22x-user",
        "uid": 3,
        "device": SERIAL,
    }
    assert b"ref-c" not in made and at.module.users[3] == User("carol", b"ref-c")
    assert at.hints == ["look_here"]
    assert (await at.device.verify_face(made, hint=at.hint, timeout_s=1.0)).finding is VERIFIED
    await at.device.forget_face(made)
    await at.device.forget_face(made)  # it has gone already: fine
    assert set(at.module.users) == {1, 2} and at.said("all_users_deleted") == 0
    assert (await at.device.verify_face(made, hint=at.hint, timeout_s=1.0)).finding is WRONG


async def test_five_directions(site: Make) -> None:
    at = await site(enrolment="interactive").up()
    at.stand("carol")
    assert json.loads(await at.enrol(timeout_s=10))["uid"] == 3
    assert at.hints == ["look_here", "turn_right", "turn_left", "look_down", "look_up"]
    assert at.line.counters.frames["26"] == 5


async def test_what_an_enrolment_left_half_done_is_forgotten_before_the_next(site: Make) -> None:
    at = await site(enrolment="interactive").up()
    at.module._directions = 0x1E
    at.stand("carol")
    await at.enrol(timeout_s=10)
    assert at.line.counters.frames["26"] == 5


@pytest.mark.parametrize(
    ("person", "look", "why"),
    [
        ("alice", "live", "enrolled already"),
        ("carol", "print", "alive"),
        ("carol", "far", "no face stood well enough"),
    ],
)
async def test_who_cannot_be_enrolled(site: Make, person: str, look: str, why: str) -> None:
    at = await site().up()
    at.stand(person, look=look)
    with pytest.raises(DriverError, match=why):
        await at.enrol(timeout_s=1.0)
    assert set(at.module.users) == {1, 2}


async def test_no_room_for_another_face(site: Make) -> None:
    at = await site().up()
    at.module.options.capacity = 2
    at.stand("carol")
    with pytest.raises(DriverError, match="no room"):
        await at.enrol()


@pytest.mark.parametrize("name", ["", "x" * 32, "é" * 16, "a\0b"])
async def test_a_name_that_does_not_fit_is_not_told(site: Make, name: str) -> None:
    at = await site().up()
    with pytest.raises(DriverError, match="1 to 31 bytes") as refused:
        await at.enrol(name)
    assert not name or name not in str(refused.value)


async def test_a_name_of_half_a_character_is_taken_all_the_same(site: Make) -> None:
    at = await site().up()
    at.stand("carol")
    await at.enrol("a\ud800")
    assert at.module.users[3].name == b"a?"


async def test_who_gives_up_an_enrolment_leaves_nobody_behind(site: Make) -> None:
    at = await site().up()
    at.line.faults.late_s = 0.3  # the module has enrolled before its word is heard
    at.stand("carol")
    enrolling = asyncio.create_task(at.enrol())
    await at.until(lambda: 3 in at.module.users)
    enrolling.cancel()
    await asyncio.wait([enrolling])
    await at.until(lambda: 3 not in at.module.users)
    assert set(at.module.users) == {1, 2}


async def test_a_module_that_enrols_after_its_reset_leaves_nobody_behind(site: Make) -> None:
    at = await site().up()
    at.module.options.finishes = True
    at.stand("carol", look="far")
    enrolling = asyncio.create_task(at.enrol())
    await at.rig.until(lambda: "closer" in at.hints)
    enrolling.cancel()
    await asyncio.wait([enrolling])
    await at.until(lambda: at.said("user_enrolled") == 1)
    await at.until(lambda: 3 not in at.module.users)
    at.stand("bob")
    assert (await at.verify(2)).finding is VERIFIED


async def test_of_another_modules_template_nothing_is_kept_here(site: Make) -> None:
    at = await site().up()
    await at.device.forget_face(template(1, device="HLK-8"))
    assert set(at.module.users) == {1, 2}


async def test_a_module_that_is_away_cannot_forget(site: Make) -> None:
    at = await site().up()
    at.line.unplug()
    await at.rig.until(lambda: at.rig.up() is False)
    with pytest.raises(DriverError, match=r"check the cable|went away|is not there"):
        await at.device.forget_face(template(1))


# ---------------------------------------------------------------- the wire
async def test_unplugged_and_back(site: Make) -> None:
    at = await site().up()
    verifying = asyncio.create_task(at.verify(1, timeout_s=200))
    await at.rig.until(lambda: bool(at.hints))
    at.line.unplug()
    at.module.stop()
    result = await verifying
    assert result.finding is UNAVAILABLE
    await at.rig.until(lambda: at.rig.up() is False)
    assert any(word in at.detail() for word in ("check the cable", "went away"))
    assert (await at.verify(1)).finding is UNAVAILABLE
    at.line.plug()
    await at.rig.until(lambda: at.rig.up() is True)
    at.stand("alice")
    assert (await at.verify(1)).finding is VERIFIED


async def test_a_module_that_restarts_meanwhile_compares_nothing(site: Make) -> None:
    at = await site().up()
    verifying = asyncio.create_task(at.verify(1, timeout_s=200))
    await at.rig.until(lambda: bool(at.hints))
    at.module.restarted()
    assert (await verifying).finding is UNAVAILABLE
    await at.rig.until(lambda: at.rig.up() is True)
    assert [status.up for status in at.rig.of(DeviceStatus)] == [True, False, True]


@pytest.mark.long
async def test_a_silent_module_is_down_and_comes_back(site: Make) -> None:
    at = await site(status_s=0.5).up()
    at.module.silent = True
    await at.rig.until(lambda: at.rig.up() is False)
    assert "does not answer" in at.detail() and "power" in at.detail()
    at.module.silent = False
    await at.rig.until(lambda: at.rig.up() is True)


@pytest.mark.parametrize(("state", "word"), [(2, "faulty"), (3, "not ready")])
async def test_a_module_that_says_it_is_out_of_order_is_down(site: Make, state: int, word: str) -> None:
    at = site()
    at.module.state = state
    at.start()
    await at.rig.until(lambda: at.rig.up() is False)
    assert word in at.detail()


async def test_a_serial_number_is_needed_or_a_name_given(site: Make) -> None:
    at = site()
    at.module.options.serial = ""
    at.start()
    await at.rig.until(lambda: at.rig.up() is False)
    assert "serial number" in at.detail()


async def test_a_name_given_by_the_site_is_the_templates(site: Make) -> None:
    at = await site(id="front-eye").up()
    at.stand("carol")
    assert json.loads(await at.enrol())["device"] == "front-eye"


@pytest.mark.long
async def test_bytes_lost_on_the_way_never_verify_another(site: Make) -> None:
    """One byte in 60 is lost and one in 60 wrong: some comparisons come to nothing, none to the wrong person."""
    at = await site().up()
    at.line.faults.drop_one_in = at.line.faults.corrupt_one_in = 60
    at.line.faults.drop_direction = at.line.faults.corrupt_direction = "out"
    found = []
    for person in ("alice", "bob", "carol", "bob"):
        at.stand(person)
        found.append((person, (await at.verify(1)).finding))
        await at.rig.until(lambda: at.rig.up() is True)
    assert all(finding is not VERIFIED for person, finding in found if person != "alice")
    assert at.line.counters.corrupted > 3 and at.line.counters.dropped > 3


async def test_answers_that_come_late_or_twice_count_once(site: Make) -> None:
    at = await site().up()
    at.line.faults.late_s, at.line.faults.repeats = 0.2, 1
    at.stand("alice")
    assert (await at.verify(1)).finding is VERIFIED
    at.stand("bob")
    assert (await at.verify(1)).finding is WRONG
    at.stand()
    assert (await at.verify(1)).finding is UNAVAILABLE


async def test_an_adapter_that_hears_itself(site: Make) -> None:
    at = site()
    at.line.faults.echo = True
    await at.up()
    at.stand("alice")
    assert (await at.verify(1)).finding is VERIFIED


async def test_no_name_reaches_log_or_report(site: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    at = await site().up()
    at.stand("carol")
    made = await at.enrol("ref-secret")
    result = await at.device.verify_face(made, hint=at.hint, timeout_s=1.0)
    at.module.restarted()
    await at.rig.until(lambda: len(at.rig.of(DeviceStatus)) == 3)
    assert "ref-secret" not in caplog.text + repr(result) + repr(at.rig.reports) + repr(at.device.__dict__)
