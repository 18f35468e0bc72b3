"""Base45 (RFC 9285), strict: one text for one byte string, nothing else is read."""

from __future__ import annotations

import struct

_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_NOT_IN_ALPHABET = 255
_VALUES = bytes(_ALPHABET.find(c) if c in _ALPHABET else _NOT_IN_ALPHABET for c in range(256))

MAX_TEXT = 4296
"""Characters: what the largest QR code holds in alphanumeric mode (ISO/IEC 18004, version 40-L)."""


class Base45Error(ValueError):
    """Not Base45; says what is wrong and never repeats the text."""


def decode(text: bytes, *, max_text: int = MAX_TEXT) -> bytes:
    """Bytes of a Base45 text. Raises Base45Error; the length is looked at before anything else."""
    if len(text) > max_text:
        raise Base45Error(f"longer than {max_text} characters")
    whole, rest = divmod(len(text), 3)
    if rest == 1:
        raise Base45Error("a single character is left over")
    values = text.translate(_VALUES)
    if _NOT_IN_ALPHABET in values:
        raise Base45Error("a character outside the alphabet")
    numbers = [a + b * 45 + c * 2025 for a, b, c in zip(values[::3], values[1::3], values[2::3], strict=False)]
    if numbers and max(numbers) > 0xFFFF:
        raise Base45Error("a triplet above 65535")
    out = struct.pack(f">{whole}H", *numbers)
    if not rest:
        return out
    last = values[-2] + values[-1] * 45
    if last > 0xFF:
        raise Base45Error("a last pair above 255")
    return out + bytes((last,))


def encode(data: bytes) -> str:
    """Base45 text of bytes."""
    out = bytearray()
    for i in range(0, len(data) - 1, 2):
        high, low = divmod(data[i] << 8 | data[i + 1], 45)
        top, middle = divmod(high, 45)
        out += bytes((_ALPHABET[low], _ALPHABET[middle], _ALPHABET[top]))
    if len(data) % 2:
        high, low = divmod(data[-1], 45)
        out += bytes((_ALPHABET[low], _ALPHABET[high]))
    return out.decode("ascii")
