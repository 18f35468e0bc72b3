"""Simulated time for parts that live on the loop: nothing waits, nothing depends on how fast the machine is."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.unit.drivers.drivers_virtual import LoopClock, VirtualLoop

__all__ = ["LoopClock", "VirtualLoop", "simulate"]

T = TypeVar("T")


def simulate(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop that jumps from timer to timer."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
