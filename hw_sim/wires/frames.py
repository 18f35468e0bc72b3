"""Framing shared by the lock boards: find frames in a byte stream, resynchronise after noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

GAP_S = 0.1  # a frame with a hole this long in it is given up


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose checksum was right, with the times of its first and last byte."""

    data: bytes
    t_first: float
    t_last: float


@dataclass(slots=True)
class Framer:
    """`length(prefix)` says how long a frame beginning so is: 0 not a frame, None not known yet."""

    length: Callable[[bytes], int | None]
    valid: Callable[[bytes], bool]
    accepted: Callable[[Frame], None]
    rejected: Callable[[bytes, float], None]
    _data: bytearray = field(default_factory=bytearray)
    _times: list[float] = field(default_factory=list)

    def feed(self, data: bytes, times: Sequence[float]) -> None:
        """Take bytes with their times; call `accepted` with each frame that they complete."""
        for byte, t in zip(data, times, strict=True):
            if self._times and t - self._times[-1] > GAP_S:
                self._reject(len(self._data))
            self._data.append(byte)
            self._times.append(t)
            self._take()

    def _take(self) -> None:
        while self._data:
            want = self.length(bytes(self._data))
            if want is None or want > len(self._data):
                break
            if want == 0:
                self._reject(1)
                continue
            raw = bytes(self._data[:want])
            if not self.valid(raw):
                self._reject(1)
                continue
            frame = Frame(raw, self._times[0], self._times[want - 1])
            del self._data[:want], self._times[:want]
            self.accepted(frame)

    def _reject(self, n: int) -> None:
        self.rejected(bytes(self._data[:n]), self._times[n - 1])
        del self._data[:n], self._times[:n]
