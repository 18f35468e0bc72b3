"""Scenario tests: the daemon as its own process, on real wires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.stand import Stand


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Stand]]:
    """Build a stand with options of its own; all end with the test."""
    with ExitStack() as stack:
        yield lambda name="m", **options: stack.enter_context(Stand(tmp_path / name, **options))


@pytest.fixture
def m(make: Callable[..., Stand]) -> Any:
    """The usual tower: three bays, two cars, two terminals."""
    return make()
