"""Makes templates from photographs, and compares with one: for tests, and for a cloud's developers.

python -m drivers.faces.tool enrol IMAGE... (--expires TIME | --days N) [--out FILE]
python -m drivers.faces.tool compare TEMPLATE IMAGE...

Needs the extra vendingd[face]. A photograph passes the same gates as a camera's picture. What the template's format is
called goes to standard error, the JSON alone to standard output. It is biometric data of a person: see docs/faces.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import datetime
from pathlib import Path

from drivers.faces import engine, models, template
from drivers.faces.gates import Look
from drivers.faces.session import SAME_FACE
from drivers.faces.template import Template, TemplateRefused

DAY_S = 86_400
DAYS_MOST = 36_600
_SAYS = {
    "closer": "the face is too small: less than 80 px wide",
    "one_person": "more than one face",
    "hold_still": "the face is blurred",
    "more_light": "the face is too dark",
    "look_here": "no face that looks into the camera",
}


class Unusable(Exception):
    """A photograph or a template that does not serve; says which and why."""


def seen(path: Path) -> Look:
    """The photograph's face. Raises Unusable."""
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise Unusable(f"{path}: not a picture that can be read")
    look = engine.see(picture)  # type: ignore[arg-type]
    if look.word:
        raise Unusable(f"{path}: {_SAYS[look.word]}")
    return look


def enrol(paths: list[Path], expires_utc: float, now_utc: float) -> bytes:
    """A template of one person's photographs. Raises Unusable, also where they are not of one person."""
    looks = [seen(path) for path in paths]
    vector = template.mean([look.vector for look in looks])
    for path, look in zip(paths, looks, strict=True):
        if any(not template.cosine(look.vector, other.vector) >= SAME_FACE for other in looks):
            raise Unusable(f"{path}: not the person of the other pictures")
    if expires_utc <= now_utc:
        raise Unusable("the template would have expired already")
    return template.write(Template(vector, now_utc, expires_utc))


def compare(data: bytes, paths: list[Path], now_utc: float) -> list[tuple[Path, float]]:
    """The cosine of each photograph and the template. Raises Unusable."""
    try:
        wanted = template.read(data, now_utc)
    except TemplateRefused as exc:
        raise Unusable(str(exc)) from exc
    return [(path, template.cosine(seen(path).vector, wanted.vector)) for path in paths]


def _when(text: str) -> float:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time needs its zone, as in 2030-01-31T12:00:00Z")
    return found.timestamp()


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= DAYS_MOST:  # also true of NaN
        raise argparse.ArgumentTypeError(f"{text!r} is not more than 0 and up to {DAYS_MOST} days")
    return days


def _keep(path: Path, data: bytes) -> None:
    """A file that was there may have been open to everybody: its mode is set before anything is in it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o600)
        file.truncate()
        file.write(data)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drivers.faces.tool", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    enrolling = commands.add_parser("enrol", help="print the template of one person's photographs, as JSON")
    enrolling.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    until = enrolling.add_mutually_exclusive_group(required=True)
    until.add_argument("--expires", type=_when, metavar="TIME", help="as in 2030-01-31T12:00:00Z")
    until.add_argument("--days", type=_days, metavar="N", help=f"from now on; up to {DAYS_MOST}")
    enrolling.add_argument("--out", type=Path, metavar="FILE", help="instead of standard output; mode 0600")
    comparing = commands.add_parser("compare", help="print the cosine of each photograph and a template")
    comparing.add_argument("template", type=Path, metavar="TEMPLATE")
    comparing.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    return parser


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0, or 1 with the reason on standard error."""
    args = _parser().parse_args(argv)
    if lacking := models.missing():
        print(lacking, file=sys.stderr)
        return 1
    now = time.time()
    try:
        if args.command == "enrol":
            made = enrol(args.images, args.expires if args.days is None else now + args.days * DAY_S, now)
            print(f"format {template.FORMAT}, from {len(args.images)} pictures", file=sys.stderr)
            if args.out is None:
                print(made.decode())
            else:
                _keep(args.out, made + b"\n")
            return 0
        for path, score in compare(args.template.read_bytes(), args.images, now):
            print(f"{score:6.3f}  {path}")
        return 0
    except (Unusable, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
