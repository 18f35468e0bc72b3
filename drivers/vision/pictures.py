"""Pictures out of frames that nobody vouches for: bounded before anything is unpacked. Runs in worker processes only.

Imports numpy and Pillow inside functions, so that the daemon can name what uses them without loading them.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Literal

from drivers.vision.frames import FRAME_MOST_BYTES, PIXELS_MOST, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_SIDE_MOST = 1920  # larger JPEGs are decoded at a half, a quarter or an eighth


class Refused(ValueError):
    """A frame that is not a picture, or too large a one."""


def bounded(frame: Frame) -> None:
    """Raises Refused for a frame of more bytes than any camera sends."""
    if len(frame.data) > FRAME_MOST_BYTES:
        raise Refused(f"frame of {len(frame.data)} bytes")


def raw(frame: Frame, *, whole_pairs: bool = False) -> Pixels:
    """The bytes of a raw frame's pixels, flat. Raises Refused where they are too few, or the frame too large.

    `whole_pairs`: YUYV has one colour for two pixels; what wants the colours refuses an odd width.
    """
    import numpy as np

    pixels = frame.width * frame.height
    per_pixel = 2 if frame.kind == "yuyv" else 1
    odd = whole_pairs and frame.kind == "yuyv" and frame.width % 2
    if not 0 < pixels <= PIXELS_MOST or len(frame.data) < pixels * per_pixel or odd:
        raise Refused(f"{frame.kind} frame of {len(frame.data)} bytes for {frame.width}x{frame.height}")
    return np.frombuffer(frame.data, np.uint8, pixels * per_pixel)


def jpeg(data: bytes, mode: Literal["L", "RGB"]) -> Pixels:
    """A JPEG in Pillow's mode. Raises Refused; never unpacks more than PIXELS_MOST."""
    import numpy as np
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=("JPEG",))
        width, height = picture.size
        if width * height > PIXELS_MOST:
            raise Refused(f"picture of {width}x{height}")
        part = next(part for part in (1, 2, 4, 8) if max(width, height) <= _SIDE_MOST * part or part == 8)
        picture.draft(mode, (width // part, height // part))
        return np.asarray(picture.convert(mode))
    except Refused:
        raise
    except Exception as exc:
        # a hostile file makes Pillow raise all kinds of things
        raise Refused(f"not a JPEG picture: {type(exc).__name__}") from exc
