"""Asks for movements that nobody could know before, and watches whether they come. Sans I/O.

Each series holds a turn of the head, seen by the nose's place between eyes and mouth: a photograph does not
change that, however it is turned. A recorded film passes only where it happens to hold these movements at these
moments; how likely that is, is in docs/faces.md.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from drivers.faces.gates import CLOSER, LOOK_HERE, Face

TURN_LEFT = "turn_left"  # the person's own left
TURN_RIGHT = "turn_right"
STEPS = (TURN_LEFT, TURN_RIGHT, CLOSER)

TURNED = 0.30  # of `Face.nose`, away from its place at rest: some 15 degrees
AT_REST = 0.15
NEARER = 1.25  # times the face's width at rest
STEP_S = 5.0  # a person reads, understands and moves in less
PAUSE_LEAST_S = 0.3
PAUSE_TENTHS = 8  # up to so many tenths more: the moment of the question is not to be known either
FRAMES = 2  # in a row: one may be the detector's slip

Below = Callable[[int], int]  # a number from 0 to n - 1 that nobody can foretell


def series(count: int, below: Below) -> tuple[str, ...]:
    """So many different steps in a row; at least one of two or more is a turn, and a single one always is."""
    if count == 1:
        return (STEPS[below(2)],)
    drawn: list[str] = []
    while len(drawn) < count:
        left = [step for step in STEPS if not drawn or step != drawn[-1]]
        drawn.append(left[below(len(left))])
    return tuple(drawn)


class Progress(Enum):
    """How a challenge stands."""

    GOING_ON = "going on"
    MET = "met"
    FAILED = "failed"


class Challenge:
    """One series. `asks` is what the person is asked for now; `fresh` says that it has just been said."""

    def __init__(self, count: int, below: Below) -> None:
        self._left = list(series(count, below))
        self._below = below
        self._rest: Face | None = None
        self._ask_mono: float | None = None  # when the next question is due; None: the head is not at rest
        self._until_mono: float | None = None  # set while a question is open
        self._hits = 0
        self._wrong = 0
        self.failure = ""
        self.other = False  # it failed by another movement than the one asked for

    @property
    def asks(self) -> str:
        return self._left[0] if self._until_mono is not None else LOOK_HERE

    def saw(self, face: Face, at_mono: float) -> Progress:
        """Take the next frame's face, the head's owner unchanged."""
        if self._rest is None:
            self._rest = face
        if self._until_mono is None:
            self._pause(face, at_mono)
            return Progress.GOING_ON
        if at_mono > self._until_mono:
            self.failure = "the movement did not come"
            return Progress.FAILED
        self._hits = self._hits + 1 if self._done(face) else 0
        self._wrong = self._wrong + 1 if self._other(face) else 0
        if self._wrong >= FRAMES:
            self.failure, self.other = "another movement came", True
            return Progress.FAILED
        if self._hits < FRAMES:
            return Progress.GOING_ON
        self._left.pop(0)
        self._ask_mono = self._until_mono = None
        self._hits = self._wrong = 0
        return Progress.GOING_ON if self._left else Progress.MET

    # ------------------------------------------------------------ inside
    def _pause(self, face: Face, at_mono: float) -> None:
        """Wait until the head is at rest, then for an unknown while, then ask."""
        assert self._rest is not None
        if abs(face.nose - self._rest.nose) > AT_REST:
            self._ask_mono = None
        elif self._ask_mono is None:
            self._ask_mono = at_mono + PAUSE_LEAST_S + self._below(PAUSE_TENTHS + 1) / 10
        elif at_mono >= self._ask_mono:
            self._rest = face
            self._until_mono = at_mono + STEP_S

    def _done(self, face: Face) -> bool:
        turned, nearer = self._moved(face)
        return {TURN_LEFT: turned >= TURNED, TURN_RIGHT: turned <= -TURNED, CLOSER: nearer >= NEARER}[self._left[0]]

    def _other(self, face: Face) -> bool:
        """A turn that was not asked for. Coming closer beside a turn is nothing: people lean."""
        turned, _ = self._moved(face)
        return {TURN_LEFT: turned <= -TURNED, TURN_RIGHT: turned >= TURNED, CLOSER: abs(turned) >= TURNED}[
            self._left[0]
        ]

    def _moved(self, face: Face) -> tuple[float, float]:
        assert self._rest is not None
        return face.nose - self._rest.nose, face.width / max(self._rest.width, 1.0)
