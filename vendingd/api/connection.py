"""One connection: requests one after the other, each within its time and size; nothing that a peer sends hurts."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, field

from vendingd.api import routes
from vendingd.api.calls import Call, Download, Stream, encoded
from vendingd.api.http import MAX_HEAD, BadRequest, Head, Response, encode_chunk, encode_head, parse_head
from vendingd.api.peers import Access, Doorkeeper, Peer
from vendingd.api.ports import Machine
from vendingd.api.problems import Problem

_log = logging.getLogger(__name__)
SEE = "docs/local-api.md says what this socket takes."


@dataclass(frozen=True, slots=True)
class Limits:
    connections: int = 64
    of_one_user: int = 16
    buffer: int = MAX_HEAD
    head_s: float = 10.0  # for a whole request's head, from the connection or the answer before
    idle_s: float = 60.0  # until the next request begins
    body_s: float = 10.0
    write_s: float = 10.0  # for a reader to take what was sent
    linger_s: float = 2.0  # for a peer to end after an error, so that it can read our answer
    linger_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections share."""

    machine: Machine
    doorkeeper: Doorkeeper
    limits: Limits
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)  # one walk over the journal at a time


class Connection:
    def __init__(
        self, service: Service, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._service = service
        self._peer = peer
        self._reader = reader
        self._writer = writer
        self._limits = service.limits

    async def serve(self) -> None:
        """Until the peer ends, or misbehaves. Raises ConnectionError where it broke off."""
        while True:
            try:
                head = await self._head()
                if head is None:
                    return
                body = await self._body(head)
            except BadRequest as bad:
                await self.refuse(Problem(bad.status, "bad_request", bad.detail, SEE))
                return
            if not await self._answer(head, body):
                return

    # ------------------------------------------------ in
    async def _head(self) -> Head | None:
        """None where the peer has ended, or has nothing to say."""
        try:
            async with asyncio.timeout(self._limits.idle_s):
                first = await self._reader.read(1)
        except TimeoutError:
            return None
        if not first:
            return None
        try:
            async with asyncio.timeout(self._limits.head_s):
                return parse_head(first + await self._reader.readuntil(b"\r\n\r\n"))
        except TimeoutError:
            raise BadRequest(408, f"the request was not whole within {self._limits.head_s:g} s") from None
        except asyncio.LimitOverrunError:
            raise BadRequest(431, f"the headers are over {MAX_HEAD} bytes, or this is no HTTP") from None
        except asyncio.IncompleteReadError:
            raise BadRequest(400, "the request ended in its midst") from None

    async def _body(self, head: Head) -> bytes:
        if head.length == 0:
            return b""
        if head.headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(self._limits.body_s):
                return await self._reader.readexactly(head.length)
        except TimeoutError:
            raise BadRequest(408, f"the body was not whole within {self._limits.body_s:g} s") from None
        except asyncio.IncompleteReadError:
            raise BadRequest(400, "the body ended in its midst") from None

    # ------------------------------------------------ out
    async def _answer(self, head: Head, body: bytes) -> bool:
        """Whether another request may follow."""
        try:
            said = await self._handle(head, body)
        except Problem as problem:
            said = problem.response()
        except BadRequest as bad:
            said = Problem(bad.status, "bad_request", bad.detail, SEE).response()
        except Exception:  # noqa: BLE001
            # A defect of one view must not end the machine: nothing was changed by it, and the caller is told.
            _log.exception("%s %s failed", head.method, head.path)
            said = Problem(500, "defect", "the request failed", "Look into the daemon's log and report it.").response()
        if isinstance(said, Stream):
            await self._stream(head, said)
            return False
        if isinstance(said, Download):
            await self._download(said)
            return False
        await self._send(said.encode(close=not head.keep_alive))
        return head.keep_alive

    async def _handle(self, head: Head, body: bytes) -> Response | Stream | Download:
        if self._peer.access is Access.NOBODY:
            raise self._stranger()
        route, variables = routes.find(head.method, head.segments)
        if self._peer.access < route.access:
            raise Problem(
                403,
                "forbidden",
                f"{self._peer.name} is a screen here, and may only use /v1/terminals",
                f"Technicians are members of group {self._service.doorkeeper.technicians!r}.",
            )
        service = self._service
        return await route.handler(Call(service.machine, service.verifying, self._who(head), head, variables, body))

    def _stranger(self) -> Problem:
        group = self._service.doorkeeper.technicians
        advice = (
            f"`sudo usermod -aG {group} {self._peer.name}`, log in anew, and try again; or use sudo."
            if group
            else "Use sudo: the site file names no group of technicians ([api] group)."
        )
        return Problem(403, "forbidden", f"{self._peer.name} is not in group {group!r}", advice)

    def _who(self, head: Head) -> str:
        """The name that is journalled. Only root may speak for somebody else."""
        other = head.headers.get("x-vendingd-as")
        if other is None or other == self._peer.name:
            return self._peer.name
        if not self._peer.root:
            raise Problem(403, "forbidden", "only root may act as somebody else", "Leave --as out, or use sudo.")
        other = other.strip()  # whatever a header kept of blanks is no name
        if not (other and other.isprintable() and other.isascii() and len(other) <= 64):
            raise Problem(422, "unprocessable", "the name to act as", "Give a name of up to 64 plain characters.")
        return other

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._limits.write_s):
                await self._writer.drain()
        except TimeoutError:
            raise ConnectionAbortedError("the peer does not read") from None

    async def _flush(self) -> None:
        """Wait until all has left, as far as the peer reads."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        try:
            async with asyncio.timeout(self._limits.linger_s):
                taken = 0
                while taken < self._limits.linger_bytes and (data := await self._reader.read(65536)):
                    taken += len(data)
        except TimeoutError:
            _log.debug("a peer did not end its connection")

    async def refuse(self, problem: Problem) -> None:
        """Told, and then listened to a little: closing on unread bytes would throw our answer away."""
        await self._send(problem.response().encode(close=True))
        await self._flush()

    # ------------------------------------------------ streams
    async def _stream(self, head: Head, stream: Stream) -> None:
        """Until the peer ends or the server stops. NDJSON, or server-sent events to who accepts those."""
        events = "text/event-stream" in head.headers.get("accept", "")
        kind = "text/event-stream" if events else "application/x-ndjson"
        chunked = head.version == "1.1"
        await self._send(encode_head(200, kind, {"Transfer-Encoding": "chunked"} if chunked else {}, close=True))
        # A peer that ends, or says anything more, has had enough.
        gone = asyncio.ensure_future(self._reader.read(1))
        pump = asyncio.ensure_future(self._pump(stream, events=events, chunked=chunked))
        try:
            await asyncio.wait((gone, pump), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            pump.cancel()
            results = await asyncio.gather(gone, pump, return_exceptions=True)
        why = results[1]
        if isinstance(why, Exception) and not isinstance(why, ConnectionError):
            raise why

    async def _download(self, said: Download) -> None:
        """Whole, or broken off before its length: the peer can tell."""
        try:
            await self._send(encode_head(200, said.content_type, {"Content-Length": str(said.size)}, close=True))
            while part := await said.read():
                await self._send(part)
        finally:
            await said.close()

    async def _pump(self, stream: Stream, *, events: bool, chunked: bool) -> None:
        async with aclosing(stream.open()) as items:
            async for item in items:
                line = encoded(item)
                data = b"event: %s\ndata: %s\n\n" % (item["type"].encode(), line) if events else line + b"\n"
                await self._send(encode_chunk(data) if chunked else data)
