"""The machine-facing server: feed and events, with the faults in front."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

from aiohttp import web

from hw_sim.cloud.book import PER_ANSWER, Book
from hw_sim.cloud.faults import Faults
from hw_sim.cloud.receipts import MAX_BYTES, BatchRefused, Receipts, problem

Json = dict[str, Any]
HOST = "127.0.0.1"
_DUPLICATED_MOST = PER_ANSWER // 3  # twice now and once more in the next answer


class PublicServer:
    """Owns the listening socket; `down` really closes it."""

    def __init__(
        self, book: Book, receipts: Receipts, faults: Faults, tls: ssl.SSLContext | None, machine: str | None
    ) -> None:
        self._book, self._receipts, self._faults = book, receipts, faults
        self._tls, self._machine = tls, machine
        self.machines: dict[str, Json] = {}  # seen, with their last cursor
        self.delivered: dict[str, None] = {}  # ids of instructions that were sent out, in order
        self._again: dict[str, list[Json]] = {}
        app = web.Application(client_max_size=16 * MAX_BYTES)
        app.router.add_get("/v1/machines/{machine}/feed", self._feed)
        app.router.add_post("/v1/machines/{machine}/events", self._events)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        self._site: web.TCPSite | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://{HOST}:{self.port}"

    async def start(self, port: int) -> None:
        await self._runner.setup()
        self.port = port
        await self.listen()

    async def listen(self) -> None:
        """Open the port, always the same one. Does nothing when it is open."""
        if self._site is None:
            site = web.TCPSite(self._runner, HOST, self.port, ssl_context=self._tls, reuse_address=True)
            await site.start()
            self._site, self.port = site, site.port

    async def down(self) -> None:
        """Close the port and break every connection."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        server = self._runner.server
        for connection in list(server.connections) if server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        await self._runner.cleanup()

    # ------------------------------------------------ the two endpoints
    async def _feed(self, request: web.Request) -> web.StreamResponse:
        machine = request.match_info["machine"]
        answer = await self._before(request, machine, "feed")
        if answer is None:
            answer = await self._feed_answer(request, machine)
        return await self._after(request, "feed", answer)

    async def _feed_answer(self, request: web.Request, machine: str) -> web.Response:
        after, wait = request.query.get("after"), request.query.get("wait", "")
        if after is None or not wait.isascii() or not wait.isdigit() or int(wait) > 60:
            return _problem(400, "after and wait are expected")
        self.machines[machine] = {"cursor": after}
        if after == "":
            cursor = self._book.cursor(len(self._book.log))
            items = self._book.snapshot(machine, self._receipts.ledger.over())
            return self._instructions(cursor, items, snapshot=True)
        n = self._book.read_cursor(after)
        if n is None:
            return _problem(410, "The cursor is not known any more")
        await self._book.wait(n, machine, int(wait))
        if self._book.read_cursor(after) is None:
            return _problem(410, "The cursor is not known any more")
        twice = self._faults.is_on("duplicate_delivery")
        items, n = self._book.after(n, machine, _DUPLICATED_MOST if twice else PER_ANSWER)
        if items and twice and self._faults.use("duplicate_delivery") is not None:
            new, items = items, self._again.pop(machine, []) + [i for i in items for _ in range(2)]
            self._again[machine] = new
        if items and self._faults.use("reorder") is not None:
            items.reverse()
        return self._instructions(self._book.cursor(n), items, snapshot=False)

    def _instructions(self, cursor: str, items: list[Json], *, snapshot: bool) -> web.Response:
        self.delivered.update(dict.fromkeys(str(item["id"]) for item in items if "id" in item))
        return _json({"cursor": cursor, "instructions": items, "snapshot": snapshot})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        machine = request.match_info["machine"]
        answer = await self._before(request, machine, "events")
        if answer is None:
            answer = self._events_answer(machine, request.content_type, await request.read())
        return await self._after(request, "events", answer)

    def _events_answer(self, machine: str, content_type: str, body: bytes) -> web.Response:
        self.machines.setdefault(machine, {})
        if content_type != "application/cloudevents-batch+json":
            return _problem(415, "application/cloudevents-batch+json is expected")
        try:
            events = json.loads(body)
        except (ValueError, RecursionError):
            return _problem(422, "The body is no JSON")
        try:
            return _json(self._receipts.take(machine, events, len(body)))
        except BatchRefused as refusal:
            return _problem(refusal.status, refusal.title, refusal.detail)

    # ------------------------------------------------ faults in front and behind
    async def _before(self, request: web.Request, machine: str, path: str) -> web.Response | None:
        if self._faults.is_on("hang", path):
            await request.read()
            await self._faults.until_off("hang", path)
            _break(request)
        if self._tls is not None and self._machine is not None and _common_name(request) != machine:
            return _problem(403, "The certificate is of another machine")
        status = self._faults.use("status", path)
        if status is None:
            return None
        answer = _problem(status["code"], "As the fault says")
        if "retry_after" in status:
            answer.headers["Retry-After"] = str(status["retry_after"])
        return answer

    async def _after(self, request: web.Request, path: str, answer: web.Response) -> web.StreamResponse:
        slow = self._faults.use("slow", path)
        if slow is not None:
            await asyncio.sleep(slow.get("ms", 1000) / 1000)
        if answer.status == 200:
            nonsense = self._faults.use("nonsense", path)
            if nonsense is not None:
                return _nonsense(nonsense.get("what", "text"), answer, path)
            if self._faults.use("lose_answer", path) is not None:
                _break(request)
        return answer


def _break(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _common_name(request: web.Request) -> str | None:
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    for part in (certificate or {}).get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None


def _json(value: Json) -> web.Response:
    return web.json_response(value)


def _problem(status: int, title: str, detail: str = "") -> web.Response:
    return web.json_response(problem(status, title, detail), status=status, content_type="application/problem+json")


def _nonsense(what: str, answer: web.Response, path: str) -> web.Response:
    if what == "text":
        return web.Response(text="<html>Welcome to the hotel's network</html>", content_type="text/html")
    if what == "types":
        return _json({"cursor": 7, "instructions": "none", "taken_through": "all"})
    if what == "huge":
        return web.Response(body=b" " * (16 * 1024 * 1024), content_type="application/json")
    body: Json = json.loads(answer.body) if isinstance(answer.body, bytes) else {}
    if path == "events":
        if what == "ack_beyond":
            body["taken_through"] += 1000
        elif what == "ack_back":
            body["taken_through"] = 0
        elif what == "ack_refuses_other":
            body["refused"] = [{"seq": body["taken_through"] + 7, "problem": problem(422, "Refused")}]
    return _json(body)
