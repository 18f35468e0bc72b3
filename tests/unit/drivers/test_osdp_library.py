"""libosdp is an extra: loaded when a reader is made, never before, and missed in words that help."""

from __future__ import annotations

import subprocess
import sys

MAKE = """
import sys
{before}
from drivers import registry
from drivers.ports import OptionsError, Surroundings
driver = registry.find("osdp-reader")
options = driver.options(port="p", scbk="k")
print([name for name in ("osdp", "osdp_sys") if sys.modules.get(name)])
around = Surroundings(clock=None, random=None, workers=None, serial=lambda s: None, pins=None, spawn=None)
try:
    driver.make("reader", options, around)
    print("made")
except OptionsError as why:
    print(why)
"""


def made(before: str) -> list[str]:
    script = MAKE.format(before=before)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_it_is_loaded_when_a_reader_is_made() -> None:
    assert made("") == ["[]", "made"]


def test_a_missing_library_is_named_with_what_to_install() -> None:
    _, said = made("sys.modules['osdp_sys'] = None")
    assert said.startswith("the driver osdp-reader needs libosdp: install vendingd[osdp]")


def test_another_package_of_that_name_is_told_from_it() -> None:
    other = "import types; sys.modules['osdp'] = types.ModuleType('osdp'); sys.modules['osdp'].ControlPanel = object"
    _, said = made(other)
    assert "another package" in said and "uninstall the package `osdp`" in said
