"""A figure beside its floor and its aim, and what of a process can be read from the kernel."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """`aim` is the most that `value` may be. `floor` is what no daemon can undercut, from the same run."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    aim: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def met(self) -> bool | None:
        return None if self.aim is None else self.value <= self.aim

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "floor": self.floor,
            "ratio": self.ratio,
            "aim": self.aim,
            "met": self.met,
        }


def number(value: float | None) -> str:
    """Three digits that count, no exponents."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) >= 10 else 3}f}".rstrip("0").rstrip(".") if abs(value) < 100 else f"{value:.1f}"


def row(figure: Figure) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    aim = f"≤ {number(figure.aim)}" if figure.aim is not None else ""
    return figure.name, f"{number(figure.value)} {figure.unit}", number(figure.floor), number(figure.ratio), aim, met


HEAD = ("figure", "value", "floor", "ratio", "aim", "met")


def line(cells: Sequence[str]) -> str:
    """One line of the table."""
    widths = (62, 17, 9, 7, 9, 3)
    first, *rest = (f"{c:<{w}}" if i == 0 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
    return " ".join((first, *rest)).rstrip()


def save(figures: Sequence[Figure], path: Path) -> None:
    """The list of all figures, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([f.to_json() for f in figures], indent=2, ensure_ascii=False) + "\n")


# ---------------------------------------------------------------- what the kernel knows
def cpu_s(pid: int) -> float:
    """Seconds of processor time that the living threads of a process have had."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mib(pid: int) -> float:
    """VmRSS."""
    for entry in Path(f"/proc/{pid}/status").read_text().splitlines():
        if entry.startswith("VmRSS:"):
            return int(entry.split()[1]) / 1024
    raise ProcessLookupError(pid)


def children(pid: int) -> list[int]:
    """Living child processes."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(x) for x in (task / "children").read_text().split()]
    return found


def written_bytes(pid: int | str) -> int:
    """Bytes that a process has had written to disks; a page of a large folio can count the whole folio."""
    for entry in Path(f"/proc/{pid}/io").read_text().splitlines():
        if entry.startswith("write_bytes:"):
            return int(entry.split()[1])
    raise ProcessLookupError(pid)


def device_bytes(path: Path) -> int | None:
    """Bytes that the block device under `path` has taken, from everybody; None where it is not a plain device."""
    number = os.stat(path).st_dev
    counters = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    return int(counters.read_text().split()[6]) * 512 if counters.exists() else None


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share `q` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
