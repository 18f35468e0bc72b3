from __future__ import annotations

import tomllib
from typing import Any

import pytest

from vendingd.site.lines import Lines, Path, line_of_syntax_error

TEXT = '''\
# a comment with [a header] and key = 1
machine = "m"          # [not.a.table]
dotted . "quoted \\" key" = 1

[devices.locks]
driver = 'gpio-lock'
pins = [
  1,  # one ] here
  2, [3,
  4],
]
[devices."a.b"]
options = { x = 1, y = { z = "}" }, w = [{ v = 1 }] }
long = """
[bays]
x = 1 \\""" still """"
after = \'\'\'
it\'s
\'\'\'
when = 1979-05-27T07:32:00Z

[[bays]]
id = "a"
[bays.inner]
k = 1
[[bays]]
[[bays.deep]]
id = "b"
[devices]
'''


def keys_of(value: Any, path: Path = ()) -> list[Path]:
    """Every path that a parsed document has."""
    found: list[Path] = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        found += keys_of(inner, (*path, key))
    return found


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("machine",), 2),
        (("dotted",), 3),
        (("dotted", 'quoted " key'), 3),
        (("devices", "locks"), 5),
        (("devices", "locks", "driver"), 6),
        (("devices", "locks", "pins"), 7),
        (("devices", "locks", "pins", 0), 8),
        (("devices", "locks", "pins", 2), 9),
        (("devices", "locks", "pins", 2, 1), 10),
        (("devices", "a.b"), 12),
        (("devices", "a.b", "options", "y", "z"), 13),
        (("devices", "a.b", "options", "w", 0, "v"), 13),
        (("devices", "a.b", "long"), 14),
        (("devices", "a.b", "after"), 17),
        (("devices", "a.b", "when"), 20),
        (("bays",), 22),
        (("bays", 0), 22),
        (("bays", 0, "id"), 23),
        (("bays", 0, "inner", "k"), 25),
        (("bays", 1), 26),
        (("bays", 1, "deep", 0, "id"), 28),
        (("devices",), 29),
    ],
)
def test_finds_lines(path: Path, line: int) -> None:
    assert Lines(TEXT).of(path) == line
    assert Lines(TEXT.replace("\n", "\r\n")).of(path) == line


def test_what_stands_nowhere_is_told_at_what_is_around_it() -> None:
    lines = Lines(TEXT)
    assert lines.of(("bays", 1, "lock")) == 26
    assert lines.of(("devices", "locks", "pins", 1, "x")) == 9
    assert lines.of(("terminals",)) == 1
    assert lines.of(()) == 1


def test_knows_every_key_of_a_document() -> None:
    known = Lines(TEXT)._found
    assert set(keys_of(tomllib.loads(TEXT))) == set(known)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \nc = 3\n", 2), ('a = 1\nb = """\n', 2), ("a = 1\n[b", 2), ("[a]\n[b]\n[a]\n", 3)],
)
def test_syntax_errors_have_a_line(text: str, line: int) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert line_of_syntax_error(caught.value, text) == line
