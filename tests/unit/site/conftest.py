"""A small good site file, to be spoilt in one place at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vendingd.site.load import load_site
from vendingd.site.problems import SiteError
from vendingd.site.resolved import Site

GOOD = """\
schema = 1
machine = "m-1"
site = "west"

[identity]
keys = "keys.json"

[policy.least]
car = ["pass+pin"]

[timing]
claim_s = 60

[gpio]
chip = 0

[devices.locks]
driver = "gpio-lock"
pins = [16, 17]

[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [2, 3]

[devices.scanner]
driver = "line-scanner"
port = "run/scanner"

[devices.pad]
driver = "serial-keypad"
port = "run/pad"

[devices.tags]
driver = "rdm6300"
ports = ["run/tag-1", "run/tag-2", "run/tag-3"]

[[bays]]
n = [1, 2]
id = "bay-{n}"
fits = ["car"]
lock = "locks:{n}"
door = "doors:{n}"
tag = "tags:{n}"

[[terminals]]
id = "front"
codes = ["scanner"]
keypad = "pad"
tag = "tags:3"
"""


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Site]:
    """Load a text as a site file; its key file is there."""

    def load(text: str) -> Site:
        (tmp_path / "keys.json").write_text("{}")
        path = tmp_path / "site.toml"
        path.write_text(text, encoding="utf-8")
        return load_site(path)

    return load


@pytest.fixture
def problems(load: Callable[[str], Site]) -> Callable[[str], list[str]]:
    """What is said of a bad site file, without the path before the line."""

    def problems(text: str) -> list[str]:
        with pytest.raises(SiteError) as caught:
            load(text)
        return [str(one).partition("site.toml:")[2] for one in caught.value.problems]

    return problems


@pytest.fixture
def warnings(load: Callable[[str], Site]) -> Callable[[str], list[str]]:
    def warnings(text: str) -> list[str]:
        return [str(one).partition("site.toml:")[2] for one in load(text).warnings]

    return warnings
