"""The page about the state machines is what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm.diagrams import PAGE, arrows, main, mermaid, page, staying
from fsm.reasons import REASONS
from fsm.step import TABLES


def test_the_page_is_what_the_tables_give() -> None:
    assert PAGE.read_text() == page(), "run: python -m fsm.diagrams"


def test_every_state_and_every_row_is_drawn_or_listed() -> None:
    for table in TABLES.values():
        drawn = mermaid(table)
        for state in table.states:
            assert re.search(rf"\b{state}\b", drawn), state
        told = {label.split(" [")[0] for _, _, label in arrows(table)}
        told |= {re.sub(r"[*-]", "", item).split()[0] for item in staying(table)}
        acting = {row.event.__name__ for row in table.rows if row.do is not None or row.dest is not None}
        assert told >= acting


def test_the_diagrams_are_well_formed() -> None:
    for table in TABLES.values():
        head, *lines = mermaid(table).splitlines()
        assert head == "stateDiagram-v2"
        assert all(re.fullmatch(r"    (\[\*]|\w+) --> (\[\*]|\w+)( : [\w <>/,\[\]]+)?", line) for line in lines)


def test_reasons_stand_on_the_page() -> None:
    assert all(f"| `{reason}` |" in page() for reason in REASONS)


def test_printing_and_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-"]) == 0 and capsys.readouterr().out == page()
    assert main([str(tmp_path / "x.md")]) == 0 and (tmp_path / "x.md").read_text() == page()
