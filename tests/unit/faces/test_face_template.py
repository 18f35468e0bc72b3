"""The template's form: what is written is read, whatever does not match is refused, and nothing leaks."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.faces import template
from drivers.faces.template import TEMPLATE_MOST_BYTES, Template, TemplateRefused, cosine, mean
from tests.unit.faces.looks import vector

NOW = 1_800_000_000.0
MADE = Template(mean([vector(3, 0.7)]), NOW - 60, NOW + 3600)


def test_what_is_written_is_read() -> None:
    data = template.write(MADE)
    assert len(data) < 1200
    back = template.read(data, NOW)
    assert cosine(back.vector, MADE.vector) == pytest.approx(1.0, abs=1e-6)
    assert (back.created_utc, back.expires_utc) == (MADE.created_utc, MADE.expires_utc)
    assert json.loads(data)["fmt"] == "vendingd-face-1"


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"fmt": "fm22x-user"}, "format"),
        ({"fmt": 1}, "format"),
        ({"model": "sface-2021dec"}, "model is not"),
        ({"model_sha256": "0" * 64}, "model_sha256"),
        ({"preproc": "yunet-2023mar-int8bq/similarity5-112/bgr"}, "preproc"),
        ({"dim": 512}, "dim"),
        ({"dim": "128"}, "dim"),
        ({"vector": packed(*([1.0] * 127))}, "vector"),
        ({"vector": packed(*([1.0] * 128))}, "length"),
        ({"vector": packed(*([0.0] * 128))}, "length"),
        ({"vector": packed(math.nan, *([0.1] * 127))}, "length"),
        ({"vector": packed(math.inf, *([0.0] * 127))}, "length"),
        ({"vector": "A" * 683 + "!"}, "vector"),
        ({"vector": [1.0] + [0.0] * 127}, "vector"),
        ({"created": "2027-01-15 08:00"}, "created"),
        ({"created": 1}, "created"),
        ({"expires": None}, "expires"),
        ({"expires": "9999-99-99T00:00:00Z"}, "expires"),
        ({"expires": "2020-01-01T00:00:00Z"}, "before it was created"),
        ({"created": "2019-01-01T00:00:00Z", "expires": "2020-01-01T00:00:00Z"}, "expired"),
        ({"name": "Grace"}, "adds: name"),
    ],
)
def test_what_does_not_match_is_refused(changed: dict[str, Any], says: str) -> None:
    data = json.dumps(json.loads(template.write(MADE)) | changed).encode()
    with pytest.raises(TemplateRefused, match=says):
        template.read(data, NOW)


@pytest.mark.parametrize("field", sorted(json.loads(template.write(MADE))))
def test_every_field_is_needed(field: str) -> None:
    given = json.loads(template.write(MADE))
    del given[field]
    with pytest.raises(TemplateRefused):
        template.read(json.dumps(given).encode(), NOW)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"1", b"\xff", b"[" * 4000, b"{" + b" " * TEMPLATE_MOST_BYTES + b"}"]
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(TemplateRefused):
        template.read(data, NOW)


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(TemplateRefused):
        template.read(data, NOW)


@given(st.integers(0, len(template.write(MADE)) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_changes_little(at: int, byte: int) -> None:
    data = bytearray(template.write(MADE))
    data[at] = byte
    try:
        read = template.read(bytes(data), NOW)
    except TemplateRefused:
        return
    assert math.hypot(*read.vector) == pytest.approx(1.0)


def test_the_vector_is_in_no_repr_and_no_refusal() -> None:
    assert "0.7" not in repr(MADE)
    text = json.loads(template.write(MADE))["vector"]
    with pytest.raises(TemplateRefused) as why:
        template.read(json.dumps({"fmt": template.FORMAT, "vector": text}).encode(), NOW)
    assert text[:20] not in str(why.value)


def test_vectors_without_a_mean() -> None:
    with pytest.raises(ValueError, match="cancel"):
        mean([(1.0, 0.0), (-1.0, 0.0)])
