"""Tables and colours."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vendingd.cli.show import Screen, brief, clean, fold

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(out: io.StringIO | None = None, **environment: str) -> tuple[Screen, io.StringIO]:
    out = out or io.StringIO()
    return Screen(out, environment), out


def test_columns_are_aligned_and_the_last_gives_way() -> None:
    made, out = screen()
    made.table(("A", "NOTES"), [("bay-1", "word " * 20), ("b", None)])
    lines = out.getvalue().splitlines()
    assert lines[0] == "A      NOTES"
    assert lines[1].startswith("bay-1  word word")
    assert lines[2].startswith("       word")
    assert lines[-1] == "b      -"
    assert max(map(len, lines)) <= 80


@given(st.lists(st.tuples(PRINTABLE, PRINTABLE, PRINTABLE), max_size=5))
def test_every_table_fits_and_loses_no_letter(rows: list[tuple[str, str, str]]) -> None:
    made, out = screen()
    made.table(("ONE", "TWO", "THREE"), rows)
    text = out.getvalue()
    assert all(len(line) <= 80 for line in text.split("\n"))
    assert all(c.isprintable() or c == "\n" for c in text)
    said = sorted("".join(clean(cell) for row in rows for cell in row).replace(" ", ""))
    assert sorted(text.removeprefix(text.split("\n")[0]).replace(" ", "").replace("\n", "")) == said


@given(st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc"]) | st.just(" "), max_size=200), st.integers(5, 60))
def test_folding_keeps_every_letter(text: str, width: int) -> None:
    lines = fold(text, width)
    assert all(len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("environment", "tty", "coloured"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm"}, False, False),
    ],
)
def test_colours_only_where_they_are_wanted(environment: dict[str, str], tty: bool, coloured: bool) -> None:
    made, out = screen(Tty() if tty else None, **environment)
    made.table(("STATE",), [("unavailable",)])
    made.pairs([("state", "offline: no answer")])
    assert ("\x1b[31munavailable" in out.getvalue()) is coloured
    assert ("\x1b[33moffline" in out.getvalue()) is coloured


def test_data_on_one_line() -> None:
    assert brief({"who": "a b", "n": 1, "ok": True, "x": "y"}) == 'who="a b" n=1 ok=true x=y'
    assert json.loads(brief({"x": ""}).removeprefix("x=")) == ""
