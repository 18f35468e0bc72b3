"""Held for every file: what each folder may import, who may ask for time and chance, and a few house rules.

An import of something that is not listed here fails: a new package is a decision, made here and in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRST_PARTY = ("fsm", "drivers", "vendingd", "hw_sim", "tests")

# Folder -> what of ours it may import. `hw_sim` nothing of ours: a wrong codec must not cancel itself out.
MAY_IMPORT = {
    "fsm": {"fsm"},
    "drivers": {"drivers"},
    "vendingd": {"vendingd", "fsm", "drivers"},
    "hw_sim": {"hw_sim"},
    "tests": set(FIRST_PARTY),
}
# Folder -> third-party packages, by the name that is imported.
THIRD_PARTY = {
    "fsm": {"transitions"},
    "drivers": {
        "aiohttp", "cv2", "gpiozero", "lgpio", "linuxpy", "numpy", "osdp", "PIL", "pydantic", "pyzbar", "serial",
        "zxingcpp",
    },
    "vendingd": {"aiohttp", "cbor2", "cryptography", "msgspec", "pydantic", "yarl"},
    "hw_sim": {"aiohttp", "cbor2", "cryptography", "gpiozero", "numpy", "PIL", "zxingcpp"},
    "tests": {
        "aiohttp", "apsw", "cbor2", "cryptography", "cv2", "gpiozero", "hypothesis", "jsonschema", "msgspec", "numpy",
        "openapi_spec_validator", "packaging", "PIL", "pydantic", "pytest", "pytest_asyncio", "qrcode", "referencing",
        "serial", "transitions", "yaml", "zxingcpp",
    },
}  # fmt: skip
# What the domain may use of the standard library: nothing that does I/O, waits, tells time or throws dice.
FSM_STDLIB = {
    "__future__", "collections", "dataclasses", "enum", "functools", "itertools", "logging", "math", "re", "types",
    "typing",
}  # fmt: skip
FSM_TOOLS = {"fsm/diagrams.py"}  # draws the tables into docs/, no part of the daemon
# Packages that only some sites need, or that cost start-up time: imported inside of functions.
LAZY = {"cv2", "lgpio", "linuxpy", "numpy", "PIL", "pyzbar", "zxingcpp", "gpiozero", "aiohttp"}
LAZY_EXCEPT = {"vendingd/cloud/transport.py", "drivers/cameras/mjpeg.py"}  # themselves imported only where needed

# Who may ask for the time or for chance, and why. Everything else is handed `Clock` and `Random`.
CLOCKED = {
    "vendingd/kernel/time.py": "is the clock and the random source",
    "vendingd/main.py": "the composition root: tidies memory once, some time after the start",
    "vendingd/identity/tool.py": "a command for developers; the daemon does not import it",
    "drivers/faces/tool.py": "a command for developers; the daemon does not import it",
    "vendingd/workers.py": "asyncio.sleep(0) while it ends: a turn of the loop, no time",
    "drivers/wires/serial.py": "lets a port fall silent, on the loop's clock, before its first byte",
    "hw_sim/": "is the world outside, which runs in real time",
    "tests/": "may look at the clock; none asserts a time",
}
TIME_CALLS = re.compile(
    r"time\.(time|monotonic|perf_counter|sleep)(_ns)?|(datetime\.)*datetime\.(now|utcnow|today)|(datetime\.)?date\.today"
    r"|asyncio\.sleep|random\.[a-zA-Z]+"
)
LINES_MOST = 500
LINES_MOST_TESTS = 700  # one case after the other, read one at a time
LONGER = {
    "tests/simulation/test_fsm_properties.py": "one random machine: its people, sensors, crashes and laws",
}


@cache
def files(*endings: str) -> tuple[str, ...]:
    """Every file of the project, relative to its root, also such as are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    return tuple(sorted(f for f in set(listed) if f.endswith(endings or ("",)) and (ROOT / f).is_file()))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(), file)


def sources() -> list[str]:
    return [file for file in files(".py") if file.split("/")[0] in FIRST_PARTY]


def imports(file: str) -> Iterator[tuple[int, str]]:
    """Line and top-level package of each import, wherever it stands."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name.split(".")[0]) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." if node.level else str(node.module).split(".")[0]


def wrong_imports(file: str) -> list[str]:
    folder = file.split("/", maxsplit=1)[0]
    allowed = MAY_IMPORT[folder] | THIRD_PARTY[folder]
    allowed |= FSM_STDLIB if folder == "fsm" and file not in FSM_TOOLS else set(sys.stdlib_module_names)
    return [f"{file}:{line} imports {name}" for line, name in imports(file) if name not in allowed]


def test_there_is_something_to_check() -> None:
    assert {file.split("/")[0] for file in sources()} == set(FIRST_PARTY)


@pytest.mark.parametrize("folder", FIRST_PARTY)
def test_imports_point_one_way(folder: str) -> None:
    found = [wrong for file in sources() if file.startswith(f"{folder}/") for wrong in wrong_imports(file)]
    assert found == []


def test_lists_name_nothing_that_is_not_imported() -> None:
    for folder in ("fsm", "vendingd", "hw_sim"):
        used = {name for file in sources() if file.startswith(f"{folder}/") for _, name in imports(file)}
        assert THIRD_PARTY[folder] - used == set()


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    found = []
    for file in sources():
        if file.split("/")[0] not in ("drivers", "vendingd") or file in LAZY_EXCEPT:
            continue
        for node in tree(file).body:  # the module's own level; `if TYPE_CHECKING:` is below it
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            found += [f"{file}:{node.lineno} imports {name}" for name in names if name.split(".")[0] in LAZY]
    assert found == []


# ------------------------------------------------ time and chance
def clocked(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls and mentions of clocks, sleeps and dice, by whatever name they were imported."""
    names: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    inner = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Attribute)}
    for node in ast.walk(module):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner:
            first, _, rest = ast.unparse(node).partition(".")
            full = ".".join(filter(None, (names.get(first, ""), rest)))
            if TIME_CALLS.fullmatch(full):
                yield node.lineno, full


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic_ns()",
        "from time import sleep\nsleep(1)",
        "from datetime import datetime as d\nd.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "from asyncio import sleep as nap\nawait_ = nap(1)",
        "import random\nclock = random.random",
        "from random import choice\nchoice([1])",
    ],
)
def test_the_lint_sees_through_names(text: str) -> None:
    assert list(clocked(ast.parse(text)))


@pytest.mark.parametrize("text", ["clock.monotonic()", "self._random.random()", "import time\ntime.strftime('%Y')"])
def test_the_lint_leaves_the_seams_alone(text: str) -> None:
    assert not list(clocked(ast.parse(text)))


def test_only_the_seams_ask_for_time_and_chance() -> None:
    found = [
        f"{file}:{line} {what}"
        for file in sources()
        if not file.startswith(tuple(CLOCKED))
        for line, what in clocked(tree(file))
    ]
    assert found == []


def test_every_exception_is_needed() -> None:
    for place in CLOCKED:
        assert any(list(clocked(tree(file))) for file in sources() if file.startswith(place)), place


# ------------------------------------------------ house rules
def test_nothing_is_left_to_do() -> None:
    """Words that promise a later change, in any text of ours but generated lists."""
    word = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
    texts = files(".py", ".md", ".toml", ".yaml", ".service", ".rules", "Makefile", "run")
    assert [file for file in texts if word.search((ROOT / file).read_text())] == []


def test_no_path_of_some_machine() -> None:
    """Neither a home directory nor this checkout's own place."""
    path = re.compile(rf"(?<![\w.])(/home/\w+|/Users/\w+|/ro" rf"ot/|{re.escape(str(ROOT))})")
    found = [
        f"{file}: {hit.group()}"
        for file in files(".py", ".md", ".toml", ".yaml", ".txt", ".service", "Makefile", "run")
        if (hit := path.search((ROOT / file).read_text()))
    ]
    assert found == []


def test_files_stay_small() -> None:
    lines = {file: len((ROOT / file).read_text().splitlines()) for file in sources() if file not in LONGER}
    most = {file: LINES_MOST_TESTS if file.startswith("tests/") else LINES_MOST for file in lines}
    assert {file: n for file, n in lines.items() if n > most[file]} == {}
