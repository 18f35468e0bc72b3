"""What documents name exists: files, links between pages, functions and classes, make's targets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
OURS = ("fsm", "drivers", "vendingd", "hw_sim", "tests", "tools", "config", "systemd", "docs", "locks")
CODE = ("fsm", "drivers", "vendingd", "hw_sim")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text())


def quoted(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


@cache
def defined() -> frozenset[str]:
    """Functions and classes of the code: plain, and methods also with their class."""
    found: set[str] = set()
    for package in CODE:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    found.add(node.name)
                if isinstance(node, ast.ClassDef):
                    found |= {f"{node.name}.{member}" for member in members(node)}
    return frozenset(found)


def members(node: ast.ClassDef) -> Iterator[str]:
    for one in node.body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            yield one.name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page: Path) -> None:
    paths = [word for word in quoted(page) if re.fullmatch(rf"({'|'.join(OURS)})/[\w./*-]*", word)]
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_functions_exist(page: Path) -> None:
    called = [word[:-2] for word in quoted(page) if re.fullmatch(r"[\w.]+\(\)", word)]
    assert [one for one in called if one not in defined()] == []


def test_functions_are_where_the_overview_says() -> None:
    """`name()` in `file`."""
    for function, file in re.findall(r"`(\w+)\(\)` in `([\w/]+\.py)`", prose(ROOT / "docs/overview.md")):
        tops = {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert function in tops, f"{function} is not in {file}"


def test_the_overview_names_what_it_explains() -> None:
    words = quoted(ROOT / "docs/overview.md")
    assert sum(word.endswith("()") for word in words) > 30
    classes = [word for word in words if re.fullmatch(r"[A-Z][a-z]+[A-Za-z]*", word)]
    assert len(classes) > 5 and [word for word in classes if word not in defined()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_targets_of_make_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`|&& )make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert named - targets == set()


def test_decisions_are_numbered_once() -> None:
    numbers = [file.name[:4] for file in (ROOT / "docs/decisions").glob("*.md")]
    assert len(numbers) == len(set(numbers))
