"""Times on the wire and in control requests."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def rfc3339(posix_s: float) -> str:
    return datetime.fromtimestamp(posix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def posix(value: object, now: float | None = None) -> float:
    """A control request's time: RFC 3339, or a number of seconds from now (negative: ago)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"a time is RFC 3339 or seconds from now, not {value!r}")
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return (time.time() if now is None else now) + value
