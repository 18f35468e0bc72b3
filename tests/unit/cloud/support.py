"""A clock that moves when everybody sleeps, a cloud by hand, and an outbox in memory."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from drivers.ports import HttpResponse
from vendingd.cloud.events import OutRecord
from vendingd.cloud.uplink import Refused


class ManualClock:
    """Time that only `advance` moves, firing the sleepers on the way in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._n = itertools.count()

    def monotonic(self) -> float:
        return self.now

    def utc_now(self) -> float:
        return 1_900_000_000.0 + self.now

    async def sleep_until(self, deadline_mono: float) -> None:
        if deadline_mono > self.now:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (deadline_mono, next(self._n), future))
            await future

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            if not future.done():
                future.set_result(None)
            await settle()
        self.now = end


class Half:
    def random(self) -> float:
        return 0.5


async def settle() -> None:
    """Let everything run that can run without time."""
    for _ in range(400):
        await asyncio.sleep(0)


Answer = HttpResponse | Exception
Server = Callable[[str, str, bytes | None], Awaitable[Answer]]


class ScriptedTransport:
    """The transport's seam: `server(method, path, body)` answers or is silent until the time-out."""

    def __init__(self, clock: ManualClock, server: Server) -> None:
        self._clock = clock
        self.server = server
        self.requests: list[tuple[str, str, bytes | None, float]] = []

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpResponse:
        self.requests.append((method, path, body, timeout_s))
        answer = asyncio.ensure_future(self.server(method, path, body))
        limit = asyncio.ensure_future(self._clock.sleep_until(self._clock.now + timeout_s))
        try:
            await asyncio.wait((answer, limit), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            result = answer.result()
        finally:
            answer.cancel()
            limit.cancel()
            await asyncio.gather(answer, limit, return_exceptions=True)
        if isinstance(result, Exception):
            raise result
        return result


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(status, headers or {}, msgspec.json.encode(value))


class MemoryOutbox:
    def __init__(self, count: int = 0) -> None:
        self.records = [record(n) for n in range(1, count + 1)]
        self.through = 0
        self.refused: list[Refused] = []

    async def read(self, after: int, limit: int) -> list[OutRecord]:
        return [r for r in self.records if r.seq > after][:limit]

    async def acked(self, through: int, refused: Sequence[Refused]) -> None:
        self.through = through
        self.refused += refused


def record(seq: int, data: bytes = b'{"state":"ready"}', kind: str = "rental.ready") -> OutRecord:
    return OutRecord(seq, "e1", kind, "r-1", data, 1_900_000_000.0, 12.5, True, False)
