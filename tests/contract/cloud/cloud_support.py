"""The simulated cloud as a process, a client of ours at real speed, and the contract as a judge of both."""

import asyncio
import functools
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from drivers.ports import HttpResponse
from vendingd.cloud.client import CloudClient
from vendingd.cloud.events import OutRecord
from vendingd.cloud.instructions import Instruction
from vendingd.cloud.status import CloudStatus
from vendingd.cloud.transport import AiohttpTransport
from vendingd.cloud.uplink import Refused

ROOT = Path(__file__).resolve().parents[3]
API: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "cloud-api.yaml").read_text())
_REGISTRY: Any = Registry().with_resource(
    "urn:api", Resource.from_contents({"$schema": "https://json-schema.org/draft/2020-12/schema", **API})
)


def errors(pointer: str, value: object) -> list[str]:
    """What the schema at a JSON pointer of the contract says against a value."""
    return [f"{e.json_path}: {e.message[:200]}" for e in _validator(pointer).iter_errors(value)]


@functools.cache
def _validator(pointer: str) -> Any:
    ref = {"$ref": f"urn:api#{pointer}"}
    return Draft202012Validator(ref, registry=_REGISTRY, format_checker=FormatChecker())


def schema(name: str) -> str:
    return f"/components/schemas/{name}"


@dataclass
class Exchange:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    answer: HttpResponse | None

    def complaints(self) -> list[str]:
        """Where the request or its answer is not as the contract says."""
        url = urlsplit(self.path)
        *_, machine, last = url.path.split("/")
        out = errors(schema("Id"), machine)
        operation = API["paths"][f"/v1/machines/{{machine}}/{last}"][self.method.lower()]
        if self.method == "GET":
            query = parse_qs(url.query, keep_blank_values=True)
            given = {"after": query["after"][0], "wait": int(query["wait"][0])}
            for parameter in operation["parameters"]:
                own = Draft202012Validator(parameter["schema"])
                out += [e.message for e in own.iter_errors(given.pop(parameter["name"]))]
            out += [f"query {name} is not in the contract" for name in given]
        else:
            (content_type, _), *rest = operation["requestBody"]["content"].items()
            assert not rest
            if self.headers.get("Content-Type") != content_type:
                out.append(f"request of type {self.headers.get('Content-Type')}")
            out += errors(schema("Batch"), json.loads(self.body or b""))
        if self.answer is None:
            return out
        is_json = self.answer.headers.get("Content-Type", "").partition(";")[0]
        if self.answer.status == 200:
            wanted, name = "application/json", "Feed" if last == "feed" else "Receipt"
        else:
            wanted, name = "application/problem+json", "Problem"
        if is_json != wanted:
            out.append(f"{self.answer.status} of type {is_json}")
        return out + errors(schema(name), json.loads(self.answer.body))


class RecordingTransport:
    """The real transport, its exchanges kept."""

    def __init__(self, inner: AiohttpTransport) -> None:
        self.inner = inner
        self.exchanges: list[Exchange] = []

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpResponse:
        exchange = Exchange(method, path, headers, body, None)
        self.exchanges.append(exchange)
        exchange.answer = await self.inner.request(method, path, headers=headers, body=body, timeout_s=timeout_s)
        return exchange.answer


class RealClock:
    monotonic = staticmethod(time.monotonic)
    utc_now = staticmethod(time.time)

    async def sleep_until(self, deadline_mono: float) -> None:
        await asyncio.sleep(max(0.0, deadline_mono - time.monotonic()))


@dataclass
class Machine:
    """A machine's end: the client with an outbox and a mailbox in memory."""

    name: str
    transport: RecordingTransport
    records: list[OutRecord] = field(default_factory=list)
    through: int = 0
    refused: list[Refused] = field(default_factory=list)
    delivered: list[tuple[str, list[Instruction], bool]] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)
    statuses: list[CloudStatus] = field(default_factory=list)
    client: CloudClient | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, after: int, limit: int) -> list[OutRecord]:
        return [r for r in self.records if r.seq > after][:limit]

    async def acked(self, through: int, refused: Sequence[Refused]) -> None:
        self.through = through
        self.refused += refused
        self.changed.set()

    async def deliver(self, cursor: str, instructions: Sequence[Instruction], snapshot: bool) -> None:
        self.delivered.append((cursor, list(instructions), snapshot))
        self.changed.set()

    def on_status(self, status: CloudStatus) -> None:
        self.statuses.append(status)
        self.changed.set()

    def alarm(self, name: str, detail: str) -> None:
        self.alarms.append((name, detail))
        self.changed.set()

    @property
    def instructions(self) -> list[Instruction]:
        return [i for _, some, _ in self.delivered for i in some]

    def happened(self, kind: str, subject: str, **data: Any) -> None:
        seq = len(self.records) + 1
        offline = not (self.client is not None and self.client.status.online)
        self.records.append(
            OutRecord(
                seq,
                "e1",
                kind,
                subject,
                json.dumps(data).encode(),
                time.time(),
                time.monotonic(),
                True,
                offline,
                f"{seq:064x}",
            )
        )
        if self.client is not None:
            self.client.committed(seq)

    async def until(self, holds: Any) -> None:
        """Wait until `holds()`; a test that waits for ever fails by its time-out."""
        async with asyncio.timeout(30):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Cloud:
    url: str
    run_dir: Path
    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.session.get(f"http://cloud{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, body: object, status: int = 200) -> Any:
        async with self.session.post(f"http://cloud{path}", json=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def act(self, do: str, **args: Any) -> Any:
        return await self.post("/act", {"do": do, **args})

    async def fault(self, name: str, **params: Any) -> Any:
        return await self.post("/faults", {"name": name, **params})

    async def events(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Arrivals of a kind, once there are so many."""
        async with asyncio.timeout(30):
            while True:
                said = await self.get("/events")
                found = [a for a in said["events"] if a["kind"] == kind]
                if len(found) >= count:
                    return found
                await self.get(f"/events?after={said['through']}&wait=5")


@asynccontextmanager
async def simulated_cloud(run_dir: Path, *args: str, seed: int = 7) -> AsyncIterator[Cloud]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "hw_sim.cloud", "--run-dir", str(run_dir), "--seed", str(seed)),
        *args,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        ready, url, said_seed = (await process.stdout.readline()).decode().split()
        assert (ready, said_seed) == ("ready", f"seed={seed}")
        connector = aiohttp.UnixConnector(str(run_dir / "cloud.sock"))
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Cloud(url, run_dir, process, session)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def connected(cloud: Cloud, name: str = "tower-01", **tls: Any) -> AsyncIterator[Machine]:
    """A machine whose every exchange is held against the contract at the end, faults' nonsense excepted."""
    transport = AiohttpTransport(cloud.url, **tls)
    machine = Machine(name, RecordingTransport(transport))
    machine.client = CloudClient(
        machine=name,
        transport=machine.transport,
        outbox=machine,
        deliver=machine.deliver,
        clock=RealClock(),
        random=random.Random(1),
        on_status=machine.on_status,
        alarm=machine.alarm,
        poll_wait_s=2,
    )
    task = asyncio.ensure_future(machine.client.run())
    try:
        yield machine
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await transport.close()
