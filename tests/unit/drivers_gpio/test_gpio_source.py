"""Which pin factory a site gets, and how lgpio is imported and told its chip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory

from drivers.ports import OptionsError, WireLost
from drivers.wires.gpio import PinSource, chip_board, factory_names


def test_any_installed_factory_by_its_name() -> None:
    assert "mock" in factory_names()
    source = PinSource("mock")
    source.check()
    factory = source()
    assert isinstance(factory, MockFactory)
    assert source() is factory
    source.close()


def test_an_unknown_factory_names_those_that_exist() -> None:
    with pytest.raises(OptionsError, match=r"'moc' .*mock"):
        PinSource("moc").check()


def test_gpiozeros_global_factory_stays_unused() -> None:
    PinSource("mock")()
    assert gpiozero.Device.pin_factory is None


def test_only_the_present_factory_can_be_discarded() -> None:
    told: list[str] = []
    source = PinSource("mock")
    source.on_lost(told.append)
    first = source()
    source.discard(first, "gone")
    second = source()
    assert second is not first
    source.discard(first, "gone long ago")
    assert source() is second
    assert told == ["gone"]
    source.close()


def test_a_chips_board_has_every_line_and_no_fixed_pull() -> None:
    board = chip_board(54)
    for number in (0, 2, 3, 27, 53):
        (found,) = list(board.find_pin(number))
        assert found[1].name == f"GPIO{number}"
        assert found[1].pull == ""
    assert not list(board.find_pin(54))


LGPIO_SCRIPT = """
import os, sys
from drivers.wires.gpio import PinSource, import_lgpio
from drivers.ports import WireLost
import_lgpio()
print(os.getcwd(), sorted(os.listdir(".")))
source = PinSource("lgpio", chip=77)
source.check()
try:
    source()
except WireLost as exc:
    print(exc)
"""


def test_lgpio_leaves_nothing_behind_and_a_missing_chip_is_named(tmp_path: Path) -> None:
    pytest.importorskip("lgpio", reason="an extra")
    script = tmp_path / "script.py"
    script.write_text(LGPIO_SCRIPT)
    home = tmp_path / "home"
    home.mkdir()
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, str(script)],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, what = ran.stdout.splitlines()
    assert where == f"{home} []"
    assert "/dev/gpiochip77" in what


class MemoryChip:
    """The functions of lgpio that a line uses, on eight lines in memory; records what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.level: dict[int, int] = {}
        self.output: set[int] = set()

    def gpiochip_open(self, chip: int) -> int:
        self.asked.append(("open", chip))
        return 3

    def gpiochip_close(self, handle: int) -> int:
        self.asked.append(("close", handle))
        return 0

    def gpio_get_chip_info(self, handle: int) -> list[Any]:
        return [0, 8, "chip", "label"]

    def gpio_claim_input(self, handle: int, gpio: int, flags: int = 0) -> int:
        self.output.discard(gpio)
        self.asked.append(("input", gpio, flags))
        return 0

    def gpio_claim_output(self, handle: int, gpio: int, level: int = 0) -> int:
        self.output.add(gpio)
        self.level[gpio] = level
        self.asked.append(("output", gpio, level))
        return 0

    def gpio_get_mode(self, handle: int, gpio: int) -> int:
        return 2 if gpio in self.output else 0

    def gpio_free(self, handle: int, gpio: int) -> int:
        return 0

    def gpio_read(self, handle: int, gpio: int) -> int:
        return self.level.get(gpio, 0)

    def gpio_write(self, handle: int, gpio: int, level: int) -> int:
        self.level[gpio] = level
        self.asked.append(("write", gpio, bool(level)))
        return 0


async def test_line_n_of_the_named_chip_on_a_board_that_is_no_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lgpio", reason="an extra")
    from drivers.wires.gpio import Line, import_lgpio

    lgpio = import_lgpio()
    chip = MemoryChip()
    for name in dir(MemoryChip):
        if name.startswith("gpio"):
            monkeypatch.setattr(lgpio, name, getattr(chip, name))
    source = PinSource("lgpio", chip=4)
    line = Line(source(), 7)
    line.release("up")
    line.drive(False)
    line.drive(True)
    assert line.high() is True
    line.close()
    assert chip.asked[0] == ("open", 4)
    assert ("input", 7, lgpio.SET_PULL_UP) in chip.asked
    assert ("output", 7, 0) in chip.asked
    assert chip.asked[-1][:2] == ("input", 7)
    assert {what[1] for what in chip.asked[1:]} == {7}
    with pytest.raises(WireLost, match="GPIO 8"):
        Line(source(), 8)
    source.close()
    assert ("close", 3) in chip.asked
