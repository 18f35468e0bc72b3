"""How many codes of a corpus are read, by what, in how much processor time."""

from __future__ import annotations

import struct
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drivers.vision import qr
from tests.perf.figures import quantile

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
REPEATS = 3  # the least of so many: others use the machine, too
RATIO_MOST = 1.2

# What Pillow raises for pictures that are cut short, none, or made to fill the memory.
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError, Image.DecompressionBombError)

Codes = frozenset[bytes]
PassOver = Callable[[str, Path], None]
"""Told why a file is not measured."""


def ours(image: Any, turn: int) -> Codes:
    """What one look of an attended camera reads: the cheap step, then the turn's, until something is read."""
    for step in (qr.CHEAP, *qr.ROTATION[turn]):
        if found := qr.read(image, step):
            return found
    return frozenset()


ENGINES: dict[str, Callable[[Any], Codes]] = {
    "zxing-cpp alone": lambda image: qr.read(image, "zxing"),
    "pyzbar alone": lambda image: qr.read(image, "zbar-raw"),
    "ours, one look": lambda image: ours(image, 0),
}
WHOLE = f"ours, {len(qr.ROTATION)} looks"


@dataclass(slots=True)
class Tally:
    """Of one engine on one set."""

    read: int = 0
    wrong: int = 0
    ms: list[float] = field(default_factory=list)
    ms_where_zxing_reads: list[float] = field(default_factory=list)


def payloads(picture: Path) -> Codes | None:
    """What may be read of it: the file beside it as it is, and without the line end that an editor puts behind."""
    for beside in (picture.with_suffix(".txt"), picture.with_name(picture.name + ".txt")):
        if beside.is_file():
            said = beside.read_bytes()
            return frozenset({said, said.removesuffix(b"\n").removesuffix(b"\r")})
    return None


def pictures(folder: Path, side: int, pass_over: PassOver) -> Iterator[tuple[Codes, Any]]:
    """Payload and grey levels of each picture that has a payload beside it, no larger than a camera gives it."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURES:
            if path.suffix.lower() != ".txt":
                pass_over("not a picture by its name", path)
            continue
        said = payloads(path)
        if said is None:
            pass_over("no payload beside it", path)
            continue
        try:
            with path.open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(file).convert("L")
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        except (*_UNREADABLE, Image.DecompressionBombWarning):
            pass_over("cannot be read", path)
            continue
        yield said, np.ascontiguousarray(np.asarray(picture))


def timed(engine: Callable[[Any], Codes], image: Any) -> tuple[Codes, float]:
    """What it reads, and the least milliseconds of processor time."""
    found: Codes = frozenset()
    least = float("inf")
    for _ in range(REPEATS):
        began = time.process_time_ns()
        found = engine(image)
        least = min(least, (time.process_time_ns() - began) / 1e6)
    return found, least


def measure(folder: Path, side: int, pass_over: PassOver = lambda why, path: None) -> dict[str, Any] | None:
    """Figures of one set; None where it has no picture with a payload."""
    tallies = {name: Tally() for name in (*ENGINES, WHOLE)}
    count = 0
    for payload, image in pictures(folder, side, pass_over):
        count += 1
        read_by_zxing = False
        for name, engine in ENGINES.items():
            found, ms = timed(engine, image)
            tally = tallies[name]
            tally.read += bool(found & payload)
            tally.wrong += bool(found - payload)
            tally.ms.append(ms)
            read_by_zxing = read_by_zxing or (name == "zxing-cpp alone" and bool(found & payload))
            if read_by_zxing:
                tally.ms_where_zxing_reads.append(ms)
        looks = [ours(image, turn) for turn in range(len(qr.ROTATION))]
        tallies[WHOLE].read += any(found & payload for found in looks)
        tallies[WHOLE].wrong += any(found - payload for found in looks)
    return summary(count, tallies) if count else None


def summary(count: int, tallies: dict[str, Tally]) -> dict[str, Any]:
    zxing, zbar, whole = (tallies[name].read for name in ("zxing-cpp alone", "pyzbar alone", WHOLE))
    ratio = None
    if tallies["zxing-cpp alone"].ms_where_zxing_reads:
        base, one_look = (
            quantile(tallies[name].ms_where_zxing_reads, 0.5) for name in ("zxing-cpp alone", "ours, one look")
        )
        ratio = one_look / base
    return {
        "pictures": count,
        "engines": {
            name: {
                "read": tally.read,
                "rate": tally.read / count,
                "wrong": tally.wrong,
                "ms_median": quantile(tally.ms, 0.5) if tally.ms else None,
            }
            for name, tally in tallies.items()
        },
        "never_below_either": whole >= max(zxing, zbar),
        "above_both": whole > max(zxing, zbar),
        "ratio_where_zxing_reads": ratio,
        "ratio_met": None if ratio is None else ratio <= RATIO_MOST,
    }


def table(sets: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Lines of text."""
    names = (*ENGINES, WHOLE)
    yield f"{'QR set':<20}{'n':>5}" + "".join(f"{name:>17}" for name in names) + f"{'ms ours/zxing':>15}"
    for name, found in sets.items():
        rates = "".join(f"{found['engines'][engine]['rate']:>16.1%} " for engine in names)
        ratio = found["ratio_where_zxing_reads"]
        mark = "" if found["never_below_either"] else "  BELOW"
        yield f"{name:<20}{found['pictures']:>5}{rates}" + (f"{ratio:>14.2f}" if ratio else f"{'':>14}") + mark
    for name in names[:-1]:
        medians = [found["engines"][name]["ms_median"] for found in sets.values()]
        yield f"  {name}: median of the sets' medians {quantile(medians, 0.5):.1f} ms"
    wrong = {name: sum(found["engines"][name]["wrong"] for found in sets.values()) for name in names}
    yield f"  payloads read that are not there: {wrong}"
