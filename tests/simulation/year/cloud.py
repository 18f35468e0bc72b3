"""The cloud of the simulation: an `HttpTransport` with a book, a ledger, a memory of all it was told, and faults."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from drivers.ports import HttpResponse
from hw_sim.cloud import passes
from hw_sim.cloud.keys import Keyring
from hw_sim.cloud.ledger import Ledger
from hw_sim.cloud.times import posix
from tests.simulation.year.loop import Timeline

Json = dict[str, Any]
EPOCH_UTC = 1_800_000_000.0
ISSUER = "https://id.example"
PER_ANSWER = 20


@dataclass
class Faults:
    """What is wrong with the cloud or the way to it."""

    down: bool = False
    slow_s: float = 0.0
    lose_answers: float = 0.0  # chance that an answer does not arrive
    twice: float = 0.0  # chance that instructions come again
    reorder: float = 0.0
    nonsense: float = 0.0
    errors: float = 0.0  # chance of a 503


class Cloud:
    """Keeps its own word on everything; the machine's word arrives as events."""

    def __init__(self, line: Timeline, chance: random.Random, machine: str) -> None:
        self.line, self.chance, self.machine = line, chance, machine
        self.keyring = Keyring(chance)
        self.faults = Faults()
        self.book: list[tuple[Json, float]] = []  # instructions, with the time at which they were made
        self.rentals: dict[str, Json] = {}
        self.versions: dict[str, int] = {}
        self.ended: set[str] = set()  # cancelled, purchased or returned elsewhere, by the cloud's own word
        self.generation = 1
        self.covered = 0  # instructions that a snapshot stands for
        self.directory: list[Json] = []
        self.events: dict[tuple[str, int], Json] = {}
        self.order: list[Json] = []  # new events as they came
        self.trouble: list[str] = []  # gaps, conflicts
        self.last: dict[str, int] = {}
        self.ledger = Ledger()
        self.outcomes: dict[str, list[Json]] = {}
        self._news: asyncio.Event | None = None

    def utc(self) -> float:
        return EPOCH_UTC + self.line.t

    # ------------------------------------------------ what the operator and the customers do
    def instruct(self, kind: str, **fields: Any) -> str:
        id_ = f"i-{len(self.book) + 1}"
        self.book.append(({"id": id_, "kind": kind, **fields}, self.line.t))
        self._wake()
        return id_

    def about(self, kind: str, rental: str, **fields: Any) -> str:
        self.versions[rental] = self.versions.get(rental, 0) + 1
        if kind in ("reservation.cancel", "rental.purchased", "rental.returned_elsewhere"):
            self.ended.add(rental)
        return self.instruct(kind, rental=rental, version=self.versions[rental], **fields)

    def reserve(self, rental: Json) -> str:
        self.rentals[rental["id"]] = rental
        self.versions[rental["id"]] = self.versions.get(rental["id"], 0) + 1
        return self.instruct("reservation.put", version=self.versions[rental["id"]], rental=rental)

    def put_assets(self, assets: list[Json]) -> None:
        self.directory = assets
        self.instruct("directory.put", assets=assets)

    def sign(self, rental: Json, *, audience: str | None = None, forged: bool = False) -> str:
        claims = {
            "iss": ISSUER,
            "sub": rental["id"],
            "aud": audience or self.machine,
            "exp": int(posix(rental["window_to"])),
            "nbf": int(posix(rental["window_from"])),
            "iat": int(self.utc()),
            "cti": b"0123456789abcdef",
            "due": int(posix(rental["due"])),
            **{name: rental.get(name) for name in ("asset", "class", "demands", "holder")},
        }
        key = self.keyring.rogue("EdDSA") if forged else self.keyring.current
        return passes.text(passes.sign(claims, key, kid=self.keyring.current.kid))

    def forget_cursor(self) -> None:
        self.generation += 1
        self._wake()

    # ------------------------------------------------ HttpTransport
    async def request(
        self, method: str, path: str, *, headers: Any, body: bytes | None, timeout_s: float
    ) -> HttpResponse:
        chance, faults = self.chance, self.faults
        if faults.down:
            if chance.random() < 0.5:
                await asyncio.sleep(timeout_s)
                raise TimeoutError("no answer")
            await asyncio.sleep(0.01)
            raise ConnectionError("refused")
        delay = 0.02 + 0.1 * chance.random() + faults.slow_s * chance.random()
        if delay > timeout_s:
            await asyncio.sleep(timeout_s)
            raise TimeoutError("no answer in time")
        await asyncio.sleep(delay)
        if chance.random() < faults.errors:
            status = chance.choice([503, 503, 500, 502, 429])
            return HttpResponse(status, {}, json.dumps({"type": "about:blank", "status": status}).encode())
        if method == "GET":
            answer = await self._feed(path)
        else:
            answer = self._events(json.loads(body or b"[]"))
        if faults.down or chance.random() < faults.lose_answers:
            raise ConnectionError("the answer was lost")
        if chance.random() < faults.nonsense:
            return HttpResponse(200, {}, chance.choice([b"<html>hotel</html>", b"{}", b'{"taken_through": "all"}']))
        return answer

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    async def _feed(self, path: str) -> HttpResponse:
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        after, wait = query["after"][0], float(query["wait"][0])
        if after == "":
            self.covered = len(self.book)
            return self._answer(len(self.book), self._snapshot(), snapshot=True)
        until = self.line.t + wait
        while True:
            generation, _, position = after.partition("-")
            if generation != str(self.generation):
                return HttpResponse(410, {}, b'{"type": "about:blank", "title": "Gone", "status": 410}')
            n = int(position)
            if n < len(self.book) or self.line.t >= until:
                break
            self._news = self._news or asyncio.Event()
            news = self._news
            try:
                async with asyncio.timeout(until - self.line.t):
                    await news.wait()
            except TimeoutError:
                pass
        if self.chance.random() < self.faults.twice:
            n = max(0, n - self.chance.randrange(1, 4))
        end = min(len(self.book), n + PER_ANSWER)
        items = [self._rendered(*row) for row in self.book[n:end]]
        if self.chance.random() < self.faults.reorder:
            self.chance.shuffle(items)
        return self._answer(end, items)

    def _rendered(self, body: Json, made: float) -> Json:
        return body | {"age_s": round(self.line.t - made, 3)} if body["kind"].startswith("command.unlock") else body

    def _answer(self, n: int, items: list[Json], *, snapshot: bool = False) -> HttpResponse:
        said = {"cursor": f"{self.generation}-{n}", "instructions": items, "snapshot": snapshot}
        return HttpResponse(200, {}, json.dumps(said).encode())

    def _snapshot(self) -> list[Json]:
        at = f"s{self.generation}-{len(self.book)}"
        out: list[Json] = [{"kind": "keys.put", "keys": self.keyring.jwks()["keys"]}]
        out.append({"kind": "directory.put", "assets": self.directory})
        for id_, rental in self.rentals.items():
            if id_ not in self.ended and id_ not in self.ledger.over():
                out.append({"kind": "reservation.put", "version": self.versions[id_], "rental": rental})
        return [{"id": f"{at}-{k}", **body} for k, body in enumerate(out)]

    def _events(self, batch: list[Json]) -> HttpResponse:
        for event in batch:
            epoch, seq = event["epoch"], event["seq"]
            before = self.events.get((epoch, seq))
            bare = {k: v for k, v in event.items() if k != "recordedtime"}
            if before is not None:
                if before != bare:
                    self.trouble.append(f"record {epoch}/{seq} came again with other contents")
                continue
            last = self.last.get(epoch)
            if last is not None and seq != last + 1:
                self.trouble.append(f"record {seq} of {epoch} came after {last}")
            self.last[epoch] = seq
            self.events[epoch, seq] = bare
            self.order.append(bare)
            kind = event["type"].removeprefix("io.vendingd.")
            self.ledger.hear(self.machine, kind, event)
            if kind == "instruction.outcome":
                self.outcomes.setdefault(event["subject"], []).append(event["data"])
        return HttpResponse(200, {}, json.dumps({"taken_through": batch[-1]["seq"], "refused": []}).encode())
