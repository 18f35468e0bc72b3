"""Draws the small sets that `make bench-identity` uses where no corpus is given: the same for the same seed.

QR codes as long as a pass, each set made worse in one way or two, at a level at which decoders begin to fail; easier
and harder pictures tell nothing. Faces are the two portraits of the tests at other moments: they show that the path
works and what it costs, and nothing about how well people are told apart.

python -m tests.perf.corpus.generate DIRECTORY [--seed N] [--each N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from PIL import Image

from tests.unit.faces import heads
from tests.unit.vision import qr_scenes

# set: (what makes it worse, how much)
SETS: dict[str, tuple[tuple[str, ...], float]] = {
    "clean": ((), 1.0),
    "blur": (("blur",), 1.5),
    "glare": (("glare",), 1.0),
    "perspective": (("perspective",), 1.6),
    "moire": (("moire",), 3.0),
    "noise": (("noise",), 1.4),
    "blur-noise": (("blur", "noise"), 1.0),
    "glare-blur": (("glare", "blur"), 0.95),
    "perspective-noise": (("perspective", "noise"), 1.0),
}
TURNS = (-10, 0, 10)  # degrees: people do not look straight ahead


def qr_sets(folder: Path, seed: int, each: int) -> None:
    """`SET/NUMBER.png` and its payload in `SET/NUMBER.txt`."""
    for name, (kinds, level) in SETS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for n in range(each):
            payload, picture = qr_scenes.scene(seed * 1000 + n, kinds, level)
            Image.fromarray(picture).save(folder / name / f"{n:03}.png")
            (folder / name / f"{n:03}.txt").write_bytes(payload)


def face_sets(folder: Path, seed: int, each: int) -> None:
    """`PERSON/NUMBER.jpg`."""
    for who in heads.PORTRAITS:
        (folder / who).mkdir(parents=True, exist_ok=True)
        for n in range(each):
            head = heads.alone(who, 0.55 + 0.4 * n / max(1, each - 1), degrees=TURNS[n % len(TURNS)])
            picture = heads.lived(head, seed * 1000 + n)
            cv2.imwrite(str(folder / who / f"{n:03}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


def generate(folder: Path, seed: int, each: int) -> None:
    qr_sets(folder / "qr", seed, each)
    face_sets(folder / "faces", seed, max(6, each // 3))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.corpus.generate", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=24, help="pictures in each set")
    args = parser.parse_args()
    generate(args.folder, args.seed, args.each)
    print(f"seed {args.seed}, {args.each} pictures in each set: {args.folder}")


if __name__ == "__main__":
    main()
