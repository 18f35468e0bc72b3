"""Finds the face in a frame and makes its vector. Runs in a process of its own: frames are hostile, models large.

Imports cv2 and numpy inside functions only, so that the daemon can name `look` without
loading them. The networks are loaded at the first call and stay as long as the process does.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from drivers.faces import gates, models
from drivers.faces.gates import Face, Look
from drivers.vision.frames import Frame
from drivers.vision.pictures import Refused, bounded, jpeg, raw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bgr = NDArray[np.uint8]
    Points = NDArray[np.float32]

_DETECT_SIDE = 640  # px, the longer one: an 80 px face of a 1280 px picture still has 40
_OVERLAP = 0.3  # of two boxes that are one face
_FACES_MOST = 20
_THUMB_SIDE = 32
_ALIGNED = 112
# Where SFace wants right eye, left eye, tip of the nose and the mouth's corners, in its 112 px square.
_REFERENCE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


@dataclass(frozen=True, slots=True)
class _Networks:
    detector: Any
    recogniser: Any


@functools.cache
def _networks() -> _Networks:
    """Raises FileNotFoundError or ValueError: see models.verified."""
    import cv2

    cv2.setNumThreads(1)
    # OpenCV 5 warns of settings that only OpenCV 4 has
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    detector = cv2.FaceDetectorYN.create(
        str(models.verified(models.DETECTOR)), "", (320, 320), gates.FOUND_SCORE, _OVERLAP, _FACES_MOST
    )
    return _Networks(detector, cv2.dnn.readNetFromONNX(str(models.verified(models.RECOGNISER))))


def load() -> None:
    """Load and run the networks once, so that the first frame need not wait. Raises as `_networks`, or ImportError."""
    import numpy as np

    _detect(np.zeros((64, 64, 3), np.uint8))
    embed(np.zeros((_ALIGNED, _ALIGNED, 3), np.uint8))


def look(frame: Frame, mirrored: bool = False) -> Look:
    """What a frame shows. Never raises for what is in it; FileNotFoundError, ValueError where a model is wrong."""
    try:
        picture = pixels(frame)
    except Refused as exc:
        return Look(refused=str(exc))
    if mirrored:
        import numpy as np

        picture = np.ascontiguousarray(picture[:, ::-1])
    return see(picture)


# ---------------------------------------------------------------- pictures
def pixels(frame: Frame) -> Bgr:
    """The frame in blue, green, red. Raises Refused; never unpacks more than PIXELS_MOST."""
    import cv2
    import numpy as np

    bounded(frame)
    if frame.kind == "jpeg":
        return np.ascontiguousarray(jpeg(frame.data, "RGB")[:, :, ::-1])
    flat = raw(frame, whole_pairs=True)
    if frame.kind == "yuyv":
        made = cv2.cvtColor(flat.reshape(frame.height, frame.width, 2), cv2.COLOR_YUV2BGR_YUY2)
    else:
        made = cv2.cvtColor(flat.reshape(frame.height, frame.width), cv2.COLOR_GRAY2BGR)
    return np.asarray(made, np.uint8)


# ---------------------------------------------------------------- faces
def see(picture: Bgr) -> Look:
    """What a picture shows, as far as its quality carries: vectors only of faces that pass the gates."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    rows = _detect(picture)
    found = [_face(row) for row in rows]
    face = found[0] if found else None
    widths = tuple(one.width for one in found)
    small = cv2.resize(grey, (_THUMB_SIDE, _THUMB_SIDE), interpolation=cv2.INTER_AREA)
    digest = hashlib.blake2b(picture.tobytes(), digest_size=16).digest()
    bare = Look(face=face, digest=digest, thumb=small.tobytes())
    if word := gates.before_alignment(face, widths, float(grey.mean())):
        return replace(bare, word=word)
    square = align(picture, _points(rows[0]))
    inside = cv2.cvtColor(square, cv2.COLOR_BGR2GRAY)
    if word := gates.after_alignment(float(inside.mean()), float(cv2.Laplacian(inside, cv2.CV_64F).var())):
        return replace(bare, word=word)
    vector = tuple(float(part) for part in embed(square))
    return replace(bare, word="" if bare.frontal else gates.LOOK_HERE, vector=vector)


def _detect(picture: Bgr) -> list[Any]:
    """YuNet's rows (box, five points, score) in the picture's own pixels, the widest first."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(1.0, _DETECT_SIDE / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if min(picture.shape[:2]) < 16:
        return []
    detector = _networks().detector
    detector.setInputSize((picture.shape[1], picture.shape[0]))
    _, rows = detector.detect(picture)
    if rows is None:
        return []
    rows = rows.copy()
    rows[:, :14] /= scale
    return sorted(rows, key=lambda row: -float(row[2]))


def _points(row: Any) -> Points:
    import numpy as np

    return np.asarray(row[4:14], np.float32).reshape(5, 2)


def _face(row: Any) -> Face:
    x, y, width, height = (float(part) for part in row[:4])
    return Face(x, y, width, height, float(row[14]), nose(_points(row)))


def nose(points: Points) -> float:
    """See Face.nose. Eyes and mouth's corners give the projection of a plane; the nose stands out of it.

    Turning a photograph moves all five points by one projection and leaves this as it was (measured: within 0.1 up
    to 50 degrees); turning a head by 20 degrees moves it by about 0.4.
    """
    import cv2
    import numpy as np

    corners = points[[0, 1, 4, 3]]
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    if abs(cv2.contourArea(corners)) < 1.0:
        return 9.0  # points on one line: no head seen from the front
    projected = cv2.getPerspectiveTransform(corners, square) @ np.array([points[2][0], points[2][1], 1.0])
    if abs(projected[2]) < 1e-9:
        return 9.0
    return float(np.clip(projected[0] / projected[2], -9.0, 9.0))


def align(picture: Bgr, points: Points) -> Bgr:
    """The face turned, moved and scaled, never sheared, so that its points come closest to SFace's (Umeyama 1991)."""
    import cv2
    import numpy as np

    target = np.array(_REFERENCE, np.float64)
    source = points.astype(np.float64)
    middle_s, middle_t = source.mean(0), target.mean(0)
    s, t = source - middle_s, target - middle_t
    u, values, v = np.linalg.svd(t.T @ s / len(s))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v)) or 1.0])
    turn = u @ np.diag(signs) @ v
    turn *= float(values @ signs) / max(float(s.var(0).sum()), 1e-9)
    matrix = np.hstack([turn, (middle_t - turn @ middle_s)[:, None]])
    return np.asarray(cv2.warpAffine(picture, matrix, (_ALIGNED, _ALIGNED)), np.uint8)


def embed(square: Bgr) -> NDArray[np.float32]:
    """SFace's vector of an aligned face, of length 1. Colours in the order red, green, blue, as it was trained."""
    import cv2
    import numpy as np

    blob = cv2.dnn.blobFromImage(square, 1.0, (_ALIGNED, _ALIGNED), (0.0, 0.0, 0.0), swapRB=True, crop=False)
    recogniser = _networks().recogniser
    recogniser.setInput(blob, "data")
    vector = np.asarray(recogniser.forward(), np.float32).reshape(-1)
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
