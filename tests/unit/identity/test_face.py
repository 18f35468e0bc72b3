"""A template is sealed, handed to the device that knows it, and forgotten; no result says more than right or wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from drivers.ports import DriverError, FaceFinding, FaceJudgement, FaceResult
from tests.unit.virtual import simulate
from vendingd.identity.face import GRACE_S, MOST_BYTES, Enrolled, FaceError, FaceFactor
from vendingd.identity.factors import FactorResult, Finding, Liveness
from vendingd.identity.seal import Sealer

TEMPLATE = {"fmt": "fm22x-user", "uid": 7}
SEALER = Sealer(b"k" * 32)


class Eye:
    """A device that looks as the test says."""

    formats = frozenset({"fm22x-user"})
    liveness = "hardware"

    def __init__(self, result: FaceResult | Exception | None = None, hints: tuple[str, ...] = ()) -> None:
        self.result, self.hints = result, hints
        self.seen: list[Any] = []
        self.forgotten: list[Any] = []

    def judge_face(self, template: bytes, *, from_utc: float) -> FaceJudgement:
        """By what the template says of itself."""
        said = json.loads(template)
        if "unfit" in said:
            return FaceJudgement(said["unfit"], f"a defect at {from_utc:g}")
        return FaceJudgement(user=str(said.get("uid", "")))

    async def verify_face(self, template: bytes, *, hint: Callable[[str], None], timeout_s: float) -> FaceResult:
        self.seen.append((json.loads(template), timeout_s))
        for word in self.hints:
            hint(word)
        if self.result is None:
            await asyncio.sleep(1e6)
        assert isinstance(self.result, FaceResult)
        return self.result

    async def enrol_face(self, name: str, *, hint: Callable[[str], None], timeout_s: float) -> bytes:
        raise AssertionError("nobody enrols here")

    async def forget_face(self, template: bytes) -> None:
        if isinstance(self.result, Exception):
            raise self.result
        self.forgotten.append(json.loads(template))


def factor(eye: Eye) -> FaceFactor:
    return FaceFactor(SEALER, {"front": eye, "back": eye}, timeout_s=5.0)


def kept(one: FaceFactor, wire: object, rental: str = "r1") -> str:
    sealed = one.enrol(rental, wire).sealed
    assert sealed is not None
    return sealed


def verify(eye: Eye, terminal: str = "front", rental: str = "r1", sealed: str | None = None) -> FactorResult:
    one = factor(eye)
    enrolled = sealed if sealed is not None else kept(one, json.dumps(TEMPLATE))
    return simulate(one.verify(terminal, rental, enrolled, eye.seen.append))


@pytest.mark.parametrize(
    ("finding", "liveness", "expected"),
    [
        (FaceFinding.VERIFIED, "hardware", (Finding.VERIFIED, Liveness.HARDWARE)),
        (FaceFinding.VERIFIED, "challenge", (Finding.VERIFIED, Liveness.CHALLENGE)),
        (FaceFinding.VERIFIED, "surely", (Finding.VERIFIED, Liveness.NONE)),
        (FaceFinding.WRONG, "none", (Finding.WRONG, Liveness.NONE)),
        (FaceFinding.UNAVAILABLE, "none", (Finding.UNAVAILABLE, Liveness.NONE)),
    ],
)
def test_the_devices_word(finding: FaceFinding, liveness: str, expected: tuple[Finding, Liveness]) -> None:
    eye = Eye(FaceResult(finding, liveness))
    result = verify(eye)
    assert (result.finding, result.liveness) == expected
    assert eye.seen == [(TEMPLATE, 5.0)]


@pytest.mark.parametrize(
    ("told", "why"), [("not_alive", "not_alive"), ("score 0.93 of user 7", "unknown"), ("", "unknown")]
)
def test_only_words_that_a_record_knows_are_passed_on(told: str, why: str) -> None:
    assert verify(Eye(FaceResult(FaceFinding.WRONG, why=told))).why == why


def test_only_words_that_a_screen_knows_are_passed_on() -> None:
    eye = Eye(FaceResult(FaceFinding.VERIFIED), ("closer", "score 0.93 of user 7", "one_person"))
    verify(eye)
    assert eye.seen[1:] == ["closer", "one_person"]


def test_a_device_that_hangs_has_compared_nothing() -> None:
    result = verify(Eye(None))
    assert result.finding is Finding.UNAVAILABLE and "5 s" in result.detail and GRACE_S > 0


@pytest.mark.parametrize("broken", ["another rental's", "damaged", "another terminal"])
def test_what_cannot_be_opened_is_not_compared(broken: str) -> None:
    eye = Eye(FaceResult(FaceFinding.VERIFIED))
    if broken == "another rental's":
        result = verify(eye, rental="r2")
    elif broken == "damaged":
        result = verify(eye, sealed="s1.x")
    else:
        result = verify(eye, terminal="side")
    assert result.finding is Finding.UNAVAILABLE and eye.seen == []


def test_a_template_is_sealed_for_its_rental_alone() -> None:
    sealed = kept(factor(Eye()), TEMPLATE)
    assert "fm22x" not in sealed and '"uid"' not in sealed
    assert json.loads(SEALER.open("r1", "face", sealed)) == TEMPLATE


@pytest.mark.parametrize("wire", ["no JSON", "[]", "{}", '{"fmt": 7}', json.dumps({"fmt": "x", "v": "A" * MOST_BYTES})])
def test_what_is_no_template(wire: str) -> None:
    with pytest.raises(FaceError):
        factor(Eye()).enrol("r1", wire)


def test_what_its_device_cannot_ever_compare_is_said_when_it_is_booked() -> None:
    one = factor(Eye())
    with pytest.raises(FaceError, match="a defect at 7"):
        one.enrol("r1", TEMPLATE | {"unfit": "malformed"}, from_utc=7.0)
    assert one.enrol("r1", TEMPLATE | {"unfit": "other_device"}) == Enrolled("fm22x-user", unused="other_device")
    assert one.enrol("r1", {"fmt": "of-tomorrow"}) == Enrolled("of-tomorrow", unused="other_format")


def test_one_device_of_several_is_enough() -> None:
    class Elsewhere(Eye):
        def judge_face(self, template: bytes, *, from_utc: float) -> FaceJudgement:
            return FaceJudgement("other_device", "not mine")

    one = FaceFactor(SEALER, {"front": Elsewhere(), "back": Eye()}, timeout_s=5.0)
    assert one.enrol("r1", TEMPLATE).sealed is not None and one.enrol("r1", TEMPLATE).unused == ""


def test_whom_a_device_keeps_is_known_again_and_never_named() -> None:
    one = factor(Eye())
    users = [one.enrol(rental, template).user for rental, template in (("r1", TEMPLATE), ("r2", TEMPLATE | {"a": 1}))]
    assert users[0] is not None and users[0] == users[1] != one.enrol("r1", TEMPLATE | {"uid": 8}).user
    other = FaceFactor(Sealer(b"o" * 32), {"front": Eye()}, timeout_s=5.0)
    assert other.enrol("r1", TEMPLATE).user != users[0], "by this machine's key alone"


def test_a_device_forgets_once_what_is_of_its_format() -> None:
    eye, one = Eye(), factor(Eye())
    one = factor(eye)
    asyncio.run(one.forget("r1", kept(one, TEMPLATE)))
    asyncio.run(one.forget("r1", SEALER.seal("r1", "face", b'{"fmt": "vendingd-face-1"}')))
    asyncio.run(one.forget("r1", "s1.cannot.be.opened.any-more"))
    assert eye.forgotten == [TEMPLATE]


def test_a_device_that_cannot_forget_says_so() -> None:
    one = factor(Eye(DriverError("unplugged")))
    with pytest.raises(DriverError):
        asyncio.run(one.forget("r1", kept(one, TEMPLATE)))
