"""Finds frames in a byte stream that may hold junk: resynchronisation and its counters; bits. Knows no protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import chain
from typing import Generic, TypeVar

F = TypeVar("F")
_BITS = [tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256)]


def bits(data: Iterable[int]) -> tuple[bool, ...]:
    """The bits of these bytes, lowest first in each."""
    return tuple(chain.from_iterable(map(_BITS.__getitem__, data)))


class Deframer(ABC, Generic[F]):
    """Base of the binary codecs' decoders: feed bytes in any portions, get whole frames.

    After a broken frame it goes on at the next byte, so that a good frame behind junk is found. It holds less
    than one frame between calls, whatever arrives.
    """

    def __init__(self) -> None:
        self.junk = 0  # bytes that belonged to no frame
        self.corrupt = 0  # whole frames whose checksum or fields were wrong
        self._held = b""

    def feed(self, data: bytes) -> list[F]:
        """Take what arrived; return the frames that it completed, in order."""
        buffer = self._held + data
        frames: list[F] = []
        at = 0
        while at < len(buffer):
            length = self._length(buffer, at)
            if length == 0:  # no frame starts here
                self.junk += 1
                at += 1
                continue
            if length > len(buffer) - at:
                break
            frame = self._parse(buffer[at : at + length])
            if frame is not None:
                frames.append(frame)
                at += length
                continue
            skipped = self._overlook(buffer, at)
            if skipped == 0:
                self.corrupt += 1
                self.junk += 1
                skipped = 1
            at += skipped
        self._held = buffer[at:]
        return frames

    def reset(self) -> None:
        """Forget a frame that has begun: what comes next is no continuation of it."""
        self.junk += len(self._held)
        self._held = b""

    @abstractmethod
    def _length(self, buffer: bytes, at: int) -> int:
        """Length of the frame that starts at `at`; 0 where none can start. Asked again with more bytes."""

    @abstractmethod
    def _parse(self, frame: bytes) -> F | None:
        """The frame, or None where its checksum or a field is wrong."""

    def _overlook(self, buffer: bytes, at: int) -> int:
        """How many bytes at `at` are known although they are no frame: an echo of ours."""
        return 0
