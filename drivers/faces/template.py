"""The template of a face, `vendingd-face-1`: a JSON object with a vector and all that it depends on.

Vectors of another network, alignment or order of colours look alike and compare to nothing, so whatever does not
match is refused and never compared. The vector is biometric data: it is in no repr, exception or log.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from drivers.faces.models import DIMENSIONS, PREPROC, RECOGNISER, SFACE

FORMAT = "vendingd-face-1"
TEMPLATE_MOST_BYTES = 4096  # one is some 1000
_FIELDS = frozenset({"fmt", "model", "model_sha256", "preproc", "dim", "vector", "created", "expires"})
_LENGTH_OFF = 0.01  # a vector's length is 1 but for the rounding of its numbers
_FLOATS = struct.Struct(f"<{DIMENSIONS}f")

Vector = Sequence[float]


class TemplateRefused(ValueError):
    """The template cannot be compared here; says why, without anything of its vector.

    `word` is one of `ports.FaceJudgement`'s.
    """

    def __init__(self, says: str, word: str = "malformed") -> None:
        super().__init__(says)
        self.word = word


@dataclass(frozen=True, slots=True)
class Template:
    """Times are POSIX seconds."""

    vector: tuple[float, ...] = field(repr=False)
    created_utc: float
    expires_utc: float


def cosine(one: Vector, other: Vector) -> float:
    """Of two vectors of length 1."""
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def mean(vectors: Sequence[Vector]) -> tuple[float, ...]:
    """The direction of their sum, of length 1. Raises ValueError where they cancel each other out."""
    sums = [math.fsum(parts) for parts in zip(*vectors, strict=True)]
    length = math.hypot(*sums)
    if not length > 1e-6:
        raise ValueError("vectors that cancel each other out have no mean")
    return tuple(part / length for part in sums)


def write(template: Template) -> bytes:
    """The JSON object."""
    made = {
        "fmt": FORMAT,
        "model": SFACE,
        "model_sha256": RECOGNISER.sha256,
        "preproc": PREPROC,
        "dim": DIMENSIONS,
        "vector": base64.b64encode(_FLOATS.pack(*template.vector)).decode(),
        "created": _text(template.created_utc),
        "expires": _text(template.expires_utc),
    }
    return json.dumps(made).encode()


def read(data: bytes, now_utc: float) -> Template:
    """Raises TemplateRefused: for a technician, what does not match."""
    if len(data) > TEMPLATE_MOST_BYTES:
        raise TemplateRefused(f"a template of {len(data)} bytes")
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        raise TemplateRefused("the template is no JSON") from None
    if not isinstance(given, dict) or given.get("fmt") != FORMAT:
        raise TemplateRefused(f"the template's format is not {FORMAT}")
    if set(given) != _FIELDS:
        raise TemplateRefused(f"the template lacks or adds: {', '.join(sorted(set(given) ^ _FIELDS))[:200]}")
    here = {"model": SFACE, "model_sha256": RECOGNISER.sha256, "preproc": PREPROC, "dim": DIMENSIONS}
    for name, value in here.items():
        if given[name] != value or isinstance(given[name], bool):
            raise TemplateRefused(f"the template's {name} is not {value}: enrol anew", "other_model")
    created, expires = _time(given, "created"), _time(given, "expires")
    if expires <= created:
        raise TemplateRefused("the template expires before it was created")
    if expires <= now_utc:
        raise TemplateRefused("the template has expired", "expired")
    return Template(_vector(given["vector"]), created, expires)


def _vector(text: Any) -> tuple[float, ...]:
    try:
        packed = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        packed = b""
    if len(packed) != _FLOATS.size:
        raise TemplateRefused(f"the template's vector is not {DIMENSIONS} float32 numbers in base64")
    vector = _FLOATS.unpack(packed)
    if not abs(math.hypot(*vector) - 1.0) <= _LENGTH_OFF:  # also true of NaN
        raise TemplateRefused("the template's vector has not the length 1")
    return mean([vector])


def _time(given: dict[str, Any], name: str) -> float:
    try:
        found = datetime.fromisoformat(given[name])
        if found.tzinfo is None:
            raise ValueError
        return found.timestamp()
    except (TypeError, ValueError, OverflowError):
        raise TemplateRefused(f"the template's {name} is no time of RFC 3339 with its zone") from None


def _text(utc: float) -> str:
    return datetime.fromtimestamp(utc, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
