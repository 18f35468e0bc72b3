"""What a start reads: the head of the chain, whether its end is sound, the states; the rest is `verify`'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from vendingd.journal.api import StoredRecord
from vendingd.journal.chain import Head, genesis, record_hash
from vendingd.journal.errors import corrupt
from vendingd.journal.reader import last_records
from vendingd.journal.rows import Damaged, cursor, epochs, states

States = dict[str, dict[str, bytes]]
"""Kind, id, data."""


def find_head(db: sqlite3.Connection, path: Path, machine: str) -> Head:
    """Where the chain and the outbox stand. Raises StoreError (corrupt) for a chain that ends badly."""
    try:
        known = epochs(db)
        acked, trimmed, trimmed_hash = cursor(db)
        last = last_records(db, 2)
    except Damaged as exc:
        raise corrupt(path, str(exc)) from exc
    epoch = known[-1]
    seq = last[0].seq if last else 0
    if last:
        _check_last(last, trimmed, path)
    if acked > seq or trimmed > seq or epoch.first_seq > seq + 1:
        raise corrupt(path, f"records behind {seq} are missing")
    head = last[0].hash if last else b""
    if epoch.first_seq == seq + 1:
        # nothing in it yet; epochs that began at one seq follow from each other
        for begun in (e for e in known if e.first_seq == seq + 1):
            head = genesis(machine, begun.token, head)
        if head != epoch.genesis:
            raise corrupt(path, f"epoch {epoch.token} does not follow from record {seq}")
    floor = last[0].floor_utc if last else None
    return Head(epoch, seq + 1, head, floor, acked, trimmed, trimmed_hash)


def load_states(db: sqlite3.Connection, path: Path) -> States:
    """Every aggregate's state, by kind and id. Raises StoreError (corrupt) where one is not what was stored."""
    found: States = {}
    try:
        for kind, key, data in states(db):
            found.setdefault(kind, {})[key] = data
    except Damaged as exc:
        raise corrupt(path, str(exc)) from exc
    return found


def _check_last(last: Sequence[StoredRecord], trimmed: int, path: Path) -> None:
    newest = last[0]
    if record_hash(newest) != newest.hash:
        raise corrupt(path, f"record {newest.seq} does not match its hash")
    if len(last) < 2 or last[1].seq <= trimmed:
        return
    before = last[1]
    if before.seq != newest.seq - 1:
        raise corrupt(path, f"record {newest.seq - 1} is missing")
    if before.epoch == newest.epoch and newest.prev_hash != before.hash:
        raise corrupt(path, f"record {newest.seq} does not follow from the one before it")
