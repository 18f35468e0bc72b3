"""What people read: aligned tables that fit the terminal, colours only where they are wanted.

Everything that comes from outside is made printable first: a name in a record must not play with a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

GAP = "  "
LEAST, LEAST_LAST = 8, 24  # columns do not get narrower
COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
BAD = frozenset({"unavailable", "estop", "fail", "incident", "faulted", "down", "no"})
WARN = frozenset({"out_of_service", "warn", "overdue", "offline", "unknown", "settling"})


class Screen:
    """Writes to `out`; `width` 80 where it is no terminal."""

    def __init__(self, out: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self.out = out or sys.stdout
        tty = self.out.isatty()
        self.colours = tty and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        self.width = shutil.get_terminal_size((80, 24)).columns if tty else 80

    def line(self, text: str = "") -> None:
        self.out.write(f"{text}\n")

    def json(self, value: Any) -> None:
        """One document; on a terminal spread out for eyes."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False))

    def json_line(self, value: Any) -> None:
        self.line(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        self.out.flush()

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.colours and text else text

    def word(self, text: str) -> str:
        """A state's word in its colour."""
        first = text.strip().split(" ")[0].rstrip(",:;")
        return self.paint(text, "red") if first in BAD else self.paint(text, "yellow") if first in WARN else text

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Aligned columns. What does not fit goes on below itself, in the last column first."""
        cells = [[clean(cell) for cell in row] for row in rows]
        natural = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        widths = _fitted(natural, heads, self.width - len(GAP) * (len(heads) - 1))
        self.line(self.paint(_joined(heads, widths), "bold"))
        for row in cells:
            folded = [fold(cell, width) for cell, width in zip(row, widths, strict=True)]
            for n in range(max(map(len, folded))):
                line = [lines[n] if n < len(lines) else "" for lines in folded]
                self.line(self._coloured(line, widths))

    def _coloured(self, line: Sequence[str], widths: Sequence[int]) -> str:
        if not self.colours:
            return _joined(line, widths)
        return GAP.join(self.word(cell.ljust(width)) for cell, width in zip(line, widths, strict=True)).rstrip()

    def pairs(self, rows: Sequence[tuple[str, Any]]) -> None:
        """Names and values, one a line; long values go on below themselves."""
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            lines = fold(clean(value), max(self.width - width - len(GAP), 20)) or [""]
            self.line(f"{self.paint(name.ljust(width), 'dim')}{GAP}{self.word(lines[0])}".rstrip())
            for more in lines[1:]:
                self.line(" " * width + GAP + more)

    def paragraph(self, text: str, indent: str = "", first: str | None = None) -> None:
        for n, line in enumerate(fold(clean(text), self.width - len(indent))):
            self.line((first if first is not None and n == 0 else indent) + line)


def clean(value: Any) -> str:
    """Printable text; nothing is shown as a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def fold(text: str, width: int) -> list[str]:
    """Lines of at most `width`; broken at spaces where there are any."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
            continue
        rest = word
        while len(rest) > width:
            lines.append(rest[:width])
            rest = rest[width:]
        lines.append(rest)
    return lines


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _fitted(natural: Sequence[int], heads: Sequence[str], room: int) -> list[int]:
    """Widths that fit: the last column gives way first, then the widest, none below what can be read."""
    widths = list(natural)
    last = len(widths) - 1
    widths[last] = min(widths[last], max(room - sum(widths[:last]), LEAST_LAST))
    while sum(widths) > room:
        spare = [(width - max(len(head), LEAST), n) for n, (width, head) in enumerate(zip(widths, heads, strict=True))]
        most, widest = max(spare)
        if most <= 0:
            break
        widths[widest] -= 1
    return widths


def when(stamp: str | None) -> str:
    """2027-01-15T08:00:00Z as people read it; still UTC."""
    return "-" if not stamp else stamp.replace("T", " ")


def brief(data: Mapping[str, Any]) -> str:
    """A record's data on one line."""
    return " ".join(f"{key}={_value(value)}" for key, value in data.items())


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if " " in value or not value else value
    return json.dumps(value, ensure_ascii=False)
