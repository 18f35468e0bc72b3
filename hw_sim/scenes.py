"""Draws what a camera sees. Apart from the camera, so that a machine without one never loads the libraries."""

from __future__ import annotations

import io
import math
import random

import numpy as np
import zxingcpp
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from hw_sim.camera import HEIGHT, LOOKS, WIDTH


def draw_qr(text: str, ec_level: str = "M") -> Image.Image:
    """The code alone, one pixel a module, with its quiet zone. Raises ValueError where it does not fit."""
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=ec_level)
    return Image.fromarray(np.array(zxingcpp.write_barcode_to_image(code, scale=1)))


def empty_scene(rng: random.Random) -> Image.Image:
    """A hall in dim light: a slow gradient with the grain of a sensor."""
    across = np.linspace(90, 150, WIDTH)[None, :] + np.linspace(-20, 25, HEIGHT)[:, None]
    return Image.fromarray(_grain(across, rng, 4.0))


def _grain(grey: NDArray[np.float64], rng: random.Random, sigma: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(rng.getrandbits(64)).normal(0.0, sigma, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def phone_scene(text: str, rng: random.Random, look: str = "clean") -> Image.Image:
    """A phone held before the camera, a little turned and off the middle, as `look` says. Raises ValueError."""
    if look not in LOOKS:
        raise ValueError(f"no look {look!r}; there are: {', '.join(LOOKS)}")
    code = draw_qr(text)
    scale = max(2, min(8, 400 // code.width))
    code = code.resize((code.width * scale, code.height * scale), Image.Resampling.NEAREST)
    side = code.width
    phone = Image.new("L", (side + 60, side + 160), 235)
    phone.paste(code, (30, 80))
    mask = Image.new("L", phone.size, 255)
    turn = rng.uniform(-8, 8) if look != "tilted" else rng.choice((-1, 1)) * rng.uniform(18, 30)
    corner = 0.015 if look != "tilted" else 0.05
    quad = _perspective(phone.size, rng, corner)
    phone = phone.transform(phone.size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    phone = phone.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    mask = mask.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    if phone.height > HEIGHT * 1.15:  # the code must stay in the picture
        shrink = HEIGHT * 1.15 / phone.height
        size = (int(phone.width * shrink), int(phone.height * shrink))
        phone, mask = phone.resize(size), mask.resize(size)
    scene = empty_scene(rng)
    left = (WIDTH - phone.width) // 2 + rng.randint(-40, 40)
    top = (HEIGHT - phone.height) // 2 + rng.randint(-10, 10)
    scene.paste(phone, (left, top), mask)
    return _spoil(scene, rng, look)


def _perspective(size: tuple[int, int], rng: random.Random, most: float) -> tuple[float, ...]:
    w, h = size

    def off(span: int) -> float:
        return rng.uniform(-most, 0.0) * span

    return (off(w), off(h), off(w), h - off(h), w - off(w), h - off(h), w - off(w), off(h))


def _spoil(scene: Image.Image, rng: random.Random, look: str) -> Image.Image:
    if look == "blurred":
        return scene.filter(ImageFilter.GaussianBlur(1.6))
    if look == "dark":
        return ImageEnhance.Brightness(scene).enhance(0.3)
    if look == "noisy":
        return Image.fromarray(_grain(np.asarray(scene, dtype=np.float64), rng, 28.0))
    if look == "glare":
        light = Image.new("L", scene.size, 0)
        x, y = WIDTH / 2 + rng.uniform(-90, 90), HEIGHT / 2 + rng.uniform(-90, 90)
        r = rng.uniform(30, 50)
        ImageDraw.Draw(light).ellipse((x - r, y - r, x + r, y + r), fill=255)
        light = light.filter(ImageFilter.GaussianBlur(12))
        return Image.composite(Image.new("L", scene.size, 255), scene, light)
    return scene


SWAY = 3.0  # px: nobody stands still, and no camera is held still


class Living:
    """Pictures as a live camera sees them: each frame a little moved, with the grain of its own moment."""

    def __init__(self, pictures: list[bytes], rng: random.Random) -> None:
        """Raises ValueError for what is no JPEG."""
        try:
            self._pictures = [Image.open(io.BytesIO(one), formats=("JPEG",)).convert("RGB") for one in pictures]
        except (OSError, SyntaxError) as no:
            raise ValueError(f"not a JPEG picture: {no}") from no
        if not self._pictures:
            raise ValueError("no picture")
        self._rng = rng
        width, height = (max(one.size[axis] for one in self._pictures) for axis in (0, 1))
        chance = np.random.default_rng(rng.getrandbits(64))
        self._grain = np.rint(chance.normal(0.0, 3.0, (height + 64, width + 64, 1))).astype(np.int16)

    def frame(self, n: int) -> bytes:
        """The n-th frame; none is like another."""
        picture = self._pictures[n % len(self._pictures)]
        width, height = picture.size
        scale, turn = self._rng.uniform(0.985, 1.015), self._rng.uniform(-0.02, 0.02)
        x, y = (self._rng.uniform(-SWAY, SWAY) for _ in range(2))
        a, b = scale * math.cos(turn), scale * math.sin(turn)
        moved = picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            (a, -b, x + width / 2 * (1 - a) + height / 2 * b, b, a, y + height / 2 * (1 - a) - width / 2 * b),
            Image.Resampling.BILINEAR,
            fillcolor=(120, 120, 120),
        )
        u, v = (self._rng.randint(0, 63) for _ in range(2))
        grain = self._grain[v : v + height, u : u + width]
        return jpeg(Image.fromarray(np.clip(np.asarray(moved, np.int16) + grain, 0, 255).astype(np.uint8)))


def jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
