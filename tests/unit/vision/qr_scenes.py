"""Pictures of QR codes as cameras see them: a code somewhere in a frame, made worse in a named way."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import qrcode
from numpy.typing import NDArray
from PIL import Image, ImageFilter

BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
WIDTH, HEIGHT = 960, 600
Grey = NDArray[np.uint8]


def text(rng: np.random.Generator, length: int = 210) -> str:
    """As long as a pass of 140 bytes in Base45."""
    return "".join(BASE45[i] for i in rng.integers(0, len(BASE45), length))


def code(payload: str | bytes, box: int = 8) -> Image.Image:
    made = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M, box_size=box, border=4)
    made.add_data(payload)
    made.make()
    return made.make_image().get_image().convert("L")


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _onto(image: Image.Image, quad: NDArray[np.float64]) -> Image.Image:
    """The image with its corners at the quad's, on a grey frame."""
    width, height = image.size
    rows, right = [], []
    for (x, y), (u, v) in zip(quad, [(0, 0), (width, 0), (width, height), (0, height)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    coefficients = np.linalg.solve(np.array(rows, float), np.array(right, float))
    return image.transform(
        (WIDTH, HEIGHT),
        Image.Transform.PERSPECTIVE,
        tuple(coefficients),
        Image.Resampling.BILINEAR,
        fillcolor=140,
    )


def scene(seed: int, kinds: Sequence[str], level: float) -> tuple[bytes, Grey]:
    """The payload and the picture; the same for the same arguments. Level 1 is bad, 2 mostly hopeless."""
    rng = np.random.default_rng(seed)
    payload = text(rng)
    side = rng.uniform(280, 400)
    cx, cy = rng.uniform(320, 640), rng.uniform(260, 340)
    angle = rng.uniform(-0.3, 0.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = side / 2 * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    if "perspective" in kinds:
        corners *= 1 + rng.uniform(-0.32, 0.1, (4, 1)) * level
    picture = _onto(code(payload), corners @ turn.T + [cx, cy])
    if "blur" in kinds:
        picture = picture.filter(ImageFilter.GaussianBlur(level * side / 190))
    x = np.asarray(picture, np.float64)
    yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    if "glare" in kinds:
        for _ in range(2):
            gx, gy = cx + rng.uniform(-0.3, 0.3) * side, cy + rng.uniform(-0.3, 0.3) * side
            spread = rng.uniform(0.08, 0.22) * side * level
            x = x + 260 * np.exp(-((xx - gx) ** 2 + (yy - gy) ** 2) / (2 * spread**2))
        x = x * 0.75 + 60 * (xx / WIDTH)
    if "moire" in kinds:
        f, t = rng.uniform(0.25, 0.49), rng.uniform(0, np.pi)
        x = x + 45 * level * np.sin(2 * np.pi * f * (xx * np.cos(t) + yy * np.sin(t)))
        x = x + 30 * level * np.sin(xx * f * 0.13)
    if "noise" in kinds:
        x = x * 0.6 + 50 + rng.normal(0, 38 * level, x.shape)
    return payload.encode(), np.clip(x, 0, 255).astype(np.uint8)
