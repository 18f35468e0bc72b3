"""Where in a TOML text something stands: tomllib forgets lines, and an error without one is hard to act on.

Reads the text once more, only after something was found wrong. It may assume that tomllib has accepted the
text, so it looks for structure alone: headers, keys, strings, brackets, comments.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}#\n]+")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)$")


class Lines:
    """Lines of a document's keys, tables and elements, counted from 1."""

    def __init__(self, text: str) -> None:
        """`text` must be valid TOML."""
        self._found: dict[Path, int] = {}
        _Reader(text.replace("\r\n", "\n"), self._found).document()

    def of(self, path: Path) -> int:
        """The line of this path, or of the nearest thing around it; 1 for what stands nowhere."""
        while path:
            if path in self._found:
                return self._found[path]
            path = path[:-1]
        return 1


def line_of_syntax_error(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The line that tomllib speaks of (`at end of document`: the last one)."""
    said = _AT_LINE.search(str(error))
    return int(said[1]) if said else max(1, text.count("\n") + (not text.endswith("\n")))


class _Reader:
    def __init__(self, text: str, found: dict[Path, int]) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._found = found
        self._counts: dict[Path, int] = {}  # elements of each array of tables so far

    def document(self) -> None:
        table: Path = ()
        while True:
            self._skip(" \t\n")
            if self._at >= len(self._text):
                return
            if self._text.startswith("[[", self._at):
                table = self._header(array=True)
            elif self._text[self._at] == "[":
                table = self._header(array=False)
            else:
                self._pair(table)

    # ------------------------------------------------------------ parts
    def _header(self, *, array: bool) -> Path:
        line = self._line
        self._go(2 if array else 1)
        keys = self._keys()
        self._go(2 if array else 1)
        table: Path = ()
        for key in keys[:-1]:
            table = self._newest((*table, key))
            self._note(table, line)
        table = (*table, keys[-1])
        self._note(table, line)
        if array:
            n = self._counts.get(table, 0)
            self._counts[table] = n + 1
            table = (*table, n)
            self._note(table, line)
        else:
            self._found[table] = line  # the header itself, rather than a header below it that came earlier
        return table

    def _newest(self, table: Path) -> Path:
        """The table, or the newest element where it is an array of tables."""
        return (*table, self._counts[table] - 1) if table in self._counts else table

    def _pair(self, table: Path) -> None:
        line = self._line
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, line)
        self._go(1)  # =
        self._skip(" \t")
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(" \t")
            if self._text[self._at] in "\"'":
                keys.append(self._quoted_key())
            else:
                bare = _BARE.match(self._text, self._at)
                if bare is None:
                    raise ValueError(f"line {self._line}: not the TOML that was promised")
                self._go(len(bare[0]))
                keys.append(bare[0])
            self._skip(" \t")
            if self._text[self._at] != ".":
                return keys
            self._go(1)

    def _quoted_key(self) -> str:
        start = self._at
        self._string()
        (key,) = tomllib.loads(f"{self._text[start : self._at]} = 0")
        return key

    def _value(self, path: Path) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._go(1)
            n = 0
            while self._more("]"):
                self._note((*path, n), self._line)
                self._value((*path, n))
                n += 1
        elif first == "{":
            self._go(1)
            while self._more("}"):
                self._pair(path)
        else:
            plain = _PLAIN.match(self._text, self._at)
            self._go(len(plain[0]) if plain else 1)

    def _more(self, end: str) -> bool:
        """Pass commas up to the next element: whether there is one."""
        self._skip(" \t\n,")
        if self._text[self._at] != end:
            return True
        self._go(1)
        return False

    def _string(self) -> None:
        quote = self._text[self._at]
        end = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._go(len(end))
        while not self._text.startswith(end, self._at):
            self._go(2 if quote == '"' and self._text[self._at] == "\\" else 1)
        self._go(len(end))
        while len(end) == 3 and self._text.startswith(quote, self._at):
            self._go(1)  # up to two quotes may stand right before the three that end it

    # ------------------------------------------------------------ moving
    def _skip(self, what: str) -> None:
        """Pass such characters, and comments."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._text[self._at] in what:
                self._go(1)
            else:
                return

    def _go(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _note(self, path: Path, line: int) -> None:
        self._found.setdefault(path, line)
