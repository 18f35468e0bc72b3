"""What an FM22x module's answers mean, and what a template says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.faces.fm22x_frames import FaceState, Match, Result
from drivers.faces.fm22x_jobs import HINTS, Template, hint_of, judge, mark_of, words_of
from drivers.ports import DriverError, FaceFinding

VERIFIED, WRONG, UNAVAILABLE = FaceFinding.VERIFIED, FaceFinding.WRONG, FaceFinding.UNAVAILABLE
WANTED = Template(7, "HLK-1", mark_of(b"ref"))
FORM = "fm22x-user"


@pytest.mark.parametrize(
    ("match", "finding", "hint"),
    [
        (Match(7, b"ref", 0xC8), VERIFIED, ""),
        (Match(7, b"ref", 0xCC), WRONG, "eyes_open"),
        (Match(7, b"ref", None), UNAVAILABLE, ""),
        (Match(7, b"ref", 0x00), UNAVAILABLE, ""),
        (Match(7, b"other", 0xC8), WRONG, ""),
        (Match(8, b"ref", 0xC8), WRONG, ""),
        (Match(0xFFFF, b"ref", 0xC8), WRONG, ""),
        (None, UNAVAILABLE, ""),
    ],
)
def test_who_was_named(match: Match | None, finding: FaceFinding, hint: str) -> None:
    result, word = judge(Result.OK, match, WANTED, compared=True)
    assert (result.finding, word) == (finding, hint)
    assert (result.liveness == "hardware") == (match is not None and finding is not UNAVAILABLE)


@given(st.integers(0, 255), st.booleans())
def test_only_a_named_user_is_verified(number: int, compared: bool) -> None:
    result, _ = judge(number, None, WANTED, compared=compared)
    assert result.finding is not VERIFIED and result.detail


@pytest.mark.parametrize(
    ("result", "compared", "finding"),
    [
        (Result.UNKNOWN_USER, True, WRONG),
        (Result.REJECTED, True, WRONG),
        (Result.LIVENESS, False, WRONG),
        (Result.TIMEOUT, True, WRONG),
        (Result.TIMEOUT, False, UNAVAILABLE),
        (Result.ABORTED, True, UNAVAILABLE),
        (Result.CAMERA, True, UNAVAILABLE),
        (99, True, UNAVAILABLE),
    ],
)
def test_what_counts_as_an_attempt(result: int, compared: bool, finding: FaceFinding) -> None:
    assert judge(result, None, WANTED, compared=compared)[0].finding is finding


@pytest.mark.parametrize(
    ("result", "match", "why"),
    [
        (Result.OK, Match(7, b"ref", 0xC8), ""),
        (Result.OK, Match(7, b"ref", 0xCC), "eyes_closed"),
        (Result.OK, Match(8, b"ref", 0xC8), "another_face"),
        (Result.OK, Match(7, b"other", 0xC8), "another_face"),
        (Result.LIVENESS, None, "not_alive"),
        (Result.UNKNOWN_USER, None, "not_enrolled"),
        (Result.TIMEOUT, None, "nobody"),
        (Result.CAMERA, None, "device_down"),
    ],
)
def test_why_it_did_not_verify_is_a_word_for_the_record(result: int, match: Match | None, why: str) -> None:
    assert judge(result, match, WANTED, compared=False)[0].why == why


def test_every_state_that_somebody_can_change_has_a_word() -> None:
    assert set(FaceState) - set(HINTS) == {FaceState.NORMAL, FaceState.EYES_OPEN}
    assert hint_of(0) == hint_of(-1) == hint_of(999) == ""


def test_every_result_has_words() -> None:
    for result in set(Result) - {Result.OK}:
        assert f"(result {result})" in words_of(result)
    assert "99" in words_of(99)


def test_a_template_is_read_as_it_was_written() -> None:
    assert Template.read(WANTED.written(FORM), FORM) == WANTED
    more = b'{"fmt": "fm22x-user", "uid": 1, "device": "d", "mark": "ab", "more": 1}'
    assert Template.read(more, FORM) == Template(1, "d", "ab")


@pytest.mark.parametrize(
    "change",
    [
        {"fmt": "other"}, {"uid": 0}, {"uid": 0xFFFF}, {"uid": -1}, {"uid": "7"}, {"uid": 7.0}, {"uid": True},
        {"uid": None}, {"device": ""}, {"device": 3}, {"device": None}, {"mark": 1}, {"mark": ""},
        {"mark": None}, {"pad": "x" * 2000},
    ],
)  # fmt: skip
def test_a_template_with_a_defect_is_refused(change: dict[str, Any]) -> None:
    whole = {"fmt": FORM, "uid": 7, "device": "secret-device", "mark": "00"}
    with pytest.raises(DriverError, match="the template") as refused:
        Template.read(json.dumps({**whole, **change}).encode(), FORM)
    assert "secret-device" not in str(refused.value)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)))
def test_any_bytes_are_a_template_or_refused(data: bytes) -> None:
    try:
        found = Template.read(data, FORM)
    except DriverError:
        return
    assert found.device
