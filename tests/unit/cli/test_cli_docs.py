"""The pages say what there is, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vendingd.api.routes import ROUTES
from vendingd.api.views import _MEANING
from vendingd.cli.completion import tree
from vendingd.cli.exits import Exit
from vendingd.cli.parser import build, split_bays

DOCS = Path(__file__).resolve().parents[3] / "docs"
CLI, API, TECHNICIAN = ((DOCS / f"{name}.md").read_text() for name in ("cli", "local-api", "technician"))


def test_every_path_is_described_and_exists() -> None:
    said = set(re.findall(r"`(GET|POST) (/v1/[^`?]*)", API))
    assert said == {(route.method, route.pattern) for route in ROUTES}


def test_every_command_and_exit_code_is_described() -> None:
    for node in tree():
        if not any(other.path.startswith(f"{node.path} ") for other in tree()):
            assert re.search(rf"`(vendingctl )?{node.path}\b", CLI) or node.path == "completion", node.path
        for option, _ in node.options:
            assert option in CLI or option in ("--help", "--version"), option
    for code in Exit:
        assert f"\n| {code.value} |" in CLI


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^vendingctl [^#\n|>]*", TECHNICIAN + CLI, re.MULTILINE))))
def test_commands_on_the_pages_can_be_typed(line: str) -> None:
    import shlex

    args = build({}).parse_args(split_bays(shlex.split(line)[1:]))
    assert args.run


def test_the_technicians_page_covers_what_alarms_there_are() -> None:
    for alarm in ("jammed", "unlock_failed", "held_open", "forced_open", "estop"):
        assert alarm in _MEANING
        assert f"`{alarm}`" in TECHNICIAN
