"""The chain's encoding and the walk that checks it, without any store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from vendingd.journal.api import NewRecord, StoredRecord
from vendingd.journal.chain import (
    ChainCheck,
    Epoch,
    Head,
    begin_epoch,
    first_epoch,
    genesis,
    record_hash,
    seal,
)

Record = Callable[..., NewRecord]
SAMPLE = StoredRecord(
    1, "epoch", "boot", "kind", "subject", b"{}", 1.5, 2.5, True, False, 1.5, b"\x01" * 32, b""
)  # fmt: skip
GOLDEN_RECORD = "e887743fd114f97736f0327a4338a905cf91225740ebc5e49063d1e65a5a12da"
GOLDEN_EPOCH = "12f83723b7db9db607a289a3e7e708eb8eb52730dfac6e6c2bc6af489be8783f"


def chain(record: Record, n: int) -> tuple[list[Epoch], list[StoredRecord]]:
    epoch = first_epoch("m", "one", "created")
    head = Head(epoch, 1, epoch.genesis, None, 0, 0, b"")
    first, head = seal([record(i) for i in range(n)], head, "boot")
    later, head = begin_epoch("m", "two", "restored", head)
    second, _ = seal([record(i) for i in range(n)], head, "boot")
    return [epoch, later], first + second


def walk(epochs: list[Epoch], records: list[StoredRecord], acked: int = 0, machine: str = "m") -> ChainCheck:
    check = ChainCheck(machine)
    check.frame(epochs, 0, b"")
    if all(check.feed(r) for r in records):
        check.end(acked)
    return check


def test_the_encoding_never_changes() -> None:
    """Computed apart from this code, from docs/journal.md: a change would break every chain in the field."""
    assert record_hash(SAMPLE).hex() == GOLDEN_RECORD
    assert genesis("tower-01", "00ff", b"").hex() == GOLDEN_EPOCH


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 2}, {"epoch": "epoci"}, {"boot_id": "b"}, {"kind": "k"}, {"subject": "s"}, {"data": b"{ }"},
        {"utc": 1.25}, {"mono": 2.25}, {"utc_trusted": False}, {"offline": True}, {"floor_utc": None},
        {"floor_utc": 1.25}, {"prev_hash": b"\x02" * 32},
        {"kind": "kindsub", "subject": "ject"},  # the same bytes, cut elsewhere
    ],
)  # fmt: skip
def test_every_field_counts(change: dict[str, object]) -> None:
    assert record_hash(replace(SAMPLE, **change)) != record_hash(SAMPLE)  # type: ignore[arg-type]


def test_a_sound_chain_over_two_epochs(record: Record) -> None:
    check = walk(*chain(record, 3), acked=6)
    assert check.verdict().ok, check.problem
    assert check.checked == 6


@pytest.mark.parametrize("seq", [1, 3, 4, 6])
def test_a_changed_record_is_named(record: Record, seq: int) -> None:
    epochs, records = chain(record, 3)
    records[seq - 1] = replace(records[seq - 1], data=b"other")
    check = walk(epochs, records)
    assert (check.bad_seq, check.problem) == (seq, "its content does not match its hash")


def test_a_changed_record_with_its_hash_made_to_fit_shows_at_the_next(record: Record) -> None:
    epochs, records = chain(record, 3)
    changed = replace(records[1], data=b"other")
    records[1] = replace(changed, hash=record_hash(changed))
    assert walk(epochs, records).bad_seq == 3


@pytest.mark.parametrize("seq", [1, 2, 4])
def test_a_missing_record_is_named(record: Record, seq: int) -> None:
    epochs, records = chain(record, 3)
    del records[seq - 1]
    assert walk(epochs, records).bad_seq == seq


def test_a_missing_end_shows_by_the_cursor_and_by_the_epoch(record: Record) -> None:
    epochs, records = chain(record, 3)
    assert walk(epochs, records[:5], acked=6).bad_seq == 6
    assert walk(epochs, records[:5], acked=5).verdict().ok  # only the cloud's head tells
    assert walk(epochs, records[:2]).bad_seq == 3


def test_an_epoch_of_another_machine_or_another_past_is_named(record: Record) -> None:
    epochs, records = chain(record, 3)
    assert walk(epochs, records, machine="other").bad_seq == 1
    epochs[1] = replace(epochs[1], genesis=genesis("m", "two", b"elsewhere"))
    assert walk(epochs, records).bad_seq == 4


def test_a_record_of_the_wrong_epoch_is_named(record: Record) -> None:
    epochs, records = chain(record, 3)
    epochs[1] = replace(epochs[1], first_seq=5)
    assert walk(epochs, records).bad_seq == 4


def test_records_sealed_after_a_trim_follow_its_hash(record: Record) -> None:
    epochs, records = chain(record, 3)
    check = ChainCheck("m")
    check.frame(epochs, 2, records[1].hash)
    assert all(check.feed(r) for r in records[2:])
    assert check.end(6)
    wrong = ChainCheck("m")
    wrong.frame(epochs, 2, records[0].hash)
    assert not wrong.feed(records[2])
