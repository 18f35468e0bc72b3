"""Taking frames out of what cameras call multipart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.cameras.multipart import HEADERS_MOST, MultipartFrames, boundary_of

MOST = 1000


def jpeg(n: int, size: int = 60) -> bytes:
    return b"\xff\xd8" + bytes([n]) * size + b"\xff\xd9"


def part(frame: bytes, *, length: bool = True, end: bytes = b"\r\n", boundary: bytes = b"--x") -> bytes:
    head = boundary + end + b"Content-Type: image/jpeg" + end
    if length:
        head += b"Content-Length: %d" % len(frame) + end
    return head + end + frame + end


def fed(data: bytes, boundary: str = "x", chunk: int | None = None) -> tuple[list[bytes], int]:
    frames = MultipartFrames(boundary, MOST)
    step = chunk or len(data)
    out = [f for at in range(0, len(data), step) for f in frames.feed(data[at : at + step])]
    return out, frames.dropped


@pytest.mark.parametrize("announced", ["x", "--x"])
@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_usual_streams(announced: str, length: bool, end: bytes) -> None:
    data = b"".join(part(jpeg(n), length=length, end=end) for n in range(3)) + b"--x"
    for chunk in (None, 1, 7, 64):
        frames, dropped = fed(data, announced, chunk)
        assert [f[:62] for f in frames] == [jpeg(n)[:62] for n in range(3)]
        assert dropped == 0


def test_a_frame_is_there_as_soon_as_its_length_is() -> None:
    frames = MultipartFrames("x", MOST)
    assert frames.feed(part(jpeg(1))) == [jpeg(1)]


def test_a_boundary_inside_a_counted_frame_does_not_end_it() -> None:
    tricky = jpeg(1)[:-2] + b"--x\r\n\r\n" + b"\xff\xd9"
    assert fed(part(tricky) + part(jpeg(2))) == ([tricky, jpeg(2)], 0)


@pytest.mark.parametrize(
    "bad",
    [
        part(jpeg(1, MOST + 1)),
        part(jpeg(1, MOST + 1), length=False),
        part(b"GIF89a.............."),
        b"--x\r\nX: " + b"y" * (HEADERS_MOST + 10) + b"\r\n\r\n" + jpeg(1),
        part(b""),
    ],
    ids=["too large", "too large, uncounted", "no jpeg", "endless headers", "empty"],
)
@pytest.mark.parametrize("chunk", [None, 100])
def test_a_bad_part_is_dropped_and_the_next_one_read(bad: bytes, chunk: int | None) -> None:
    frames, dropped = fed(bad + part(jpeg(2)), chunk=chunk)
    assert frames == [jpeg(2)]
    assert dropped == 1


def test_a_length_that_lies_costs_a_frame_or_two() -> None:
    lying = part(jpeg(1)).replace(b"Content-Length: 64", b"Content-Length: 99")
    frames, _ = fed(lying + part(jpeg(2)) + part(jpeg(3)))
    assert frames[-1] == jpeg(3)


def test_what_is_held_is_bounded() -> None:
    frames = MultipartFrames("x", MOST)
    for _ in range(1000):
        assert frames.feed(bytes(100)) == []
        assert len(frames._held) < MOST + 200
    frames.feed(b"--x\r\n\r\n")
    for _ in range(1000):
        assert frames.feed(bytes(100)) == []
        assert len(frames._held) < MOST + 200


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_are_survived_and_chunks_make_no_difference(junk: bytes, chunk: int) -> None:
    data = junk + b"\r\n" + part(jpeg(5)) + part(jpeg(6))
    assert fed(data) == fed(data, chunk=chunk)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", "frame"),
        ('multipart/x-mixed-replace;boundary="--my boundary"', "--my boundary"),
        ("Multipart/X-Mixed-Replace; charset=x; BOUNDARY=--f;", "--f"),
        ("multipart/x-mixed-replace", None),
        ("image/jpeg; boundary=x", None),
        ("", None),
    ],
)
def test_boundaries(content_type: str, boundary: str | None) -> None:
    assert boundary_of(content_type) == boundary
