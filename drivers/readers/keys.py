"""Codec of a keypad that sends one character for each key. Characters only: no I/O, no time.

Everything here is ours: such keypads have no common protocol. What is typed is secret: neither `repr` nor any
message shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Key(Enum):
    """A key whose meaning is told at once. The values are `KeyPressed.key`."""

    DIGIT = "digit"
    CLEAR = "clear"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Entry:
    """Digits that the enter key has closed."""

    digits: str = field(repr=False)


class KeypadDecoder:
    """Bytes to keys and entries. An entry of more than `max_digits` is no entry: entering it clears it."""

    def __init__(self, *, enter: str, clear: str, return_key: str, max_digits: int) -> None:
        """`return_key` may be '' where the keypad has none."""
        self._enter = enter
        self._clear = clear
        self._return = return_key
        self._max_digits = max_digits
        self._digits = ""
        self._too_many = False

    def __repr__(self) -> str:
        return "KeypadDecoder()"

    @property
    def pending(self) -> bool:
        """Digits were typed and neither entered nor cleared."""
        return bool(self._digits)

    def feed(self, data: bytes) -> list[Key | Entry]:
        """Take what arrived; characters that belong to no key are passed over."""
        found: list[Key | Entry] = []
        for character in data.decode("latin-1"):
            if character in "0123456789":
                found.append(Key.DIGIT)
                if len(self._digits) < self._max_digits:
                    self._digits += character
                else:
                    self._too_many = True
            elif character == self._enter:
                if self._too_many:
                    found.append(Key.CLEAR)
                elif self._digits:
                    found.append(Entry(self._digits))
                self.forget()
            elif character == self._clear:
                found.append(Key.CLEAR)
                self.forget()
            elif character == self._return:
                found.append(Key.RETURN)
        return found

    def forget(self) -> None:
        """Drop what was typed so far."""
        self._digits = ""
        self._too_many = False
