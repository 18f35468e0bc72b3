"""Prints: titles, rows in five columns, verdicts. Plain text of 100 columns; colour on a terminal only."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import TextIO

from hw_sim.demo.witness import Lane, Post, Seen

WIDTH = 100
_TIME = 6
_WIDTHS = {Lane.ASKED: 21, Lane.COMMANDED: 14, Lane.SENSED: 17, Lane.JOURNALLED: 31, Lane.CLOUD: 6}
_COLOURS = {
    Lane.ASKED: "36",  # cyan
    Lane.COMMANDED: "1;33",  # yellow
    Lane.SENSED: "32",  # green
    Lane.JOURNALLED: "35",  # magenta
    Lane.CLOUD: "34",  # blue
}
_DIM, _BOLD, _RED, _GREEN = "2", "1", "1;31", "1;32"


class Screen:
    """Writes to one stream. NO_COLOR (no-color.org) is respected."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def say(self, text: str = "", colour: str = "") -> None:
        for line in text.split("\n"):
            self._out.write(self._in(line, colour).rstrip() + "\n")
        self._out.flush()

    def _in(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour and text else text

    # ------------------------------------------------ the frame
    def title(self, text: str) -> None:
        self.say(text, _BOLD)

    def note(self, text: str, indent: int = 0) -> None:
        pad = " " * indent
        for paragraph in text.split("\n"):
            self.say(textwrap.fill(paragraph, WIDTH, initial_indent=pad, subsequent_indent=pad), _DIM)

    def heads(self) -> None:
        """The names of the columns."""
        cells = [self._in(f"{lane.upper():<{_WIDTHS[lane]}}", _COLOURS[lane]) for lane in Lane]
        self.say(" ".join([" " * _TIME, *cells]))

    def step(self, number: int, text: str) -> None:
        self.say()
        head = f"── {number:>2}  {text} "
        self.say(head + "─" * (WIDTH - len(head)), _BOLD)

    def rows(self, seen: Iterable[Seen], since: float, post: Mapping[int, Post]) -> None:
        """In the order of their times; a record's row says in the last column how soon the cloud had it."""
        for one in sorted((s for s in seen if s.lane is not Lane.CLOUD or s.what == "post"), key=lambda s: s.at):
            cells = {one.lane: one.text}
            if one.lane is Lane.JOURNALLED:
                sent = post.get(one.seq)
                cells[Lane.CLOUD] = "later" if sent is None else _lag(sent.at - one.at)
            self._row(f"{one.at - since:+{_TIME}.2f}", cells)

    def _row(self, when: str, cells: Mapping[Lane, str]) -> None:
        columns = [_wrapped(cells.get(lane, ""), _WIDTHS[lane]) for lane in Lane]
        for n, parts in enumerate(zip_longest(*columns, fillvalue="")):
            line = [self._in(when if n == 0 else " " * _TIME, _DIM)]
            for lane, part in zip(Lane, parts, strict=True):
                line.append(self._in(f"{part:<{_WIDTHS[lane]}}", _COLOURS[lane]))
            self.say(" ".join(line))

    def good(self, text: str) -> None:
        self._verdict("✓", text, _GREEN)

    def bad(self, text: str) -> None:
        self._verdict("✗", text, _RED)

    def _verdict(self, mark: str, text: str, colour: str) -> None:
        lines = [part for line in text.split("\n") for part in textwrap.wrap(line, WIDTH - _TIME - 1)]
        for n, line in enumerate(lines):
            self.say(f"{mark if n == 0 else ' ':>{_TIME}} {line}", colour)

    def log(self, name: str, text: str) -> None:
        """The end of a log, indented."""
        self.say(f"\n  the end of {name}{'' if text else ': it is empty'}", _BOLD)
        if text:
            self.say(textwrap.indent(text, "    "))


def _wrapped(text: str, width: int) -> list[str]:
    # a record's seq stands to the left; what follows is indented below the kind
    if len(text) <= width:
        return [text]
    hang = "    " if text[:3].strip().isdigit() and text[3:4] == " " else " "
    return textwrap.wrap(text, width, subsequent_indent=hang, break_on_hyphens=False, drop_whitespace=True)


def _lag(seconds: float) -> str:
    """In six characters."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    return f"{seconds:.1f} s"
