"""Whatever stands in a site file, loading ends in a site or in errors that have a line of the file."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from vendingd.site.load import load_site
from vendingd.site.problems import SiteError

GOOD = (Path(__file__).resolve().parents[3] / "config" / "demo.toml").read_text(encoding="utf-8").splitlines()
VALUES = [  # an odd number of them: see below
    "3", "-1", "true", "nan", "-inf", "1e400", "1979-05-27", "07:32:00", '""', "''", '"x"', '"{n}"', '"a:b"', '":1"',
    '"locks:99999"', '"locks:²"', "[]", "[[]]", "[1, 2]", '["x"]', "{}", "{ a = 1 }", "[{ driver = 3 }]",
    '"""\n[x]\n"""', "99999999999999999999",
]  # fmt: skip
LINES = [
    "[x]",
    "[[x]]",
    "[devices]",
    "[devices.locks.more]",
    "[[bays]]",
    "[[bays.n]]",
    "x = 1",
    '"a b" . c = 1',
    "[devices.'']",
]


def check(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
    try:
        load_site(path)
    except SiteError as error:
        assert error.problems
        assert all(1 <= one.line <= text.count("\n") + 1 for one in error.problems)


def test_each_key_with_any_value(tmp_path: Path) -> None:
    keys = [n for n, line in enumerate(GOOD) if " = " in line and not line.startswith("#")]
    for n, value in itertools.islice(itertools.product(keys, VALUES), 0, None, 4):  # each key meets others
        key = GOOD[n].partition(" = ")[0]
        check("\n".join([*GOOD[:n], f"{key} = {value}", *GOOD[n + 1 :]]), tmp_path / "site.toml")


def test_each_line_gone_or_doubled_or_followed_by_another(tmp_path: Path) -> None:
    for n, line in enumerate(GOOD):
        for more in [[], [line, line], *([line, other] for other in LINES[n % 3 :: 3])]:
            check("\n".join([*GOOD[:n], *more, *GOOD[n + 1 :]]), tmp_path / "site.toml")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([*GOOD, *LINES, *(f"id = {value}" for value in VALUES)]), max_size=40))
def test_lines_in_any_order(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check("\n".join(lines), Path(folder) / "site.toml")
