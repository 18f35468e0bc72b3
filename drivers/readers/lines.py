"""Codec of readers that send lines (barcode scanners as serial ports). Bytes only: no I/O, no time.

The vendors' facts: a line ends in CR, LF or CRLF, as the scanner is configured; GM65-family modules are
triggered by `7E 00 08 01 00 02 01` with a CRC (here the vendor's own `02 DA`) and acknowledge with `02 00 00
01 00 33 31` before the data; Honeywell's serial trigger is `16 54 0D`, its end `16 55 0D`.

Ours: that a pause ends a line where a model sends no line end; that a line longer than the limit is dropped
whole. None of it was tried on a physical scanner.
"""

from __future__ import annotations

GM65_TRIGGER = bytes.fromhex("7E 00 08 01 00 02 01 02 DA")
GM65_ACK = bytes.fromhex("02 00 00 01 00 33 31")
HONEYWELL_TRIGGER = bytes.fromhex("16 54 0D")
HONEYWELL_STOP = bytes.fromhex("16 55 0D")

_LINE_ENDS = b"\r\n"


class LineDecoder:
    """Bytes to lines, without their ends. Holds one line at most."""

    def __init__(self, max_length: int, strip: bytes = b"") -> None:
        """`strip`: an acknowledgement that is no part of any line."""
        self.dropped = 0  # lines longer than max_length
        self._max_length = max_length
        self._strip = strip
        self._line = bytearray()
        self._dropping = False

    def __repr__(self) -> str:
        return f"LineDecoder(max_length={self._max_length}, dropped={self.dropped})"

    @property
    def pending(self) -> bool:
        """A line has begun that only a line end or a pause can end."""
        return self._dropping or bool(self._line)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return the lines that it ended."""
        lines: list[bytes] = []
        start = 0
        for at, byte in enumerate(data):
            if byte in _LINE_ENDS:
                self._extend(data[start:at])
                start = at + 1
                lines += self._ended()
        self._extend(data[start:])
        return lines

    def pause(self) -> list[bytes]:
        """The line paused long enough to have ended. An acknowledgement that has begun goes on waiting."""
        if self._line and not self._dropping and self._strip.startswith(self._line):
            return []
        return self._ended()

    def reset(self) -> None:
        """Forget a line that has begun: the link was lost."""
        self._line.clear()
        self._dropping = False

    def _extend(self, part: bytes) -> None:
        if self._dropping:
            return
        self._line += part
        if self._strip:
            self._line = self._line.replace(self._strip, b"")
        if len(self._line) > self._max_length + len(self._strip):  # room for an acknowledgement that has begun
            self._drop()
            self._dropping = True

    def _ended(self) -> list[bytes]:
        line = bytes(self._line)
        if len(line) > self._max_length:
            self._drop()
            line = b""
        self.reset()
        return [line] if line else []

    def _drop(self) -> None:
        self._line.clear()
        self.dropped += 1
