"""QR codes out of one picture. Runs in a worker process: zbar can abort the process that it is in.

Imports numpy, Pillow, zxing-cpp and pyzbar inside functions only, so that the main process can name `look`
without loading them.

Two engines, because they fail on different pictures: zxing-cpp costs about a twelfth and reads close, dense
and screen images; zbar wins on glare and bright spots, by four strategies of which each reads some that the
others miss. zxing-cpp is so cheap that it gets four more views of the picture: half its size, where there is
noise; smoothed, where the modules are small, too; with its background made even, where light falls on it; and
that sharpened, where it is out of focus. Both are asked for QR codes only: other symbologies produce codes that
are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from drivers.vision.frames import Frame, Seen, acceptable
from drivers.vision.pictures import Refused, bounded, jpeg, raw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]

ADAPTIVE_SIDE = 960  # px, the longer one
_ADAPTIVE_RADIUS = 24  # px: a few modules of a code that fills a third of the picture
_ADAPTIVE_DARKER = 0.95  # dark is what is below this part of its surroundings' mean
_GRAIN = 1.3  # px
_SMEAR, _SHARPER = 2.0, 1.5  # px; how many times the difference from the smeared picture is added
_LIGHT_PART, _LIGHT_RADIUS = 8, 5  # light changes over some 40 px to each side, modules over a few
_DOUBLE_MOST = 1280
_CODES_MOST = 8


# ---------------------------------------------------------------- pictures
def grey(frame: Frame) -> Grey:
    """The frame's grey levels. Raises Refused; never unpacks more than PIXELS_MOST."""
    import numpy as np

    bounded(frame)
    if frame.kind == "jpeg":
        return jpeg(frame.data, "L")
    step = 2 if frame.kind == "yuyv" else 1  # YUYV: Y is every other byte
    return np.ascontiguousarray(raw(frame)[::step].reshape(frame.height, frame.width))


def _scaled(image: Grey, width: int, height: int) -> Grey:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _half(image: Grey) -> Grey:
    height, width = image.shape
    return _scaled(image, max(1, width // 2), max(1, height // 2))


def adaptive(image: Grey) -> Grey:
    """Black and white by comparing each pixel with the mean of its surroundings, at ADAPTIVE_SIDE."""
    import numpy as np

    height, width = image.shape
    longest = max(height, width)
    if longest != ADAPTIVE_SIDE:
        height = max(1, height * ADAPTIVE_SIDE // longest)
        width = max(1, width * ADAPTIVE_SIDE // longest)
        image = _scaled(image, width, height)
    size = 2 * _ADAPTIVE_RADIUS + 1
    around = np.pad(image, _ADAPTIVE_RADIUS, mode="edge")
    sums = np.zeros((height + size, width + size), np.int32)
    np.cumsum(np.cumsum(around, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    box = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    dark = image.astype(np.float32) * (size * size) < box * np.float32(_ADAPTIVE_DARKER)
    return np.where(dark, 0, 255).astype(np.uint8)


def smoothed(image: Grey) -> Grey:
    """Without the grain of a sensor in the dark; a module of 3 px stays one."""
    import numpy as np
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(_GRAIN)))


def evened(image: Grey) -> Grey:
    """Each pixel as a part of the light around it, so that a reflection does not outshine the modules in it."""
    import numpy as np
    from PIL import Image, ImageFilter

    height, width = image.shape
    small = Image.fromarray(image).reduce(_LIGHT_PART).filter(ImageFilter.BoxBlur(_LIGHT_RADIUS))
    light = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    return np.clip(image * (128.0 / np.maximum(light, 1.0)), 0, 255).astype(np.uint8)


def sharpened(image: Grey) -> Grey:
    """In even light, with what a lens out of focus has smeared put back as far as noise allows."""
    import numpy as np
    from PIL import Image, ImageFilter

    even = evened(image)
    soft = np.asarray(Image.fromarray(even).filter(ImageFilter.GaussianBlur(_SMEAR)), np.float32)
    return np.clip(even * np.float32(1 + _SHARPER) - soft * np.float32(_SHARPER), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- engines
def _zxing(image: Grey) -> tuple[bytes, ...]:
    import zxingcpp

    found = zxingcpp.read_barcodes(image, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2))
    return tuple(bytes(code.bytes) for code in found)


def _zxing_half(image: Grey) -> tuple[bytes, ...]:
    return _zxing(_half(image))


def _zxing_smooth(image: Grey) -> tuple[bytes, ...]:
    return _zxing(smoothed(image))


def _zxing_even(image: Grey) -> tuple[bytes, ...]:
    return _zxing(evened(image))


def _zxing_sharp(image: Grey) -> tuple[bytes, ...]:
    return _zxing(sharpened(image))


def _zbar(image: Grey) -> tuple[bytes, ...]:
    from pyzbar import pyzbar

    height, width = image.shape
    found = pyzbar.decode((image.tobytes(), width, height), symbols=[pyzbar.ZBarSymbol.QRCODE])
    return tuple(bytes(code.data) for code in found)


def _zbar_adaptive(image: Grey) -> tuple[bytes, ...]:
    return _zbar(adaptive(image))


def _zbar_half(image: Grey) -> tuple[bytes, ...]:
    return _zbar(_half(image))


def _zbar_double(image: Grey) -> tuple[bytes, ...]:
    height, width = image.shape
    if max(height, width) > _DOUBLE_MOST:
        return ()  # four times the cost of a picture that has pixels enough
    return _zbar(_scaled(image, width * 2, height * 2))


_STEPS: dict[str, Callable[[Any], tuple[bytes, ...]]] = {
    "zxing": _zxing,
    "zxing-half": _zxing_half,
    "zxing-smooth": _zxing_smooth,
    "zxing-even": _zxing_even,
    "zxing-sharp": _zxing_sharp,
    "zbar-adaptive": _zbar_adaptive,
    "zbar-raw": _zbar,
    "zbar-half": _zbar_half,
    "zbar-double": _zbar_double,
}
CHEAP = "zxing"
# What is tried after the cheap step, in turn over successive frames, best first. Each turn costs one step of zbar.
ROTATION = (
    ("zxing-half", "zbar-adaptive"),
    ("zxing-even", "zbar-raw"),
    ("zxing-smooth", "zbar-half"),
    ("zxing-sharp", "zbar-double"),
)

ALL = tuple(_STEPS)


def read(image: Grey, step: str) -> frozenset[bytes]:
    """All that one step reads, acceptable or not; for benchmarks on pictures of other people's codes."""
    return frozenset(_STEPS[step](image))


def decode(image: Grey, step: str) -> frozenset[bytes]:
    """The acceptable codes that one step reads."""
    return frozenset(code for code in read(image, step) if acceptable(code))


def decode_all(image: Grey) -> frozenset[bytes]:
    """What all steps together read; for tests and benchmarks, too slow for every frame."""
    return frozenset().union(*(decode(image, step) for step in ALL))


def look(frame: Frame, steps: Sequence[str]) -> Seen:
    """Try the steps in order until one reads something. Never raises for what is in the frame."""
    try:
        image = grey(frame)
    except Refused as exc:
        return Seen(refused=str(exc))
    for step in steps:
        codes = decode(image, step)
        if codes:
            return Seen(codes=tuple(sorted(codes)[:_CODES_MOST]))
    return Seen()
