"""`make bench-identity`: codes read and faces told apart, on a corpus or on the small generated sets.

python -m tests.perf.bench_identity [--corpus DIR] [--seed N] [--side PX] [--out FILE] [--only qr faces]

A corpus is a folder with `qr/SET/IMAGE`, each beside its payload in `IMAGE.txt`, and `faces/PERSON/IMAGE`; either may
be missing. Times are processor time, and serve as ratios. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.perf import identity_faces, identity_qr
from tests.perf.bench import machine
from tests.perf.corpus.generate import generate

SEED, EACH = 1, 24


def run(corpus: Path, side: int, only: list[str]) -> dict[str, Any]:
    """Measure and print, part by part; what could not be measured stands under `passed_over`, by folder and reason."""
    found: dict[str, Any] = {}
    over: dict[str, dict[str, list[str]]] = {}

    def pass_over(why: str, path: Path) -> None:
        over.setdefault(str(path.parent.relative_to(corpus)), {}).setdefault(why, []).append(path.name)

    for part in only:
        for stray in sorted((corpus / part).iterdir()) if (corpus / part).is_dir() else ():
            if not stray.is_dir():
                pass_over("in no folder of a set or person", stray)
    if "qr" in only and (corpus / "qr").is_dir():
        sets, empty = {}, []
        for folder in sorted(path for path in (corpus / "qr").iterdir() if path.is_dir()):
            if (figures := identity_qr.measure(folder, side, pass_over)) is not None:
                sets[folder.name] = figures
            else:
                empty.append(folder.name)
        if sets:
            found["qr"] = sets
            print("\n".join(identity_qr.table(sets)), flush=True)
        if empty:
            found["qr_empty"] = empty
    if "faces" in only and (corpus / "faces").is_dir():
        found["faces"] = asyncio.run(identity_faces.measure(corpus / "faces", side, pass_over))
        print("\n".join(identity_faces.table(found["faces"])), flush=True)
    if over:
        found["passed_over"] = over
        for folder_name, reasons in over.items():
            for why, names in reasons.items():
                first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                print(f"passed over in {folder_name}: {len(names)}, {why} ({first})", flush=True)
    return found


def missed(found: dict[str, Any]) -> list[str]:
    """The aims that were not met or could not be measured, in words."""
    said = [f"QR {name}: not measured, it has no picture with a payload" for name in found.get("qr_empty", ())]
    for name, figures in found.get("qr", {}).items():
        if not figures["never_below_either"]:
            said.append(f"QR {name}: fewer read than by one engine alone")
        if figures["ratio_met"] is False:
            said.append(f"QR {name}: {figures['ratio_where_zxing_reads']:.2f} times zxing-cpp's time where it reads")
        most = figures["engines"][identity_qr.WHOLE]["rate"]
        if not figures["above_both"] and most < 1.0:
            said.append(f"QR {name}: no more read than by the better engine alone ({most:.1%})")
    if (faces := found.get("faces")) is not None:
        if faces["verified_met"] is False:
            said.append("faces: first good frame to verified face takes too long")
        elif not faces["pictures"]:
            said.append("faces: not measured, there is no picture that can be read")
        elif not faces["people"]:
            said.append("faces: not measured, no picture passes the gates")
        elif faces["verified_met"] is None:
            said.append(
                "faces: time not measured, nobody has three different good pictures that are verified as theirs"
            )
    return said


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.bench_identity", description=__doc__)
    parser.add_argument("--corpus", type=Path, help="without it, the small sets are generated")
    parser.add_argument(
        "--side", type=int, default=1280, help="larger pictures are made smaller, as a camera gives them"
    )
    parser.add_argument("--out", type=Path, default=Path("build/identity.json"))
    parser.add_argument("--seed", type=int, default=SEED, help="of the generated sets")
    parser.add_argument("--only", nargs="+", choices=("qr", "faces"), default=["qr", "faces"])
    args = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as drawn:
        corpus = args.corpus
        if corpus is None:
            corpus = Path(drawn)
            generate(corpus, args.seed, EACH)
            print(f"generated sets, seed {args.seed}", flush=True)
        found = run(corpus, args.side, args.only)
    if not found:
        raise SystemExit(f"{corpus}: neither qr/SET/IMAGE with IMAGE.txt nor faces/PERSON/IMAGE")
    said = missed(found)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "machine": machine(),
        "corpus": str(args.corpus or f"generated, seed {args.seed}"),
        "missed": said,
        **found,
    }
    args.out.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    print("\n".join(["missed: nothing"] if not said else ["missed:", *(f"  {one}" for one in said)]))


if __name__ == "__main__":
    main()
