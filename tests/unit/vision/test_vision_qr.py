"""Reading QR codes: both engines together on bad pictures, and what is refused."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.vision import qr
from drivers.vision.frames import FRAME_MOST_BYTES, PAYLOAD_MOST, Frame, acceptable
from tests.unit.vision import qr_scenes

# the middle of what can be read at all: below it every engine reads every picture, above it none reads any
SCENES = [
    (kinds, level, seed)
    for kinds, level in [
        (("blur",), 1.0),
        (("glare",), 1.0),
        (("perspective",), 1.0),
        (("moire",), 1.0),
        (("noise",), 1.0),
        (("blur", "noise"), 1.0),
        (("noise", "perspective"), 1.0),
        (("glare", "blur"), 1.0),
    ]
    for seed in (1, 3)
]


def test_together_they_read_more_than_either_alone() -> None:
    read: dict[str, int] = {"zxing": 0, "zbar": 0, "all": 0}
    for kinds, level, seed in SCENES:
        payload, picture = qr_scenes.scene(seed, kinds, level)
        by_step = {step: qr.decode(picture, step) for step in qr.ALL}
        by_zxing = by_step[qr.CHEAP]
        by_zbar = frozenset().union(*(codes for step, codes in by_step.items() if step.startswith("zbar")))
        together = frozenset().union(*by_step.values())
        assert together <= {payload}, "a wrong payload"
        if seed == 1:
            assert qr.decode_all(picture) == together
        read["zxing"] += payload in by_zxing
        read["zbar"] += payload in by_zbar
        read["all"] += payload in together
    assert read["all"] > read["zxing"] >= len(SCENES) * 3 // 4, read
    assert read["all"] > read["zbar"] >= len(SCENES) // 2, read


def test_every_step_has_its_turn() -> None:
    assert {qr.CHEAP, *(step for turn in qr.ROTATION for step in turn)} == set(qr.ALL)
    assert all(sum(step.startswith("zbar") for step in turn) == 1 for turn in qr.ROTATION), (
        "the dear ones one at a time"
    )


@pytest.mark.parametrize(
    ("kinds", "seeds", "step"),
    [
        (("blur", "noise"), range(200, 206), "zxing-smooth"),
        (("noise", "perspective"), range(200, 206), "zxing-half"),
        (("glare",), range(200, 206), "zxing-even"),
        (("blur",), range(200, 206), "zxing-sharp"),
    ],
)
def test_another_view_of_the_picture_reads_what_the_cheap_step_does_not(
    kinds: tuple[str, ...], seeds: range, step: str
) -> None:
    scenes = [qr_scenes.scene(seed, kinds, 1.6 if kinds == ("blur",) else 1.0) for seed in seeds]
    plain = {n for n, (payload, picture) in enumerate(scenes) if payload in qr.decode(picture, qr.CHEAP)}
    other = {n for n, (payload, picture) in enumerate(scenes) if payload in qr.decode(picture, step)}
    assert other - plain, (plain, other)


def test_scenes_are_the_same_each_time() -> None:
    first, second = (qr_scenes.scene(7, ("glare", "noise"), 1.0) for _ in range(2))
    assert first[0] == second[0]
    assert np.array_equal(first[1], second[1])


def test_the_adaptive_threshold_reads_what_zbar_alone_does_not() -> None:
    payload, picture = qr_scenes.scene(0, ("moire",), 1.0)
    assert payload not in qr.decode(picture, "zbar-raw")
    assert payload in qr.decode(picture, "zbar-adaptive")
    assert qr.adaptive(picture).shape == (qr_scenes.HEIGHT, qr.ADAPTIVE_SIDE)


@pytest.mark.parametrize("step", qr.ALL)
def test_every_step_reads_a_clean_code_and_nothing_in_an_empty_picture(step: str) -> None:
    code = np.asarray(qr_scenes.code("NCF:/AB+C", box=6))
    assert qr.decode(code, step) == {b"NCF:/AB+C"}
    assert qr.decode(np.full((480, 640), 128, np.uint8), step) == frozenset()


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 3)])
def test_degenerate_pictures(size: tuple[int, int]) -> None:
    assert qr.decode_all(np.zeros(size, np.uint8)) == frozenset()


def test_only_qr_codes_are_read() -> None:
    import zxingcpp

    barcode = zxingcpp.create_barcode("VENDINGD", zxingcpp.BarcodeFormat.Code128)
    picture = np.asarray(barcode.to_image(scale=4))
    assert [str(found.text) for found in zxingcpp.read_barcodes(picture)] == ["VENDINGD"]
    assert qr.decode_all(np.ascontiguousarray(picture)) == frozenset()


@pytest.mark.parametrize(
    ("payload", "passes"),
    [
        (b"6BF+70790T9WJWG.FKY*4GO0", True),
        (b"A" * PAYLOAD_MOST, True),
        (b"A" * (PAYLOAD_MOST + 1), False),
        (b"A" * 10_000_000, False),
        (b"", False),
        (b"https://example.org", False),
        (b"ABC\n", False),
        (bytes(range(256)), False),
        ("ÄBC".encode(), False),
    ],
)
def test_what_may_be_a_pass(payload: bytes, passes: bool) -> None:
    assert acceptable(payload) is passes


def test_binary_codes_are_never_reported() -> None:
    picture = np.asarray(qr_scenes.code(bytes(range(128, 200)), box=6))
    assert any(qr._zxing(picture)), "the code itself can be read"
    assert qr.decode_all(picture) == frozenset()


# ---------------------------------------------------------------- frames
def frame(data: bytes) -> Frame:
    return Frame("jpeg", data, 1.0)


def test_a_jpeg_is_looked_at_until_a_step_reads() -> None:
    good = frame(qr_scenes.jpeg(qr_scenes.code("ABC123", box=6)))
    assert qr.look(good, ("zxing", "zbar-raw")).codes == (b"ABC123",)
    assert qr.look(good, ()).codes == ()


def test_a_colour_jpeg_larger_than_needed_is_read_at_a_fraction() -> None:
    big = qr_scenes.code("ABC123", box=80).convert("RGB")
    assert big.width > 2000
    image = qr.grey(frame(qr_scenes.jpeg(big)))
    assert image.shape == (big.height // 2, big.width // 2)
    assert qr.look(frame(qr_scenes.jpeg(big)), ("zxing",)).codes == (b"ABC123",)


def bomb(width: int, height: int) -> bytes:
    """A small JPEG that says it is this large."""
    data = bytearray(qr_scenes.jpeg(Image.new("L", (16, 16))))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def png() -> bytes:
    out = io.BytesIO()
    qr_scenes.code("ABC").save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bomb(65000, 65000), "not a JPEG"),
        (bomb(8000, 8000), "8000x8000"),
        (b"\xff\xd8" + bytes(1000), "not a JPEG"),
        (b"", "not a JPEG"),
        (qr_scenes.jpeg(qr_scenes.code("ABC"))[:700], "not a JPEG"),
        (png(), "not a JPEG"),
        (bytes(FRAME_MOST_BYTES + 1), "bytes"),
    ],
    ids=["bomb", "too many pixels", "junk", "empty", "cut off", "png", "too many bytes"],
)
def test_refused_frames(data: bytes, why: str) -> None:
    seen = qr.look(frame(data), (qr.CHEAP,))
    assert seen.codes == ()
    assert why in seen.refused


def test_raw_frames() -> None:
    image = np.asarray(qr_scenes.code("RAW", box=6))
    height, width = image.shape
    yuyv = np.full((height, width, 2), 128, np.uint8)
    yuyv[:, :, 0] = image
    assert qr.look(Frame("grey", image.tobytes(), 1.0, width, height), ("zxing",)).codes == (b"RAW",)
    assert qr.look(Frame("yuyv", yuyv.tobytes(), 1.0, width, height), ("zxing",)).codes == (b"RAW",)
    for bad in (
        Frame("yuyv", image.tobytes(), 1.0, width, height),
        Frame("grey", b"", 1.0, 0, 0),
        Frame("grey", b"", 1.0, 100_000, 100_000),
    ):
        assert qr.look(bad, ("zxing",)).refused


def test_secrets_are_not_shown() -> None:
    from drivers.vision.frames import Seen

    assert "SECRET" not in repr(Seen(codes=(b"SECRET",)))
    assert "SECRET" not in repr(frame(b"SECRET"))


def test_the_main_process_loads_no_decoder() -> None:
    script = (
        "import sys, drivers.cameras.mjpeg, drivers.cameras.v4l2, drivers.gpio.lock\n"
        "heavy = {'numpy', 'PIL', 'zxingcpp', 'pyzbar', 'linuxpy', 'gpiozero'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
