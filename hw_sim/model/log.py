"""The physical log: what really happened, in order. It is the witness that a journal is compared with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Motion:
    """One thing that happened at `t_mono` (CLOCK_MONOTONIC seconds). `n` counts from 1 without gaps."""

    n: int
    t_mono: float
    what: str
    fields: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"n": self.n, "t_mono": self.t_mono, "what": self.what, **self.fields}


@dataclass(slots=True)
class PhysicalLog:
    """Keeps the newest `keep` motions; a reader who falls further behind sees the gap in `n`."""

    keep: int = 200_000
    last_n: int = 0
    on_add: Callable[[Motion], None] | None = None
    _kept: deque[Motion] = field(default_factory=deque)

    def add(self, t_mono: float, what: str, **fields: Any) -> Motion:
        self.last_n += 1
        motion = Motion(self.last_n, t_mono, what, {k: v for k, v in fields.items() if v is not None})
        self._kept.append(motion)
        if len(self._kept) > self.keep:
            self._kept.popleft()
        if self.on_add is not None:
            self.on_add(motion)
        return motion

    def after(self, n: int) -> list[Motion]:
        """All kept motions with a number above `n`."""
        if not self._kept or n >= self.last_n:
            return []
        first = self._kept[0].n
        skip = max(0, n + 1 - first)
        return [self._kept[i] for i in range(skip, len(self._kept))]
