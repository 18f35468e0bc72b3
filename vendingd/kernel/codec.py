"""Aggregates and records as bytes: JSON by msgspec, the same bytes for the same value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fsm.model import Aggregate
from fsm.world import TYPE_OF, VOLATILE

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(cls) for kind, cls in TYPE_OF.items() if kind not in VOLATILE
}


class StateError(ValueError):
    """A stored row that this version cannot read; names kind and id."""


def encode(value: Aggregate | Mapping[str, Any]) -> bytes:
    """Canonical JSON: keys of mappings and members of sets in order."""
    return _ENCODER.encode(value)


def decode(kind: str, key: str, data: bytes) -> Aggregate:
    """The aggregate of a stored row. Raises StateError."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise StateError(f"state row {kind}/{key}: this version knows no kind {kind!r}")
    try:
        return decoder.decode(data)  # type: ignore[no-any-return]
    except (ValueError, RecursionError) as why:  # msgspec's own errors, and text that is no UTF-8
        raise StateError(f"state row {kind}/{key}: {why}") from why
