from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vendingd.identity import base45


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", b""),
        (b"AB", b"BB8"),
        (b"Hello!!", b"%69 VD92EX0"),
        (b"base-45", b"UJCLQE7W581"),
        (b"ietf!", b"QED8WEX0"),
        (b"\xff\xff", b"FGW"),
    ],
)
def test_vectors_of_rfc_9285(data: bytes, text: bytes) -> None:
    assert base45.decode(text) == data
    assert base45.encode(data).encode() == text


@pytest.mark.parametrize(
    "text",
    [b"GGW", b":::", b"::", b"V5", b"A", b"BB8A", b"bb8", b"BB8\r", b"B\xc38", b"BB8BB8=", b"\x00\x00\x00"],
)
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(base45.Base45Error):
        base45.decode(text)


def test_the_largest_pair_and_the_one_above() -> None:
    assert base45.decode(b"U5") == b"\xff"
    with pytest.raises(base45.Base45Error):
        base45.decode(b"V5")


def test_length_is_judged_before_the_characters() -> None:
    with pytest.raises(base45.Base45Error, match="longer"):
        base45.decode(b"\x00" * 10_000_000)
    assert base45.decode(b"000" * 1432) == bytes(2864)
    with pytest.raises(base45.Base45Error, match="longer"):
        base45.decode(b"000" * 1433)


@given(st.binary(max_size=400))
def test_there_and_back(data: bytes) -> None:
    assert base45.decode(base45.encode(data).encode()) == data


@given(st.binary(max_size=64))
def test_one_text_for_one_byte_string(text: bytes) -> None:
    try:
        data = base45.decode(text)
    except base45.Base45Error:
        return
    assert base45.encode(data).encode() == text
