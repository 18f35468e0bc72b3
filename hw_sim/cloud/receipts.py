"""Receiving events: every arrival kept in order, duplicates and gaps marked."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any

from hw_sim.cloud.faults import Faults
from hw_sim.cloud.ledger import Ledger

Json = dict[str, Any]
MAX_RECORDS = 500
MAX_BYTES = 512 * 1024
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_EPOCH = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPE = re.compile(r"io\.vendingd\.([a-z0-9_]+(?:\.[a-z0-9_]+)*)")
_MONO = re.compile(r"\d+\.\d{3}")
_REQUIRED = frozenset(
    {"specversion", "id", "source", "type", "time", "datacontenttype", "data", "seq", "epoch", "offline"}
    | {"recordedtime", "timetrusted", "mono"}
)
_KNOWN = _REQUIRED | {"subject", "recordhash"}


class BatchRefused(Exception):
    """The whole batch is refused with this status."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail


@dataclass
class Arrival:
    """One event as it came. `duplicate`: its id was here before; `conflict`: with other contents."""

    n: int
    at: float
    machine: str
    event: Json
    duplicate: bool
    conflict: bool
    refused: bool

    def rendered(self) -> Json:
        return {
            "n": self.n,
            "at": self.at,
            "machine": self.machine,
            "kind": kind_of(self.event),
            "duplicate": self.duplicate,
            "conflict": self.conflict,
            "refused": self.refused,
            "event": self.event,
        }


@dataclass
class Head:
    epoch: str
    seq: int
    hash: str


@dataclass
class Receipts:
    faults: Faults
    arrivals: list[Arrival] = field(default_factory=list)
    by_id: dict[str, Json] = field(default_factory=dict)
    last_seq: dict[tuple[str, str], int] = field(default_factory=dict)  # by machine and epoch
    heads: dict[str, Head] = field(default_factory=dict)
    gaps: list[Json] = field(default_factory=list)
    batches: list[Json] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, machine: str, events: object, size: int) -> Json:
        """One batch; its receipt. Raises BatchRefused."""
        batch = check_batch(machine, events, size)
        self._refuse_batch_fault(batch)
        part = self.faults.use("take_part")
        taken = batch if part is None else batch[: int(part.get("max", 1))]
        refused: list[Json] = []
        for event in taken:
            why = self._refuse_record_fault(event) or self._conflict(event)
            if why is not None:
                refused.append({"seq": event["seq"], "problem": problem(422, "The record is refused", why)})
            self._keep(machine, event, refused=why is not None)
        through = taken[-1]["seq"] if taken else batch[0]["seq"] - 1
        self.batches.append({"machine": machine, "first": batch[0]["seq"], "last": batch[-1]["seq"], "bytes": size})
        self._news.set()
        self._news = asyncio.Event()
        out: Json = {"taken_through": through, "refused": refused}
        head = self.heads.get(machine)
        if head is not None:
            out["head"] = {"epoch": head.epoch, "seq": head.seq, "hash": head.hash}
        return out

    async def wait(self, after: int, timeout_s: float) -> None:
        """Until an arrival after the n-th, or the time is over."""
        end = time.monotonic() + timeout_s
        while len(self.arrivals) <= after and (left := end - time.monotonic()) > 0:
            news = self._news
            try:
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                return

    # ------------------------------------------------ faults
    def _refuse_batch_fault(self, batch: list[Json]) -> None:
        params = self.faults.look("refuse_batch")
        if params is None:
            return
        conditions = [
            "max" in params and len(batch) > params["max"],
            "seq" in params and any(e["seq"] == params["seq"] for e in batch),
            "kind" in params and any(kind_of(e) == params["kind"] for e in batch),
            not params.keys() & {"max", "seq", "kind"},
        ]
        if any(conditions):
            self.faults.use("refuse_batch")
            raise BatchRefused(params["code"], "The batch is refused", "by the fault refuse_batch")

    def _refuse_record_fault(self, event: Json) -> str | None:
        params = self.faults.look("refuse_seq")
        if params is not None and event["seq"] in [params.get("seq"), *params.get("seqs", [])]:
            self.faults.use("refuse_seq")
            return "by the fault refuse_seq"
        params = self.faults.look("refuse_kind")
        if params is not None and kind_of(event) == params.get("kind"):
            self.faults.use("refuse_kind")
            return "by the fault refuse_kind"
        return None

    def _conflict(self, event: Json) -> str | None:
        """A name that was used before, for something else: not to be kept, and not to be dropped in silence either."""
        before = self.by_id.get(event["id"])
        if before is None or _content(before) == _content(event):
            return None
        return f"{event['id']} came before with other contents"

    # ------------------------------------------------ keeping
    def _keep(self, machine: str, event: Json, *, refused: bool) -> None:
        before = self.by_id.get(event["id"])
        same = before is not None and _content(before) == _content(event)
        self.arrivals.append(
            Arrival(
                n=len(self.arrivals) + 1,
                at=time.time(),
                machine=machine,
                event=event,
                duplicate=before is not None,
                conflict=before is not None and not same,
                refused=refused,
            )
        )
        if before is not None:
            return
        self.by_id[event["id"]] = event
        key, seq = (machine, event["epoch"]), event["seq"]
        last = self.last_seq.get(key)
        if last is not None and seq != last + 1:
            self.gaps.append({"machine": machine, "epoch": event["epoch"], "after": last, "got": seq})
        self.last_seq[key] = max(seq, last or 0)
        if "recordhash" in event:
            self.heads[machine] = Head(event["epoch"], seq, event["recordhash"])
        if not refused:
            self.ledger.hear(machine, kind_of(event), event)


def kind_of(event: Json) -> str:
    return str(event["type"]).removeprefix("io.vendingd.")


def _content(event: Json) -> Json:
    return {k: v for k, v in event.items() if k != "recordedtime"}


def problem(status: int, title: str, detail: str = "") -> Json:
    """RFC 9457."""
    name = title.lower().replace(" ", "-")
    out: Json = {"type": f"https://vendingd.example/problems/{name}", "title": title, "status": status}
    return out | ({"detail": detail} if detail else {})


def check_batch(machine: str, events: object, size: int) -> list[Json]:
    """The batch as the contract wants it. Raises BatchRefused."""
    if not isinstance(events, list) or not events:
        raise BatchRefused(422, "No batch of events", "an array with at least one event is expected")
    if len(events) > MAX_RECORDS or (size > MAX_BYTES and len(events) > 1):
        raise BatchRefused(413, "The batch is too long", f"at most {MAX_RECORDS} events, {MAX_BYTES} bytes")
    last = 0
    for n, event in enumerate(events):
        why = _wrong(machine, event)
        if why is not None:
            raise BatchRefused(422, "An event is not valid", f"event {n}: {why}")
        if event["seq"] <= last:
            raise BatchRefused(422, "An event is not valid", f"event {n}: seq does not rise")
        last = event["seq"]
    return events


def _wrong(machine: str, event: object) -> str | None:
    if not isinstance(event, dict):
        return "no object"
    unknown = sorted(set(event) - _KNOWN)
    if unknown:
        return f"{unknown[0]} is not known"
    wanted = {
        "specversion": event.get("specversion") == "1.0",
        "source": event.get("source") == f"/machines/{machine}",
        "type": _matches(_TYPE, event.get("type")),
        "time": _matches(_TIME, event.get("time")),
        "recordedtime": _matches(_TIME, event.get("recordedtime")),
        "datacontenttype": event.get("datacontenttype") == "application/json",
        "data": isinstance(event.get("data"), dict),
        "seq": type(event.get("seq")) is int and 1 <= event["seq"] < 2**31,
        "epoch": _matches(_EPOCH, event.get("epoch")),
        "offline": isinstance(event.get("offline"), bool),
        "timetrusted": isinstance(event.get("timetrusted"), bool),
        "mono": _matches(_MONO, event.get("mono")),
        "subject": isinstance(event.get("subject", "-"), str) and bool(event.get("subject", "-")),
        "id": event.get("id") == f"{machine}/{event.get('epoch')}/{event.get('seq')}",
        "recordhash": _matches(re.compile("[0-9a-f]{64}"), event.get("recordhash", "0" * 64)),
    }
    return next((f"{name} is not valid" for name, right in wanted.items() if not right), None)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
