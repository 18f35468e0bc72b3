"""Codec of the RDM6300 125 kHz tag reader (9600 8N1). Bytes and frames only: no I/O, no time.

The vendor's facts (Seeed, "RDM6300 data sheet"): a frame is `02`, ten hexadecimal characters, two of checksum
(the XOR of the five bytes that the ten spell), `03`; it is repeated while the tag is in the field.

Ours: that lower-case characters are accepted. Not tried on a physical reader. Such a tag can be cloned: it
says which asset is there, never who somebody is.
"""

from __future__ import annotations

from functools import reduce
from operator import xor

from drivers.framing import Deframer

_STX, _ETX = 0x02, 0x03
_LENGTH = 14
_HEX = frozenset(b"0123456789ABCDEFabcdef")


class TagDecoder(Deframer[str]):
    """Bytes to tags: ten upper-case hexadecimal characters, once for each frame."""

    def _length(self, buffer: bytes, at: int) -> int:
        return _LENGTH if buffer[at] == _STX else 0

    def _parse(self, frame: bytes) -> str | None:
        text = frame[1:-1]
        if frame[-1] != _ETX or not _HEX.issuperset(text):
            return None
        numbers = bytes.fromhex(text.decode("ascii"))
        if reduce(xor, numbers) != 0:  # the checksum is the sixth
            return None
        return text[:10].decode("ascii").upper()
