"""A strict reader for the part of CBOR (RFC 8949) that a pass is made of.

General decoders read far more than a pass needs (dates, regular expressions, shared references, several
items in a row, keys that are equal only to Python) and each of these would have to be refused after the
fact. This one reads integers, byte and text strings, arrays, maps with integer or text keys, floats,
booleans and null, all of definite length; tags only where the caller allows them, and at the top alone.
Encoding is left to cbor2.
"""

from __future__ import annotations

import struct
from typing import Any

MAX_ITEMS = 256
"""Items in one reading, counted through all levels."""


class CborError(ValueError):
    """Not in the subset, or not CBOR; never repeats the input."""


def decode(data: bytes, *, tags: tuple[tuple[int, ...], ...] = ((),), max_depth: int = 4) -> Any:
    """The one item that `data` consists of. Raises CborError.

    `tags` lists the sequences of tags, outermost first, of which exactly one must stand before the item;
    the tags themselves are not part of the result.
    """
    reader = _Reader(data)
    found: list[int] = []
    while reader.at < len(data) and data[reader.at] >> 5 == 6:
        if len(found) == 4:
            raise CborError("too many tags")
        found.append(reader.head()[1])
    if tuple(found) not in tags:
        raise CborError("an unexpected tag, or one is missing")
    value = reader.item(max_depth)
    if reader.at != len(data):
        raise CborError("bytes after the end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.left = MAX_ITEMS

    def take(self, n: int) -> bytes:
        end = self.at + n
        if end > len(self.data):
            raise CborError("ends too early")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def head(self) -> tuple[int, int]:
        """Major type and argument; for major type 7 the argument is the raw additional information."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 0x1F
        if info < 24 or major == 7:
            return major, info
        if info > 27:
            raise CborError("indefinite length or a reserved form")
        return major, int.from_bytes(self.take(1 << (info - 24)), "big")

    def item(self, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise CborError("too many items")
        major, n = self.head()
        if major == 0:
            return n
        if major == 1:
            return -1 - n
        if major == 2:
            return self.take(n)
        if major == 3:
            return self.text(n)
        if major == 7:
            return self.simple(n)
        if major == 6:
            raise CborError("a tag inside")
        if depth == 0:
            raise CborError("nested too deep")
        if n > len(self.data) - self.at:  # each item is at least a byte: no loop over a length that is a lie
            raise CborError("ends too early")
        if major == 4:
            return [self.item(depth - 1) for _ in range(n)]
        return self.map(n, depth - 1)

    def text(self, n: int) -> str:
        try:
            return self.take(n).decode("utf-8")
        except UnicodeDecodeError:
            # without `from`: the original carries the bytes
            raise CborError("text that is not UTF-8") from None

    def map(self, n: int, depth: int) -> dict[int | str, Any]:
        out: dict[int | str, Any] = {}
        for _ in range(n):
            if self.at < len(self.data) and self.data[self.at] >> 5 not in (0, 1, 3):
                raise CborError("a map key that is neither integer nor text")
            key = self.item(0)
            if key in out:
                raise CborError("the same map key twice")
            out[key] = self.item(depth)
        return out

    def simple(self, info: int) -> bool | float | None:
        if info == 20:
            return False
        if info == 21:
            return True
        if info == 22:
            return None
        if 25 <= info <= 27:
            size = 1 << (info - 24)
            value: float = struct.unpack({2: ">e", 4: ">f", 8: ">d"}[size], self.take(size))[0]
            return value
        raise CborError("a simple value that means nothing here")
