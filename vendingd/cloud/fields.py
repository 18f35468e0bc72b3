"""Strict reading of JSON members: each error names the member and what is wrong, never its value."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

T = TypeVar("T")

_ID = re.compile(r"[!-~]{1,128}\Z")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z\Z", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")


class FieldError(ValueError):
    """A member of an instruction is missing, of the wrong kind, or contradicts another."""


class Fields:
    """One JSON object, read member by member; `done` refuses what nobody has read."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise FieldError(f"{path or 'instruction'}: an object is expected")
        self._value: Mapping[str, Any] = value
        self._path = path
        self._read: set[str] = set()

    def name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def fail(self, key: str, why: str) -> FieldError:
        return FieldError(f"{self.name(key)}: {why}")

    def has(self, key: str) -> bool:
        return key in self._value

    def take(self, key: str, read: Callable[[Any], T]) -> T:
        """The member as `read` takes it; `read` raises ValueError with the reason."""
        self._read.add(key)
        if key not in self._value:
            raise self.fail(key, "is missing")
        try:
            return read(self._value[key])
        except FieldError:
            raise
        except ValueError as error:
            raise self.fail(key, str(error)) from None

    def maybe(self, key: str, read: Callable[[Any], T]) -> T | None:
        self._read.add(key)
        return self.take(key, read) if key in self._value else None

    def array(self, key: str, most: int, least: int = 1) -> list[Any]:
        def read(value: Any) -> list[Any]:
            if not isinstance(value, list):
                raise ValueError("an array is expected")
            if not least <= len(value) <= most:
                raise ValueError(f"{least} to {most} entries are expected")
            return value

        return self.take(key, read)

    def items(self, key: str, read: Callable[[Any], T], most: int, least: int = 1) -> tuple[T, ...]:
        """An array of which each entry is read; no entry twice."""
        out: list[T] = []
        for n, value in enumerate(self.array(key, most, least)):
            try:
                out.append(read(value))
            except FieldError:
                raise
            except ValueError as error:
                raise FieldError(f"{self.name(key)}[{n}]: {error}") from None
        if len(set(out)) != len(out):
            raise self.fail(key, "an entry is given twice")
        return tuple(out)

    def done(self) -> None:
        """Refuse members that nobody has read: a condition that is not understood must not be dropped."""
        unknown = sorted(set(self._value) - self._read)
        if unknown:
            raise FieldError(f"{self.name(printable(unknown[0]))}: is not known here")


def printable(text: str, most: int = 60) -> str:
    """Text of others, short and without control characters, for a reason or a log line."""
    return "".join(c if "!" <= c <= "~" or c == " " else "?" for c in text[:most])


# ---------------------------------------------------------------- readers
def ident(value: Any) -> str:
    if not isinstance(value, str) or not _ID.match(value):
        raise ValueError("a name of 1 to 128 printable characters without spaces is expected")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 500:
        raise ValueError("a text of 1 to 500 characters is expected")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is expected")
    return value


def whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most} is expected")
        return value

    return read


def seconds(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1e12:
        raise ValueError("a number of seconds, not negative, is expected")
    return float(value)


def utc(value: Any) -> float:
    """RFC 3339 in UTC with Z, as POSIX seconds."""
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("an RFC 3339 time in UTC with Z is expected")
    try:
        whole_s = datetime.fromisoformat(match[1] + "+00:00").timestamp()
    except ValueError:
        raise ValueError("there is no such time") from None
    return whole_s + float(match[2] or 0)


def base64url(least: int, most: int) -> Callable[[Any], bytes]:
    def read(value: Any) -> bytes:
        if not isinstance(value, str) or not _BASE64URL.match(value):
            raise ValueError("base64url without padding is expected")
        try:
            raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except (binascii.Error, ValueError):
            raise ValueError("base64url without padding is expected") from None
        if not least <= len(raw) <= most:
            raise ValueError(f"{least} to {most} bytes are expected")
        return raw

    return read


def matching(pattern: str, what: str) -> Callable[[Any], str]:
    compiled = re.compile(pattern)

    def read(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(f"{what} is expected")
        return value

    return read
