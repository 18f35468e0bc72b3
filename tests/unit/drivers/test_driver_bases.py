"""What devices share leaves nothing open: a driver that lacks a part fails when it is made, not at a customer's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import drivers
from drivers.cameras.device import CameraDevice
from drivers.framing import Deframer
from drivers.gpio.device import GpioDevice
from drivers.gpio.pulse import PulseDevice

WANTED: dict[type, set[str]] = {
    CameraDevice: {"_stream"},
    GpioDevice: {"_prepare", "_check", "_report_lost"},
    Deframer: {"_length", "_parse"},
}


@pytest.mark.parametrize("base", WANTED, ids=lambda base: base.__name__)
def test_a_driver_without_one_of_its_parts_cannot_be_made(base: type) -> None:
    abstract: set[str] = set(base.__abstractmethods__)  # type: ignore[attr-defined]
    assert abstract == WANTED[base]
    for missing in abstract:
        parts = {name: lambda *_: None for name in abstract - {missing}}
        with pytest.raises(TypeError, match=missing):
            type("Lacking", (base,), parts)()


def test_lines_that_are_driven_lack_nothing() -> None:
    assert not PulseDevice.__abstractmethods__


def test_no_driver_leaves_a_part_for_the_moment_when_it_is_needed() -> None:
    root = Path(drivers.__file__).parent
    left = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    assert left == []
