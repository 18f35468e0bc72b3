"""Diagrams drawn from the tables: what docs/state-machines.md shows is what the machine does.

`python -m fsm.diagrams` writes the page, `python -m fsm.diagrams -` prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from fsm.events import Request
from fsm.model import FINAL
from fsm.reasons import REASONS
from fsm.step import TABLES
from fsm.table import Row, Table

PAGE = Path(__file__).parents[1] / "docs" / "state-machines.md"
HEADS = {
    "rental": "One reservation, from booking to its end, over days.",
    "bay": "One place: its door as sensed and as expected. Availability, alarms and contents are beside it.",
    "visit": "One person at one terminal, over minutes. Never journalled.",
}
INTRO = """\
# State machines

Drawn from the tables in `fsm/` by `python -m fsm.diagrams`; a test holds this page equal.

An arrow is an event, with the guards that must hold in brackets; where several rows fit, the first in the table whose
guards all hold is taken. Requests (which may be refused) are in *italics* below the diagrams, facts (which never are)
are not. Rows that keep the state stand in the lists below the diagrams; facts that are ignored are left out.
"""


def word(guard: Any) -> str:
    """The word by which a guard refuses."""
    return str(getattr(guard, "reason", None) or guard.__name__)


def _name(guard: Any) -> str:
    return str(guard.__name__).replace("_", " ")


def _guards(row: Row[Any, Any, Any]) -> str:
    return f" [{', '.join(_name(guard) for guard in row.guards)}]" if row.guards else ""


def _idle(row: Row[Any, Any, Any]) -> bool:
    """On purpose nothing comes of it."""
    return row.do is None and row.dest is None


def arrows(table: Table[Any, Any]) -> Iterator[tuple[StrEnum, StrEnum, str]]:
    """(from, to, label) for every row and source that leads to another state, in the order of the table."""
    for row in table.rows:
        for source in row.source:
            if row.dest is not None and row.dest is not source:
                yield source, row.dest, f"{row.event.__name__}{_guards(row)}"


def mermaid(table: Table[Any, Any]) -> str:
    """A Mermaid stateDiagram-v2; arrows between the same two states share one line."""
    lines = ["stateDiagram-v2", f"    [*] --> {table.initial}"]
    labels: dict[tuple[StrEnum, StrEnum], list[str]] = {}
    for source, dest, label in arrows(table):
        known = labels.setdefault((source, dest), [])
        if label not in known:
            known.append(label)
    for (source, dest), known in labels.items():
        lines.append(f"    {source} --> {dest} : {'<br/>'.join(known)}")
    lines += [f"    {state} --> [*]" for state in table.states if state in FINAL]
    return "\n".join(lines)


def staying(table: Table[Any, Any]) -> Iterator[str]:
    """Rows that act and keep the state, as list items."""
    every = {state for row in table.rows for state in row.source}
    for row in table.rows:
        stays = row.source if row.dest is None else tuple(s for s in row.source if s is row.dest)
        if _idle(row) or not stays:
            continue
        event = f"*{row.event.__name__}*" if issubclass(row.event, Request) else row.event.__name__
        where = "any state" if set(stays) == every else ", ".join(stays)
        does = f": {row.do.__name__.replace('_', ' ')}" if row.do is not None else ""
        yield f"- {event}{_guards(row)} in {where}{does}"


def page() -> str:
    """The whole of docs/state-machines.md."""
    parts = [INTRO]
    for name, table in TABLES.items():
        parts.append(f"## {name.capitalize()}\n\n{HEADS[name]}\n\n```mermaid\n{mermaid(table)}\n```\n")
        parts.append("Keeping the state:\n\n" + "\n".join(staying(table)) + "\n")
    parts.append("## Why a request is refused\n")
    parts.append("| word | meaning |\n| --- | --- |\n" + "\n".join(f"| `{w}` | {m} |" for w, m in REASONS.items()))
    return "\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    if arguments == ["-"]:
        sys.stdout.write(page())
    else:
        (Path(arguments[0]) if arguments else PAGE).write_text(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
