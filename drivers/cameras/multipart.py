"""Takes JPEG frames out of a multipart/x-mixed-replace body, without I/O.

The form is RFC 2046's; what cameras do to it is ours from seeing them: a boundary that is announced with or
without its dashes, parts with and without Content-Length, line ends of LF alone.
"""

from __future__ import annotations

import re
from enum import Enum

HEADERS_MOST = 8 * 1024
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_LENGTH = re.compile(rb"^content-length\s*:\s*(\d{1,12})\s*$", re.IGNORECASE | re.MULTILINE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_JPEG = b"\xff\xd8"


def boundary_of(content_type: str) -> str | None:
    """The boundary of a multipart content type; None where it is none or names no boundary."""
    if not content_type.strip().lower().startswith("multipart/"):
        return None
    found = _BOUNDARY.search(content_type)
    return (found.group(1) or found.group(2)) if found else None


class _At(Enum):
    BETWEEN = 0  # before a delimiter
    HEADERS = 1
    COUNTED = 2  # in a part that said its length
    OPEN = 3  # in a part that ends with the next delimiter


class MultipartFrames:
    """Feed it the body as it comes; it holds at most one frame of `most` bytes and one chunk.

    `dropped` counts parts that were too large, without headers' end, or no JPEG.
    """

    def __init__(self, boundary: str, most: int) -> None:
        self.dropped = 0
        # cameras announce "x", "--x" or '"--x"' and all send "--x": the dashes in front are not told apart
        self._delimiter = b"--" + boundary.lstrip("-").encode("latin-1", "replace")
        self._most = most
        self._held = bytearray()
        self._at = _At.BETWEEN
        self._length = 0
        self._searched = 0  # up to where the delimiter was looked for

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that this completes, oldest first."""
        self._held += data
        frames: list[bytes] = []
        while self._step(frames):
            pass
        return frames

    def _step(self, frames: list[bytes]) -> bool:
        """Go on by one stage; False where more bytes are needed."""
        if self._at is _At.BETWEEN:
            return self._find_delimiter()
        if self._at is _At.HEADERS:
            return self._take_headers()
        if self._at is _At.COUNTED:
            if len(self._held) < self._length:
                return False
            self._take(self._length, frames)
            return True
        return self._take_open(frames)

    def _find_delimiter(self) -> bool:
        at = self._held.find(self._delimiter)
        if at < 0:
            del self._held[: max(0, len(self._held) - len(self._delimiter) + 1)]
            return False
        del self._held[: at + len(self._delimiter)]
        self._at = _At.HEADERS
        return True

    def _take_headers(self) -> bool:
        end = _BLANK_LINE.search(self._held, 0, HEADERS_MOST)
        if end is None:
            if len(self._held) < HEADERS_MOST:
                return False
            return self._drop()
        length = _LENGTH.search(self._held, 0, end.start() + 1)
        self._length = int(length.group(1)) if length else 0
        del self._held[: end.end()]
        if self._length > self._most:
            return self._drop()
        self._at = _At.COUNTED if self._length else _At.OPEN
        self._searched = 0
        return True

    def _take_open(self, frames: list[bytes]) -> bool:
        at = self._held.find(self._delimiter, self._searched)
        if at < 0:
            self._searched = max(0, len(self._held) - len(self._delimiter))
            return self._drop() if len(self._held) > self._most else False
        self._take(at, frames)
        return True

    def _take(self, length: int, frames: list[bytes]) -> None:
        frame = bytes(self._held[:length])
        del self._held[:length]
        self._at = _At.BETWEEN
        if frame.startswith(_JPEG) and length <= self._most:
            frames.append(frame)
        else:
            self.dropped += 1

    def _drop(self) -> bool:
        self.dropped += 1
        self._at = _At.BETWEEN
        return True
