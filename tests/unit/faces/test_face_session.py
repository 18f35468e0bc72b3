"""When a comparison is decided, and by what: frames without pictures, times without a clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from drivers.faces.challenge import STEP_S, TURN_LEFT, TURN_RIGHT
from drivers.faces.gates import CLOSER, HOLD_STILL, LOOK_HERE, MORE_LIGHT, ONE_PERSON, Look
from drivers.faces.session import FRAMES_ENROL, Broken, Enrolment, Hints, Verification
from drivers.faces.template import cosine
from drivers.ports import FACE_WHYS, FaceFinding, FaceResult
from tests.unit.faces.looks import bad, empty, good, vector


class Rig:
    """A comparison with person 0, fed at its own pace."""

    def __init__(self, *, steps: int = 0, draws: Sequence[int] = (), threshold: float = 0.45, earlier=frozenset()):
        self.said: list[str] = []
        self._draws = list(draws)
        self.watch = Verification(
            vector(0),
            self.said.append,
            threshold=threshold,
            challenge_steps=steps,
            below=lambda n: self._draws.pop(0) if self._draws else 0,
            earlier=earlier,
        )
        self.now = 100.0
        self.result: FaceResult | None = None

    def see(self, *looks: Look, every: float | None = None) -> FaceResult | None:
        for look in looks:
            assert self.result is None, "it is over already"
            self.result = self.watch.saw(look, self.now)
            self.now += every if every is not None else self.watch.next_look_s
        return self.result

    def until_asked(self, *, most: int = 40, **pose: float) -> str:
        """Look straight ahead until a movement is asked for."""
        for _ in range(most):
            before = len(self.said)
            self.see(good(**pose))
            assert self.result is None, self.result
            if self.said[before:] and self.said[-1] != LOOK_HERE:
                return self.said[-1]
        raise AssertionError("nothing is asked for")

    def moves(self, **pose: float) -> FaceResult | None:
        """Make a movement in three frames and come back."""
        for _ in range(3):
            if self.result is None:
                self.see(good(**pose))
        return self.result


def verified(liveness: str = "none") -> FaceResult:
    return FaceResult(FaceFinding.VERIFIED, liveness)


# ---------------------------------------------------------------- three frames
def test_three_good_frames_over_six_tenths_verify() -> None:
    rig = Rig()
    began = rig.now
    assert rig.see(good(), good()) is None
    assert rig.see(good()) == verified()
    assert rig.now - rig.watch.next_look_s - began == pytest.approx(0.6)


def test_a_hundred_frames_in_half_a_second_are_not_enough() -> None:
    rig = Rig()
    assert rig.see(*(good() for _ in range(100)), every=0.0059) is None


def test_another_face_is_one_attempt() -> None:
    rig = Rig()
    result = rig.see(good(1), good(1), good(1))
    assert result is not None
    assert (result.finding, result.liveness) == (FaceFinding.WRONG, "none")


@pytest.mark.parametrize(("likeness", "finding"), [(0.46, FaceFinding.VERIFIED), (0.44, FaceFinding.WRONG)])
def test_the_threshold_decides_over_the_mean(likeness: float, finding: FaceFinding) -> None:
    result = Rig(threshold=0.45).see(*(good(likeness=likeness) for _ in range(3)))
    assert result is not None and result.finding is finding


def test_the_mean_counts_not_the_best_frame() -> None:
    looks = [
        replace(good(), vector=vector(0, likeness, other)) for likeness, other in ((0.75, 50), (0.5, 50), (0.3, 50))
    ]
    mean = [sum(parts) for parts in zip(*(look.vector for look in looks), strict=True)]
    length = sum(part * part for part in mean) ** 0.5
    assert mean[0] / length > 0.45
    assert Rig().see(*looks) == verified()


def test_a_threshold_below_the_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="below"):
        Rig(threshold=0.39)


def test_numbers_that_are_none_verify_nothing() -> None:
    nothing = replace(good(), vector=(float("nan"),) * 128)
    rig = Rig()
    assert rig.see(nothing) is None
    assert rig.see(replace(nothing, digest=b"2")) is None, "begins anew, once"
    result = rig.see(replace(nothing, digest=b"3"))
    assert result is not None and result.finding is FaceFinding.WRONG


# ---------------------------------------------------------------- words
@pytest.mark.parametrize("word", [CLOSER, ONE_PERSON, HOLD_STILL, MORE_LIGHT])
def test_a_frame_that_is_not_good_says_its_word_and_counts_nothing(word: str) -> None:
    rig = Rig()
    rig.see(good(), good(), bad(word))
    assert rig.said == [word]
    assert rig.see(good()) == verified()


def test_an_empty_scene_is_no_attempt() -> None:
    rig = Rig()
    rig.see(*(empty() for _ in range(20)))
    result = rig.watch.timed_out()
    assert result.finding is FaceFinding.UNAVAILABLE and LOOK_HERE in result.detail
    assert set(rig.said) == {LOOK_HERE}


def test_two_people_all_the_time_are_no_attempt() -> None:
    rig = Rig()
    rig.see(*(bad(ONE_PERSON) for _ in range(20)))
    assert rig.watch.timed_out().finding is FaceFinding.UNAVAILABLE


def test_words_are_said_no_faster_than_they_are_read() -> None:
    said: list[str] = []
    hints = Hints(said.append)
    for n in range(60):
        hints.offer((CLOSER, LOOK_HERE)[n % 2], n * 0.1)
    assert len(said) <= 8
    hints.offer("turn_left", 5.95, now=True)
    assert said[-1] == "turn_left"
    for n in range(100):
        hints.offer("turn_left", 6 + n * 0.1)
    assert said.count("turn_left") == 3


# ---------------------------------------------------------------- one face
def test_a_gap_begins_anew_and_a_second_one_ends_it() -> None:
    rig = Rig()
    rig.see(good(), good(), *(empty() for _ in range(6)))
    assert rig.see(good(), good()) is None, "the frames before the gap no longer count"
    rig.see(*(bad(ONE_PERSON) for _ in range(6)))
    result = rig.see(good())
    assert result is not None
    assert (result.finding, result.detail) == (FaceFinding.UNAVAILABLE, "the face went away")


def test_a_machine_that_did_not_look_begins_anew_and_blames_nobody() -> None:
    rig = Rig()
    for _ in range(4):
        rig.see(good(), good())
        rig.now += 1.1
    assert rig.see(good(), good()) is None
    assert rig.see(good()) == verified()


def test_a_swap_while_nobody_looked_is_still_one() -> None:
    rig = Rig()
    rig.see(good(0), good(0))
    rig.now += 1.1
    rig.see(good(1), good(1))
    result = rig.see(good(1))
    assert result is not None and result.finding is FaceFinding.WRONG


def test_the_right_face_after_a_gap_is_verified() -> None:
    rig = Rig()
    rig.see(good(), good(), *(empty() for _ in range(8)))
    assert rig.see(good(), good()) is None
    assert rig.see(good()) == verified()


def test_two_frames_of_the_right_face_do_not_carry_another_one() -> None:
    rig = Rig()
    rig.see(good(0), good(0))
    assert rig.see(good(1), good(1)) is None
    result = rig.see(good(1))
    assert result is not None and result.finding is FaceFinding.WRONG


def test_faces_that_change_to_and_fro_are_an_attempt() -> None:
    rig = Rig()
    rig.see(good(0), good(1))
    result = rig.see(good(0))
    assert result is not None
    assert (result.finding, result.detail) == (FaceFinding.WRONG, "the face became another one")


# ---------------------------------------------------------------- replays
def test_one_picture_all_the_time_is_no_live_camera() -> None:
    rig, still = Rig(), good()
    for _ in range(20):
        if rig.see(still) is not None:
            break
    assert rig.result is not None
    assert rig.result.finding is FaceFinding.UNAVAILABLE and "one picture" in rig.result.detail


def test_a_streamer_that_repeats_a_frame_now_and_then_is_none_the_worse() -> None:
    rig, first, second = Rig(), good(), good()
    rig.see(first, every=0.3)
    rig.see(first, second, second, every=0.15)
    assert rig.see(good()) == verified()


def test_frames_that_come_again_are_an_attempt() -> None:
    rig = Rig()
    film = [good(nose=0.01 * n) for n in range(4)]
    rig.see(*film[:3], every=0.1)
    result = rig.see(film[0])
    assert result is not None and result.finding is FaceFinding.WRONG and "there before" in result.detail


def test_frames_of_an_earlier_comparison_are_an_attempt() -> None:
    film = [good() for _ in range(3)]
    before = Rig()
    before.see(*film)
    rig = Rig(earlier=frozenset(before.watch.replay.digests))
    result = rig.see(film[0]) or rig.see(film[1])
    assert result is not None and result.finding is FaceFinding.WRONG


# ---------------------------------------------------------------- challenge
def test_movements_that_were_asked_for_make_it_live() -> None:
    rig = Rig(steps=2, draws=[0, 1])  # left, then closer of right and closer
    assert rig.until_asked() == TURN_LEFT
    rig.moves(nose=0.45)
    assert rig.until_asked() == CLOSER
    assert rig.moves(width=200.0) == verified("challenge")


@pytest.mark.parametrize(("draw", "asked", "nose"), [(0, TURN_LEFT, -0.45), (1, TURN_RIGHT, 0.45), (2, CLOSER, 0.45)])
def test_another_movement_fails(draw: int, asked: str, nose: float) -> None:
    rig = Rig(steps=2, draws=[draw])
    assert rig.until_asked() == asked
    result = rig.moves(nose=nose)
    assert result is not None
    assert (result.finding, result.detail) == (FaceFinding.WRONG, "challenge: another movement came")


def test_no_movement_fails() -> None:
    rig = Rig(steps=1, draws=[0])
    rig.until_asked()
    asked = rig.now
    while rig.see(good()) is None:
        pass
    assert rig.result is not None and rig.result.finding is FaceFinding.WRONG
    assert STEP_S - 1 < rig.now - asked < STEP_S + 1


def test_time_that_ends_in_a_challenge_is_an_attempt() -> None:
    rig = Rig(steps=1, draws=[0])
    rig.until_asked()
    assert rig.watch.timed_out().finding is FaceFinding.WRONG


def test_a_head_that_is_turned_before_it_was_asked_is_not_asked() -> None:
    rig = Rig(steps=1, draws=[0])
    rig.see(good(), good(), good(), good())
    for _ in range(30):
        rig.see(good(nose=0.34))
    assert set(rig.said) == {LOOK_HERE}


def test_a_swap_in_the_challenge_is_an_attempt_and_no_second_chance() -> None:
    rig = Rig(steps=1, draws=[0])
    rig.until_asked()
    result = rig.see(good(1, 0.45))
    assert result is not None
    assert (result.finding, result.detail) == (FaceFinding.WRONG, "the face became another one")


def test_what_is_asked_for_tells_nobody_whether_the_face_is_the_right_one() -> None:
    said = []
    for person in (0, 1):
        rig = Rig(steps=2, draws=[0, 1])
        poses = {TURN_LEFT: {"nose": 0.45}, CLOSER: {"width": 200.0}}
        for _ in range(100):
            if rig.result is None:
                rig.see(good(person, **poses.get(rig.said[-1] if rig.said else "", {})))
        said.append(rig.said)
        assert rig.result is not None and rig.result.finding is (FaceFinding.WRONG if person else FaceFinding.VERIFIED)
    assert said[0] == said[1] and {TURN_LEFT, CLOSER} <= set(said[0])


STILL = good()


@pytest.mark.parametrize(
    "then",
    [
        [empty() for _ in range(8)] + [good()],
        [bad(HOLD_STILL) for _ in range(8)] + [good()],
        [STILL] * 12,
    ],
    ids=["goes away and comes back", "is blurred", "freezes"],
)
def test_whoever_breaks_it_off_after_a_movement_was_asked_for_has_had_the_attempt(then: list[Look]) -> None:
    rig = Rig(steps=2)
    rig.until_asked()
    for look in then:
        if rig.result is None:
            rig.see(look, every=0.2)
    assert rig.result is not None and rig.result.finding is FaceFinding.WRONG


@pytest.mark.parametrize("word", ["", ONE_PERSON])
def test_whoever_is_gone_after_a_movement_was_asked_for_has_had_the_attempt(word: str) -> None:
    rig = Rig(steps=2)
    rig.until_asked()
    rig.see(*(bad(word) if word else empty() for _ in range(30)), every=0.2)
    assert rig.watch.timed_out().finding is FaceFinding.WRONG
    assert rig.watch.broken("the camera is gone", "device_down").finding is FaceFinding.WRONG


def test_before_a_movement_was_asked_for_nothing_was_learnt_and_nothing_counts() -> None:
    rig = Rig(steps=2)
    rig.see(good(), good(), good(), good())
    assert rig.watch.broken("the camera is gone", "device_down").finding is FaceFinding.UNAVAILABLE
    assert rig.watch.timed_out().finding is FaceFinding.UNAVAILABLE


def test_the_face_that_moved_is_compared_once_more() -> None:
    rig = Rig(steps=1, draws=[0])
    rig.until_asked()
    for likeness in (0.8, 0.5, 0.3):  # no step of it a jump
        rig.see(good(nose=0.45, likeness=likeness))
    result = rig.see(good(likeness=0.3))
    assert result is not None
    assert (result.finding, result.detail) == (FaceFinding.WRONG, "another face at the end than at the beginning")


def test_blur_of_a_movement_does_not_overwrite_what_is_asked() -> None:
    rig = Rig(steps=1, draws=[0])
    rig.until_asked()
    rig.see(bad(HOLD_STILL), bad(LOOK_HERE), bad(HOLD_STILL))
    assert rig.said[-1] == TURN_LEFT
    rig.now += 1
    rig.see(bad(ONE_PERSON))
    assert rig.said[-1] == ONE_PERSON


# ---------------------------------------------------------------- why
@pytest.mark.parametrize(
    ("looks", "why"),
    [
        (lambda: [good(1)] * 1 + [good(1), good(1)], "another_face"),
        (lambda: [good(0), good(1), good(0)], "face_changed"),
        (lambda: [STILL] * 20, "frozen_picture"),
        (lambda: [empty()] * 20, "nobody"),
        (lambda: [bad(ONE_PERSON) for _ in range(20)], "two_people"),
        (lambda: [bad(MORE_LIGHT) for _ in range(20)], "too_dark"),
        (lambda: [bad(CLOSER) for _ in range(20)], "too_far"),
        (lambda: [bad(HOLD_STILL) for _ in range(20)], "blurred"),
        (lambda: [good(), *[empty()] * 8, good(), *[empty()] * 8, good()], "went_away"),
    ],
)
def test_why_it_did_not_verify_is_a_word_for_the_record(looks: Callable[[], list[Look]], why: str) -> None:
    rig = Rig()
    for look in looks():
        if rig.result is None:
            rig.see(look)
    assert (rig.result or rig.watch.timed_out()).why == why
    assert why in FACE_WHYS


@pytest.mark.parametrize(("nose", "why"), [(-0.45, "other_movement"), (0.0, "no_movement")])
def test_why_a_challenge_failed(nose: float, why: str) -> None:
    rig = Rig(steps=1, draws=[0])
    rig.until_asked()
    while rig.see(good(nose=nose)) is None:
        pass
    assert rig.result is not None and rig.result.why == why


# ---------------------------------------------------------------- enrolment
def enrolled(*looks: Look, every: Callable[[Enrolment], float] = lambda watch: watch.next_look_s):
    watch, now = Enrolment(lambda word: None), 0.0
    for look in looks:
        if (made := watch.saw(look, now)) is not None:
            return made
        now += every(watch)
    return None


def test_enrolment_takes_more_frames_and_gives_their_mean() -> None:
    assert enrolled(*(good() for _ in range(FRAMES_ENROL - 1))) is None
    made = enrolled(*(good(likeness=0.9) for _ in range(FRAMES_ENROL)))
    assert made is not None and cosine(made, vector(0)) == pytest.approx(0.9)


def test_enrolment_refuses_frames_that_differ() -> None:
    looks = [replace(good(), vector=vector(0, 0.75, 30 + n % 5)) for n in range(FRAMES_ENROL)]
    assert cosine(looks[0].vector, looks[1].vector) > 0.45
    made = enrolled(*looks)
    assert made is not None  # alike enough
    looks = [replace(good(), vector=vector(0, likeness, 30)) for likeness in (1.0, 0.7, 0.2, -0.3, -0.75)]
    with pytest.raises(Broken, match="differ"):
        enrolled(*looks)
