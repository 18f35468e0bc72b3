"""Tells a live camera's frames from ones that were recorded and come again. Plain bytes, no picture library.

A sensor has noise: it never gives two frames alike. What this catches is a stream that was tapped, kept and fed
in again, unchanged or encoded anew; a screen held before the camera is filmed live and is not caught.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Set
from enum import Enum

NEAR = 1  # grey levels that each cell of two thumbs may differ by: encoding anew changes no more
FAR = 8  # in some cell: somebody moved
LOOPED = 3  # pictures, far from each other, that came again after a movement and after the same time,
WITHIN = 6  # among so many
SAME_TIME_S = 0.25  # between two looks at a film; people who sway come back to a place, but not by the clock
STALE_MOST = 1  # a camera may keep its last frame and give it to whoever comes next
_KEPT = 80  # frames: some twenty seconds of looks


class Kind(Enum):
    """What a frame is, beside the ones before it."""

    NEW = "new"
    SAME = "the same picture as just before"
    AGAIN = "a picture that was there before"


def distance(one: bytes, other: bytes) -> int:
    """The largest difference of any cell, in grey levels; of some cells where that is FAR already."""
    some = max(map(abs, map(operator.sub, one[::7], other[::7])), default=0)
    if some >= FAR:
        return some
    return max(map(abs, map(operator.sub, one, other)), default=0)


class Replay:
    """The frames with a face, of one comparison. `earlier`: digests of comparisons before it."""

    def __init__(self, earlier: Set[bytes] = frozenset()) -> None:
        self._earlier = earlier
        self._stale = 0
        self._digests: dict[bytes, None] = {}
        self._last = b""
        self._thumbs: list[tuple[float, bytes]] = []
        self._returned: list[tuple[float, bytes] | None] = []  # of each frame: after how many seconds, and what

    @property
    def digests(self) -> Iterator[bytes]:
        """Of the frames so far, oldest first."""
        return iter(self._digests)

    def saw(self, digest: bytes, thumb: bytes, at_mono: float) -> Kind:
        """Judge the next frame."""
        last, self._last = self._last, digest
        if digest == last:
            return Kind.SAME
        if digest in self._digests:
            return Kind.AGAIN
        self._digests[digest] = None
        if digest in self._earlier:
            self._stale += 1
            if self._stale > STALE_MOST:
                return Kind.AGAIN
        looped = self._loops(thumb, at_mono)
        self._thumbs = [*self._thumbs[-_KEPT:], (at_mono, thumb)]
        return Kind.AGAIN if looped else Kind.NEW

    def _loops(self, thumb: bytes, at_mono: float) -> bool:
        """Whether enough different pictures have come again after the same time."""
        after = self._came_back(thumb, at_mono)
        before = self._returned[-WITHIN + 1 :]
        self._returned = [*before, None if after is None else (after, thumb)]
        if after is None:
            return False
        different = [thumb]
        for lag, seen in filter(None, before):
            if abs(lag - after) <= SAME_TIME_S and all(distance(seen, other) >= FAR for other in different):
                different.append(seen)
        return len(different) >= LOOPED

    def _came_back(self, thumb: bytes, at_mono: float) -> float | None:
        """How long ago a frame was like this one, with another picture in between."""
        moved = False
        for seen_mono, other in reversed(self._thumbs):
            apart = distance(thumb, other)
            if apart >= FAR:
                moved = True
            elif moved and apart <= NEAR:
                return at_mono - seen_mono
        return None
