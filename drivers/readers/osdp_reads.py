"""From an OSDP reader's events to badges and keys. No I/O, no clock of its own.

The standard's facts: a card is an array of bits, left-aligned, with a format (0 not said, 1 Wiegand); of a keypad's
keys * comes as 7F and # as 0D. Ours: that a badge is named by its number of bits alone, whatever the reader says of
its format, so that a card keeps its name when a reader is replaced; that fewer than 16 bits are no card (some keypads
send each key as a card of 4 or 8).
"""

from __future__ import annotations

from typing import Any, Final

LEAST_BITS: Final = 16

_RAW_FORMATS = (0, 1)
_KEYS = {0x7F: "*", 0x0D: "#"}


def badge_of(event: dict[str, Any]) -> str | None:
    """`wiegand26:0123ABC0` of a card event; None for what is no card."""
    bits, data = event.get("length", 0), bytes(event["data"])
    if event["format"] not in _RAW_FORMATS or bits < LEAST_BITS or len(data) != (bits + 7) // 8:
        return None
    spare = -bits % 8
    data = data[:-1] + bytes([data[-1] >> spare << spare])
    return f"wiegand{bits}:{data.hex().upper()}"


def keys_of(event: dict[str, Any]) -> bytes:
    """The characters of a key event, as a `KeypadDecoder` takes them."""
    return "".join(_KEYS.get(byte, chr(byte)) for byte in bytes(event["data"])).encode("latin-1")


class Repeats:
    """Knows a badge that is still before the reader: readers tell it again and again."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._badge: str | None = None
        self._seen_mono = 0.0

    def __repr__(self) -> str:
        return "Repeats()"

    def again(self, badge: str, at_mono: float) -> bool:
        """Whether the same badge was read within the gap before this read."""
        same = badge == self._badge and at_mono - self._seen_mono < self._gap_s
        self._badge, self._seen_mono = badge, at_mono
        return same
