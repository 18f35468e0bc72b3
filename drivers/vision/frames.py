"""What crosses between a camera's task and the decoding process. Imports nothing heavy.

Owns the frame, the answer, and the rule for what a code may contain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FRAME_MOST_BYTES = 4 * 1024 * 1024  # a 1280x720 JPEG has some 100 KB, a raw YUYV frame 1.8 MB
PIXELS_MOST = 3840 * 2160

# The most that any QR code holds in Base45's alphabet: version 40, level L, alphanumeric (ISO/IEC 18004).
PAYLOAD_MOST = 4296
_BASE45 = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")  # RFC 9285


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture as the camera sent it. `width` and `height` matter for the raw kinds only."""

    kind: Literal["jpeg", "yuyv", "grey"]
    data: bytes = field(repr=False)
    at_mono: float
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """The acceptable codes of a frame, or why it was not looked at."""

    codes: tuple[bytes, ...] = field(default=(), repr=False)
    refused: str = ""


def acceptable(payload: bytes) -> bool:
    """Whether this may be a pass: Base45 text of a size that a QR code can hold.

    Binary payloads come out of zbar garbled, so they are never believed.
    """
    return 0 < len(payload) <= PAYLOAD_MOST and _BASE45.issuperset(payload)
