"""What is drawn, and what counts as the movement."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter

import pytest

from drivers.faces.challenge import CLOSER, STEPS, TURN_LEFT, TURN_RIGHT, Challenge, Progress, series
from tests.unit.faces.looks import face


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_series_holds_a_turn_and_repeats_no_step(count: int) -> None:
    for _ in range(200):
        drawn = series(count, secrets.randbelow)
        assert len(drawn) == count
        assert {TURN_LEFT, TURN_RIGHT} & set(drawn)
        assert all(a != b for a, b in itertools.pairwise(drawn))


def test_all_series_of_two_come_about_as_often() -> None:
    drawn = Counter(series(2, secrets.randbelow) for _ in range(3000))
    assert len(drawn) == 6
    assert all(350 < often < 650 for often in drawn.values()), drawn  # 500 is meant; far beyond six sigma is asked


def run(challenge: Challenge, now: float, seconds: float, **pose: float) -> tuple[Progress, float]:
    progress, end = Progress.GOING_ON, now + seconds
    while now < end and progress is Progress.GOING_ON:
        progress = challenge.saw(face(**pose), now)
        now += 0.1
    return progress, now


def test_the_moment_of_the_question_depends_on_chance() -> None:
    moments = set()
    for tenths in range(9):
        challenge, now = Challenge(1, lambda n, t=tenths: min(t, n - 1)), 0.0
        while challenge.asks not in STEPS:
            challenge.saw(face(), now)
            now += 0.02
        moments.add(round(now, 1))
    assert len(moments) == 9


def test_one_frame_is_not_a_movement() -> None:
    challenge = Challenge(1, lambda n: 0)
    _, now = run(challenge, 0.0, 1.0)
    assert challenge.asks == TURN_LEFT
    for nose in (0.5, 0.0, 0.5, 0.0):
        assert challenge.saw(face(nose), now) is Progress.GOING_ON
        now += 0.1
    challenge.saw(face(0.5), now)
    assert challenge.saw(face(0.5), now + 0.1) is Progress.MET


def test_the_place_at_rest_is_the_persons_own() -> None:
    challenge = Challenge(1, lambda n: 0)
    _, now = run(challenge, 0.0, 1.0, nose=0.25)
    progress, now = run(challenge, now, 1.0, nose=0.5)
    assert progress is Progress.GOING_ON, "a quarter more than at rest is no turn"
    assert run(challenge, now, 1.0, nose=0.6)[0] is Progress.MET


def test_coming_closer_is_measured_from_where_the_person_stood() -> None:
    draws = [2]
    challenge = Challenge(2, lambda n: draws.pop() if draws else 0)
    _, now = run(challenge, 0.0, 1.0, width=100.0)
    assert challenge.asks == CLOSER
    progress, now = run(challenge, now, 1.0, width=120.0)
    assert progress is Progress.GOING_ON
    run(challenge, now, 0.25, width=130.0)
    assert challenge.asks != CLOSER
