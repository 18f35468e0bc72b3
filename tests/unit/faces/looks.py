"""Looks without pictures, for the rules of a session: people are axes, poses are numbers."""

from __future__ import annotations

import itertools
import math
import random

from drivers.faces.gates import FRONTAL, LOOK_HERE, Face, Look
from drivers.faces.models import DIMENSIONS

_moments = itertools.count(1)


def vector(person: int, likeness: float = 1.0, other: int = 100) -> tuple[float, ...]:
    """Of length 1, with this cosine to the person's own axis."""
    parts = [0.0] * DIMENSIONS
    parts[person] = likeness
    parts[other] = math.sqrt(max(0.0, 1 - likeness * likeness))
    return tuple(parts)


def face(nose: float = 0.0, width: float = 150.0, x: float = 200.0) -> Face:
    return Face(x, 100.0, width, width * 1.2, 0.95, nose)


def good(person: int = 0, nose: float = 0.0, *, width: float = 150.0, likeness: float = 1.0) -> Look:
    """A comparable face at a moment of its own."""
    n = next(_moments)
    seen = vector(person, likeness)
    word = "" if abs(nose) <= FRONTAL else LOOK_HERE
    return Look("", word, face(nose, width), seen, n.to_bytes(16, "big"), random.Random(n).randbytes(64))


def bad(word: str) -> Look:
    """Somebody is there, and something is wrong."""
    n = next(_moments)
    return Look("", word, face(), (), n.to_bytes(16, "big"), random.Random(n).randbytes(64))


def empty(word: str = LOOK_HERE) -> Look:
    return Look(word=word)
