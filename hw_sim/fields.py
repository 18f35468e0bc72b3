"""Reads the fields of a request and complains about wrong, missing and unknown ones by name."""

from __future__ import annotations

from typing import Any


class BadRequest(Exception):
    """The request cannot be understood; the message says which field and why."""


class Fields:
    """The fields of one JSON object."""

    def __init__(self, body: object, where: str = "the body") -> None:
        if not isinstance(body, dict):
            raise BadRequest(f"{where} is not a JSON object")
        self._left: dict[str, Any] = dict(body)
        self._where = where

    def _take(self, key: str, kinds: type | tuple[type, ...], default: Any, what: str) -> Any:
        if key not in self._left:
            if default is ...:
                raise BadRequest(f"{self._where}: {key} is missing ({what})")
            return default
        value = self._left.pop(key)
        if value is None and default is None:
            return None
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise BadRequest(f"{self._where}: {key} = {value!r} is not {what}")
        return value

    def text(self, key: str, default: Any = ...) -> str:
        return str(self._take(key, str, default, "a string"))

    def text_or_none(self, key: str) -> str | None:
        value = self._take(key, str, None, "a string")
        return None if value is None else str(value)

    def number(self, key: str, default: Any = ..., *, least: float = 0.0) -> float:
        value = float(self._take(key, (int, float), default, "a number"))
        if not least <= value < 1e9:
            raise BadRequest(f"{self._where}: {key} = {value} is not between {least} and 1e9")
        return value

    def whole(self, key: str, default: Any = ..., *, least: int = 1) -> int:
        value = self._take(key, int, default, "a whole number")
        if value < least:
            raise BadRequest(f"{self._where}: {key} = {value} is less than {least}")
        return int(value)

    def flag(self, key: str, default: Any = ...) -> bool:
        return bool(self._take(key, bool, default, "true or false"))

    def flag_or_none(self, key: str) -> bool | None:
        value = self._take(key, bool, None, "true or false")
        return None if value is None else bool(value)

    def one_of(self, key: str, known: tuple[str, ...], default: Any = ...) -> str:
        value = self.text(key, default)
        if value not in known:
            raise BadRequest(f"{self._where}: {key} = {value!r}; there are: {', '.join(known)}")
        return value

    def texts(self, key: str, default: Any = ...) -> list[str]:
        values = self._take(key, list, default, "a list of strings")
        if any(not isinstance(v, str) for v in values):
            raise BadRequest(f"{self._where}: {key} = {values!r} is not a list of strings")
        return list(values)

    def only(self, takes: str, *more: str) -> None:
        """Refuse fields that are neither in `takes` (such as "bay? | bays?, seconds=3 (why) -> x") nor in `more`."""
        known = {*more, *names_in(takes)}
        if unknown := set(self._left) - known:
            there = ", ".join(sorted(known)) or "none"
            raise BadRequest(f"{self._where}: unknown field {', '.join(sorted(unknown))}; there are: {there}")


def names_in(takes: str) -> set[str]:
    """The field names of a line that describes parameters."""
    listed = takes.partition("->")[0].partition("(")[0].split(",")
    return {name.strip(" ?") for part in listed for name in part.partition("=")[0].split("|")} - {""}
