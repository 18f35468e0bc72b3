"""`make bench`: every figure beside its floor and its aim, as a table and as build/bench.json. Asserts no time.

python -m tests.perf.bench [--quick] [--only PART …] [--out FILE] [--dir DIRECTORY]
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.perf.figures import HEAD, Figure, line, row, save

PARTS = {
    "latency": "tests.perf.pass_to_unlock",
    "start": "tests.perf.start_and_idle",
    "kernel": "tests.perf.kernel_cost",
    "rental": "tests.perf.rental_bytes",
    "catchup": "tests.perf.catch_up",
}


def machine() -> str:
    """What the figures were measured on."""
    model = "unknown processor"
    for entry in Path("/proc/cpuinfo").read_text().splitlines():
        if entry.startswith("model name"):
            model = entry.partition(":")[2].strip()
            break
    load = " ".join(f"{x:.1f}" for x in os.getloadavg())
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} of {model}, {system}, load {load}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and smaller histories: a look, no more")
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--dir", type=Path, default=Path("build"), help="on the disk that is to be measured")
    args = parser.parse_args(argv)
    args.dir.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the daemons that it started end with it
    print(machine(), flush=True)
    print(line(HEAD), flush=True)
    figures: list[Figure] = []
    failed = []
    for part in args.only:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=args.dir.resolve(), prefix="b-") as folder:
            try:
                found = importlib.import_module(PARTS[part]).run(Path(folder), quick=args.quick)
            except Exception as why:  # noqa: BLE001 - the other parts are still worth their figures
                print(f"{part} failed: {type(why).__name__}: {why}", file=sys.stderr, flush=True)
                failed.append(part)
                continue
        for figure in found:
            print(line(row(figure)), flush=True)
        figures += found
        print(f"  ({part}: {time.monotonic() - began:.0f} s)", flush=True)
        save(figures, args.out)
    missed = [f.name for f in figures if f.met is False]
    print(f"{len(figures)} figures, {len(missed)} beyond their aim" + "".join(f"\n  {name}" for name in missed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
