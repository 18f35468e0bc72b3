"""From records of the journal to a batch of CloudEvents 1.0 in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

CONTENT_TYPE = "application/cloudevents-batch+json"
MAX_RECORDS = 500
MAX_BYTES = 512 * 1024
TYPE_PREFIX = "io.vendingd."


@dataclass(frozen=True, slots=True)
class OutRecord:
    """A record of the journal on its way out. `data` is a JSON object, as text or as a mapping."""

    seq: int
    epoch: str
    kind: str
    subject: str
    data: bytes | Mapping[str, Any]
    utc: float
    mono: float
    utc_trusted: bool
    offline: bool
    hash: str = ""  # lower-case hex of the journal's chain after this record; "" where it is not sent


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent in one request; `bad` is why the record after these cannot be written at all."""

    records: Sequence[OutRecord]
    body: bytes
    bad: str = ""


class CloudEvent(msgspec.Struct):
    """The envelope, members in the order in which they are written."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | msgspec.UnsetType
    time: str
    datacontenttype: str
    data: msgspec.Raw | Mapping[str, Any]
    seq: int
    epoch: str
    offline: bool
    recordedtime: str
    timetrusted: bool
    mono: str
    recordhash: str | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def rfc3339(utc: float) -> str:
    """POSIX seconds as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(utc, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def encode(record: OutRecord, machine: str, recorded: str) -> bytes:
    """One event. Raises ValueError for a record that cannot be written (its row is damaged)."""
    data = record.data
    try:
        if isinstance(data, bytes):
            _object.decode(data)  # it is put in as it stands, so it has to be an object
        event = CloudEvent(
            specversion="1.0",
            id=f"{machine}/{record.epoch}/{record.seq}",
            source=f"/machines/{machine}",
            type=TYPE_PREFIX + record.kind,
            subject=record.subject or msgspec.UNSET,
            time=rfc3339(record.utc),
            datacontenttype="application/json",
            data=msgspec.Raw(data) if isinstance(data, bytes) else data,
            seq=record.seq,
            epoch=record.epoch,
            offline=record.offline,
            recordedtime=recorded,
            timetrusted=record.utc_trusted,
            mono=f"{record.mono:.3f}",
            recordhash=record.hash or msgspec.UNSET,
        )
        return _encode(event)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise ValueError(f"record {record.seq} cannot be written: {type(error).__name__}") from error


def pack(records: Sequence[OutRecord], machine: str, now_utc: float, max_bytes: int = MAX_BYTES) -> Batch:
    """As many of the first records as fit; a longer one goes alone. Empty only when the first one is bad."""
    recorded = rfc3339(now_utc)
    parts: list[bytes] = []
    size = 2
    for record in records:
        try:
            part = encode(record, machine, recorded)
        except ValueError as error:
            return Batch(records[: len(parts)], _joined(parts), str(error))
        if parts and size + len(part) + 1 > max_bytes:
            break
        parts.append(part)
        size += len(part) + 1
    return Batch(records[: len(parts)], _joined(parts))


def _joined(parts: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"
