"""One comparison, or one enrolment: which frames count, when it is decided, what the person is told. Sans I/O.

A comparison takes three good frames over at least 0.6 s and compares their mean once; that is one attempt. With a
challenge, the movements come before it: so what the screen asks for tells nobody whether the face is the right one.
From the first movement asked for, every end but a verified face is an attempt, as is going away: whoever has a film
of other movements must not draw again for nothing. All the while it must be one face: before that, whoever is away
for over a second, or turns into somebody else, begins anew, once.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from drivers.faces.challenge import Below, Challenge, Progress
from drivers.faces.gates import CLOSER, HOLD_STILL, LOOK_HERE, MORE_LIGHT, ONE_PERSON, Look
from drivers.faces.replay import Kind, Replay
from drivers.faces.template import cosine, mean
from drivers.ports import FaceFinding, FaceResult

THRESHOLD_FLOOR = 0.40  # highest cosine seen between two people: 0.394, on 32 px wide faces
FRAMES = 3
SPACING_S = 0.3  # between counted frames: three of them span 0.6 s
GAP_S = 1.0
SAME_FACE = 0.45  # cosine of one good frame and the next: far above two people's, below one turning head's
RESTARTS = 1
STUCK_S = 1.5  # a camera that shows one picture for so long shows no person
BETWEEN_LOOKS_S = 0.2
IN_CHALLENGE_S = 0.12
FRAMES_ENROL = 5
ENROL_ALIKE = 0.6  # cosine of each enrolled frame and their mean

_SAME_HINT_S = 4.0  # a sentence that stays on the screen need not be said again
_NEXT_HINT_S = 0.8  # a word that flickers is not read

_WHY_OF_WORD = {ONE_PERSON: "two_people", CLOSER: "too_far", MORE_LIGHT: "too_dark", HOLD_STILL: "blurred"}

Say = Callable[[str], None]


class Hints:
    """Passes words on, no faster than a person reads."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last = ""
        self._said_mono = float("-inf")

    def offer(self, word: str, at_mono: float, *, now: bool = False) -> None:
        """Say it, unless it has just been said or another has; `now`: the person must not miss it."""
        since = at_mono - self._said_mono
        if word == self._last:
            if since < _SAME_HINT_S:
                return
        elif since < _NEXT_HINT_S and not now:
            return
        self._last, self._said_mono = word, at_mono
        self._say(word)


class Broken(Exception):
    """The comparison is over without a match; `attempt` says whether a face was there that did not do.

    `why` is one of `ports.FACE_WHYS`.
    """

    def __init__(self, detail: str, why: str, *, attempt: bool) -> None:
        super().__init__(detail)
        self.why = why
        self.attempt = attempt


class Watch:
    """What comparison and enrolment share: one live face, frame after frame."""

    def __init__(self, hint: Say, earlier: Set[bytes] = frozenset()) -> None:
        self.hints = Hints(hint)
        self.replay = Replay(earlier)
        self.next_look_s = BETWEEN_LOOKS_S
        self.last_word = ""
        self.counted: list[Look] = []
        self._counted_mono = 0.0
        self._before: Look | None = None
        self._before_mono = 0.0
        self._looked_mono = float("-inf")
        self._away = False  # a look since the last good one showed nobody, or nobody good enough
        self._stuck_mono: float | None = None
        self._restarts = 0

    def lives(self, look: Look, at_mono: float) -> bool:
        """Whether this frame is of the same person as the last one, and worth going on with. Raises Broken."""
        late, self._looked_mono = at_mono - self._looked_mono > GAP_S, at_mono
        if look.refused or look.face is None:
            self._away = True
            self._word(look.word or LOOK_HERE, at_mono)
            return False
        kind = self.replay.saw(look.digest, look.thumb, at_mono)
        if kind is Kind.AGAIN:
            raise Broken("the camera shows " + kind.value, "replayed", attempt=True)
        if kind is Kind.SAME:
            self._stuck_mono = at_mono if self._stuck_mono is None else self._stuck_mono
            if at_mono - self._stuck_mono >= STUCK_S:
                raise Broken("the camera shows one picture and no live one", "frozen_picture", attempt=False)
            return False
        self._stuck_mono = None
        if not look.comparable:
            self._away = True
            self._word(look.word, at_mono)
            return False
        before, gap, away = self._before, at_mono - self._before_mono, self._away
        self._before, self._before_mono, self._away = look, at_mono, False
        if before is not None and gap > GAP_S:
            if late and not away:
                self.reset()
            else:
                self._begin_anew("the face went away", "went_away", attempt=False)
        elif before is not None and not cosine(before.vector, look.vector) >= SAME_FACE:
            self._begin_anew("the face became another one", "face_changed", attempt=True)
        return True

    def count(self, look: Look, at_mono: float) -> bool:
        """Keep a frame that looks straight ahead, at its distance in time from the last one; True where it was."""
        if not look.frontal:
            self._word(LOOK_HERE, at_mono)
            return False
        early = SPACING_S - (at_mono - self._counted_mono)
        if self.counted and early > 1e-3:
            self.next_look_s = early
            return False
        self.counted.append(look)
        self._counted_mono = at_mono
        self.next_look_s = SPACING_S
        return True

    def reset(self) -> None:
        """Another face, or none for too long: what was collected is another's."""
        self.counted = []

    def _begin_anew(self, detail: str, why: str, *, attempt: bool) -> None:
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise Broken(detail, why, attempt=attempt)
        self.reset()

    def _word(self, word: str, at_mono: float) -> None:
        self.last_word = word
        self.next_look_s = BETWEEN_LOOKS_S
        self.hints.offer(word, at_mono)


class Verification(Watch):
    """Compares with one template. Feed it looks until it gives a result; ask `timed_out` when time is up."""

    def __init__(
        self,
        wanted: tuple[float, ...],
        hint: Say,
        *,
        threshold: float,
        challenge_steps: int,
        below: Below,
        earlier: Set[bytes] = frozenset(),
    ) -> None:
        """`challenge_steps` 0: none. Raises ValueError for a threshold below the floor."""
        if not threshold >= THRESHOLD_FLOOR:
            raise ValueError(f"threshold {threshold} is below {THRESHOLD_FLOOR}")
        super().__init__(hint, earlier)
        self.liveness = "challenge" if challenge_steps else "none"
        self._wanted = wanted
        self._threshold = threshold
        self._steps = challenge_steps
        self._below = below
        self._challenge: Challenge | None = None
        self._asked = False  # a movement has been asked for: the chance has been had
        self._met = False

    def saw(self, look: Look, at_mono: float) -> FaceResult | None:
        """Take the next frame, of this time; a result once it is decided."""
        try:
            return self._take(look, at_mono)
        except Broken as why:
            return self.broken(str(why), why.why, attempt=why.attempt)

    def broken(self, detail: str, why: str, *, attempt: bool = False) -> FaceResult:
        """The result where it cannot go on: an attempt in any case once a movement was asked for."""
        return self._result(FaceFinding.WRONG if attempt or self._asked else FaceFinding.UNAVAILABLE, detail, why)

    def timed_out(self) -> FaceResult:
        """No attempt where nothing was asked for and nothing compared."""
        if self._asked:
            return self.broken("the movements asked for did not come in time", "no_movement")
        last = f"; last: {self.last_word}" if self.last_word else ""
        why = _WHY_OF_WORD.get(self.last_word, "nobody")
        return self.broken(f"no {FRAMES} good pictures of one face in time{last}", why)

    def reset(self) -> None:
        super().reset()
        self._met = False
        self._challenge = None

    # ------------------------------------------------------------ inside
    def _begin_anew(self, detail: str, why: str, *, attempt: bool) -> None:
        if self._asked:
            raise Broken(detail, why, attempt=True)
        super()._begin_anew(detail, why, attempt=attempt)

    def _word(self, word: str, at_mono: float) -> None:
        """A movement that was asked for blurs and turns the face: no word against that."""
        asked = self._challenge is not None and not self._met and self._challenge.asks != LOOK_HERE
        if not asked or word in (ONE_PERSON, MORE_LIGHT):
            super()._word(word, at_mono)

    def _take(self, look: Look, at_mono: float) -> FaceResult | None:
        if not self.lives(look, at_mono):
            return None
        if self._challenge is None:
            return self._collect(look, at_mono)
        if not self._met:
            return self._challenged(self._challenge, look, at_mono)
        if not look.frontal:
            self._word(LOOK_HERE, at_mono)
            return None
        return self._compare(look)

    def _collect(self, look: Look, at_mono: float) -> FaceResult | None:
        if not self.count(look, at_mono) or len(self.counted) < FRAMES:
            return None
        if not self._steps:
            return self._compare(look)
        self._challenge = Challenge(self._steps, self._below)
        self.next_look_s = IN_CHALLENGE_S
        return None

    def _challenged(self, challenge: Challenge, look: Look, at_mono: float) -> FaceResult | None:
        assert look.face is not None
        asked = challenge.asks
        progress = challenge.saw(look.face, at_mono)
        self.next_look_s = IN_CHALLENGE_S
        if progress is Progress.FAILED:
            why = "other_movement" if challenge.other else "no_movement"
            return self.broken(f"challenge: {challenge.failure}", why)
        self._met = progress is Progress.MET
        asks = LOOK_HERE if self._met else challenge.asks
        self._asked |= asks != LOOK_HERE
        self.hints.offer(asks, at_mono, now=asks != asked)
        return None

    def _compare(self, last: Look) -> FaceResult:
        """Once: the mean of the first frames, and the face that stands there now."""
        if not cosine(mean([one.vector for one in self.counted]), self._wanted) >= self._threshold:
            return self._result(FaceFinding.WRONG, "not the face of the template", "another_face")
        if self._steps and not cosine(last.vector, self._wanted) >= THRESHOLD_FLOOR:  # one frame alone varies more
            return self._result(FaceFinding.WRONG, "another face at the end than at the beginning", "face_changed")
        return self._result(FaceFinding.VERIFIED)

    def _result(self, finding: FaceFinding, detail: str = "", why: str = "") -> FaceResult:
        liveness = self.liveness if finding is FaceFinding.VERIFIED else "none"
        return FaceResult(finding, liveness, detail, why)


class Enrolment(Watch):
    """Makes a vector of who is there. Feed it looks until it gives one; raises Broken where the frames disagree."""

    def saw(self, look: Look, at_mono: float) -> tuple[float, ...] | None:
        """The vector once there are enough frames. Raises Broken with a reason for a technician."""
        if not self.lives(look, at_mono) or not self.count(look, at_mono) or len(self.counted) < FRAMES_ENROL:
            return None
        made = mean([one.vector for one in self.counted])
        if not all(cosine(one.vector, made) >= ENROL_ALIKE for one in self.counted):
            raise Broken("the pictures differ too much: once more, in even light", "blurred", attempt=False)
        return made
