from __future__ import annotations

import math
import struct
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vendingd.identity import cbor

KEYS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=8)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(v) for v in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(v) for v in value), default=0)
    return 0


@given(VALUES, st.booleans())
def test_reads_what_another_implementation_writes(value: Any, canonical: bool) -> None:
    assert cbor.decode(cbor2.dumps(value, canonical=canonical), max_depth=_depth(value)) == value


@given(st.binary(max_size=80))
def test_never_reads_what_another_implementation_reads_otherwise(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except cbor.CborError:
        return
    theirs = cbor2.loads(data, allow_indefinite=False, allow_duplicate_keys=False)
    assert repr(value) == repr(theirs)


@pytest.mark.parametrize(
    ("defect", "hex_"),
    [
        ("nothing", ""),
        ("two items", "0000"),
        ("bytes cut short", "4401 0203"),
        ("array cut short", "8201"),
        ("map cut short", "a101"),
        ("argument cut short", "1a0000"),
        ("length beyond all memory", "5bffffffffffffffff00"),
        ("array of 2**64", "9bffffffffffffffff"),
        ("map of 2**64", "bbffffffffffffffff"),
        ("indefinite bytes", "5f4101ff"),
        ("indefinite text", "7f6161ff"),
        ("indefinite array", "9f01ff"),
        ("indefinite map", "bf0102ff"),
        ("a lone break", "ff"),
        ("reserved argument", "1c"),
        ("the same key twice", "a2 0102 0103"),
        ("the same key in two lengths", "a2 0102 180103"),
        ("a key that is true", "a1 f501"),
        ("a key that is 1.0", "a1 f93c0001"),
        ("a key of bytes", "a1 410101"),
        ("a key that is an array", "a1 820102 03"),
        ("text that is not UTF-8", "62c328"),
        ("a surrogate", "63eda080"),
        ("undefined", "f7"),
        ("simple value", "f0"),
        ("simple value in two bytes", "f8ff"),
        ("a date", "c11a514b67b0"),
        ("a big number", "c249010000000000000000"),
        ("a tag inside", "81c100"),
        ("a regular expression", "d8236161"),
        ("a shared reference", "d81c80"),
        ("tags without end", "c0" * 300 + "00"),
        ("nested too deep", "81" * 5 + "00"),
        ("nested without end", "81" * 5000),
        ("maps in maps", "a101" * 5 + "00"),
        ("too many items", "990100" + "00" * 256),
    ],
)
def test_kinds_of_defect(defect: str, hex_: str) -> None:
    with pytest.raises(cbor.CborError):
        cbor.decode(bytes.fromhex(hex_))


def test_tags_only_where_they_are_allowed() -> None:
    allowed = ((18,), (61, 18))
    assert cbor.decode(bytes.fromhex("d200"), tags=allowed) == 0
    assert cbor.decode(bytes.fromhex("d83dd200"), tags=allowed) == 0
    for other in ("00", "d300", "d83d00", "d2d83d00", "d2d200"):
        with pytest.raises(cbor.CborError):
            cbor.decode(bytes.fromhex(other), tags=allowed)


@given(st.floats())
def test_floats_of_every_width(value: float) -> None:
    double = cbor.decode(b"\xfb" + struct.pack(">d", value))
    assert double == value or math.isnan(value)


def test_narrow_floats() -> None:
    assert cbor.decode(bytes.fromhex("f93e00")) == 1.5
    assert cbor.decode(bytes.fromhex("fa47c35000")) == 100000.0
    assert cbor.decode(bytes.fromhex("f97c00")) == math.inf
