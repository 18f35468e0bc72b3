"""Badge readers in a site file: at a terminal, their key files, their housing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vendingd.site.load import load_site
from vendingd.site.problems import SiteError
from vendingd.site.resolved import Channel

SITE = """
schema = 1
machine = "cabinet-1"
site = "west"
[identity]
badge_key = "badge.key"
[devices.locks]
driver = "lock-8a"
port = "locks"
[devices.readers]
driver = "osdp-reader"
port = "rs485"
addresses = [0, 3]
scbk = ["front.key", "keys/back.key"]
[[bays]]
id = "bay-1"
fits = ["key"]
lock = "locks"
[[terminals]]
id = "front"
keypad = "readers"
badge = "readers"
[[terminals]]
id = "back"
badge = "readers:2"
[tamper]
input = "readers"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    return path


def test_readers_of_one_line_stand_at_their_terminals_and_their_housing_is_the_machines(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, SITE))
    assert site.terminals["front"].keypad == Channel("readers", 1)
    assert [site.terminals[name].badge for name in ("front", "back")] == [Channel("readers", 1), Channel("readers", 2)]
    assert site.tamper == Channel("readers", 1)


def test_key_files_are_taken_from_the_site_files_folder(tmp_path: Path) -> None:
    options = load_site(written(tmp_path, SITE)).devices["readers"].options
    assert options.key_files() == (str(tmp_path / "front.key"), str(tmp_path / "keys/back.key"))
    one = SITE.replace('["front.key", "keys/back.key"]', '"/etc/reader.key"').replace("[0, 3]", "[3]")
    one = one.replace('badge = "readers:2"', "screen = true")
    assert load_site(written(tmp_path, one)).devices["readers"].options.key_files() == ("/etc/reader.key",)


def test_a_reader_still_stands_at_one_terminal_only(tmp_path: Path) -> None:
    twice = SITE.replace('"readers:2"', '"readers:1"')
    with pytest.raises(SiteError, match="readers:1 belongs to terminal front already"):
        load_site(written(tmp_path, twice))
