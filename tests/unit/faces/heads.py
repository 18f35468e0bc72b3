"""Heads for tests: two portraits in the public domain, turned, moved and spoiled as cameras see them.

The portraits are Grace Hopper (US Navy, in matplotlib's sample data) and Eileen Collins (NASA, in scikit-image's).
Neither package is imported, and no picture of a person is in this repository. A portrait is flat; turning it uses the
depth of an ellipsoid with a nose, which is enough for the detector's five points to move as a head's do.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

PORTRAITS = {
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (0, 0, 512, 600), 1.0),
    "collins": ("skimage", "data/astronaut.png", (80, 0, 300, 300), 2.0),
}
# Boxes of the faces in the pictures that `portrait` gives: left, top, width, height.
BOXES = {"hopper": (183, 120, 170, 213), "collins": (201, 133, 177, 220)}
SIZE = (640, 640)


@functools.cache
def portrait(who: str) -> Picture:
    package, file, (x, y, width, height), scale = PORTRAITS[who]
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations, f"{package} is in the dev packages"
    whole = cv2.imread(str(Path(found.submodule_search_locations[0]) / file), cv2.IMREAD_COLOR)
    assert whole is not None, f"{package} has no {file} any more"
    part = whole[y : y + height, x : x + width]
    if scale != 1.0:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    part.flags.writeable = False
    return part


@functools.cache
def turned(who: str, degrees: float, nose: float = 0.25) -> Picture:
    """The head turned about its own axis, to its own left for positive degrees. `nose` 0: a mask without one."""
    picture = portrait(who)
    if not degrees:
        return picture
    x, y, width, height = BOXES[who]
    middle_x, middle_y = x + width / 2, y + height / 2
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    inside = 1 - ((columns - middle_x) / (0.75 * width)) ** 2 - ((rows - middle_y) / (0.8 * height)) ** 2
    depth = 0.55 * width * np.sqrt(np.clip(inside, 0, None))
    tip = ((columns - middle_x) / (0.13 * width)) ** 2 + ((rows - middle_y - 0.08 * height) / (0.15 * height)) ** 2
    depth += nose * width * np.exp(-tip / 2)
    near = np.minimum(1, depth / (0.2 * width))  # the wall stays where it is
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    goes = columns + (columns - middle_x) * (cosine - 1) * near + (depth - 0.5 * width * near) * sine
    # what is behind the nose is hidden by it
    goes = np.maximum.accumulate(goes, 1) if degrees > 0 else np.minimum.accumulate(goes[:, ::-1], 1)[:, ::-1]
    goes += columns * 1e-4
    across = columns[0]
    source = np.stack([np.interp(across, row, across) for row in goes]).astype(np.float32)
    return np.asarray(cv2.remap(picture, source, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def print_turned(who: str, degrees: float) -> Picture:
    """A flat photograph of the head turned by hand."""
    picture = portrait(who)
    height, width = picture.shape[:2]
    far = 1200.0
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    angle, seen = np.radians(degrees), []
    for x, y in corners:
        away = x * np.sin(angle) + far
        seen.append((width / 2 + far * x * np.cos(angle) / away, height / 2 + far * y / away))
    flat = np.array([(x + width / 2, y + height / 2) for x, y in corners], np.float32)
    return cv2.warpPerspective(
        picture, cv2.getPerspectiveTransform(flat, np.array(seen, np.float32)), (width, height), borderValue=(120,) * 3
    )


def scene(*heads: tuple[Picture, float, int], size: tuple[int, int] = SIZE, light: float = 1.0) -> Picture:
    """Heads before a plain wall: each a picture, its scale and the x of its middle."""
    width, height = size
    out = np.full((height, width, 3), (150, 140, 130), np.uint8)
    for picture, scale, middle in heads:
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else 2)
        small = small[:height]
        left = middle - small.shape[1] // 2
        cut = max(0, -left)
        small = small[:, cut : cut + width - max(0, left)]
        top = height - small.shape[0]
        out[top:, max(0, left) : max(0, left) + small.shape[1]] = small
    return np.clip(out * light, 0, 255).astype(np.uint8)


def alone(who: str, scale: float = 0.9, *, degrees: float = 0.0, light: float = 1.0) -> Picture:
    return scene((turned(who, degrees), scale, SIZE[0] // 2), light=light)


def jpeg(picture: Picture, quality: int = 90) -> bytes:
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def lived(picture: Picture, seed: int) -> Picture:
    """As a live camera sees it at another moment: moved a little, in other light, with grain."""
    rng = np.random.default_rng(seed)
    dx, dy, turn, scale = rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(0.96, 1.04)
    middle = (picture.shape[1] / 2, picture.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(middle, turn, scale)
    matrix[:, 2] += dx, dy
    moved = cv2.warpAffine(picture, matrix, (picture.shape[1], picture.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    grain = rng.normal(0, 3, (*picture.shape[:2], 1))
    return np.clip(moved * rng.uniform(0.85, 1.12) + grain, 0, 255).astype(np.uint8)
