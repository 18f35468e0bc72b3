"""Stored states that are not what they were: an aggregate or a StateError, never anything else."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from vendingd.kernel.codec import StateError, decode

MACHINE = Path(__file__).parent.parent / "journal" / "schemas" / "v1-machine.sql"


def rows() -> list[tuple[str, str, bytes]]:
    """The states of a machine that had lived."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(MACHINE.read_text())
        return list(db.execute("SELECT kind, id, data FROM state"))


@pytest.mark.parametrize("data", [b"", b"\xff", b'{"id":"\xb3"}', b"[" * 200_000, b'{"id":' * 200_000, b"null"])
def test_what_is_no_state_is_named(data: bytes) -> None:
    with pytest.raises(StateError, match="state row rental/r1: "):
        decode("rental", "r1", data)


def test_a_kind_that_is_not_known_is_named() -> None:
    with pytest.raises(StateError, match="knows no kind 'lift'"):
        decode("lift", "one", b"{}")


def test_any_bit_that_flips_is_read_or_named() -> None:
    chance, unread = random.Random(2), 0
    for kind, key, data in rows():
        for bit in [*range(7, 8 * len(data), 8), *chance.sample(range(8 * len(data)), 100)]:
            spoiled = bytearray(data)
            spoiled[bit // 8] ^= 1 << bit % 8
            try:
                decode(kind, key, bytes(spoiled))
            except StateError as error:
                assert str(error).startswith(f"state row {kind}/{key}: ")
                unread += 1
    assert unread > 1000
