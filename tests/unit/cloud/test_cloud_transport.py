"""The transport over real sockets: what it refuses, and how each kind of silence is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from vendingd.cloud.transport import AiohttpTransport, CloudConfigError, NoAnswer, checked_url

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads requests by hand and answers with the bytes that a test wants."""

    def __init__(self, handler: Handler) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self._handler = handler
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self._handler(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(handler: Handler, **options: int) -> AsyncIterator[tuple[Server, AiohttpTransport]]:
    server = Server(handler)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport = AiohttpTransport(f"http://127.0.0.1:{port}/base/", **options)
    try:
        yield server, transport
    finally:
        await transport.close()
        listening.close()
        await listening.wait_closed()


def answers(text: bytes) -> Handler:
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    return handler


async def get(transport: AiohttpTransport, path: str = "/x", timeout_s: float = 20.0) -> tuple[int, bytes]:
    answer = await transport.request("GET", path, headers={"X-A": "1"}, body=None, timeout_s=timeout_s)
    return answer.status, answer.body


async def test_connections_are_reused_and_paths_go_as_written() -> None:
    async with serving(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as (server, transport):
        assert await get(transport, "/v1/a%2Fb/feed?after=c%261&wait=0") == (200, b"hi")
        assert await get(transport) == (200, b"hi")
        assert server.connections == 1
        assert server.heads[0].startswith(b"GET /base/v1/a%2Fb/feed?after=c%261&wait=0 HTTP/1.1\r\n")
        assert b"x-a: 1\r\n" in server.heads[0].lower()
        assert b"accept-encoding: identity\r\n" in server.heads[0].lower()


async def test_redirects_are_answers() -> None:
    text = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with serving(answers(text)) as (server, transport):
        assert await get(transport) == (307, b"")
        assert len(server.heads) == 1


async def test_an_endless_answer_is_cut_off() -> None:
    async def endless(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    async with serving(endless, max_answer_bytes=100_000) as (_, transport):
        with pytest.raises(NoAnswer, match="longer than 100000 bytes"):
            await get(transport)


async def test_a_compressed_answer_is_not_blown_up() -> None:
    import zlib

    packed = zlib.compress(b"x" * 1000)
    text = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(answers(text + packed)) as (_, transport):
        assert await get(transport) == (200, packed)


async def test_silence_is_a_time_out() -> None:
    async with serving(answers(b"")) as (_, transport):
        with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
            await get(transport, timeout_s=0.05)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",  # cut off
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"",
    ],
)
async def test_half_an_answer_is_none(text: bytes) -> None:
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    async with serving(handler) as (_, transport):
        with pytest.raises(NoAnswer):
            await get(transport)


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        transport = AiohttpTransport(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(NoAnswer):
            await get(transport)
        await transport.close()
        await transport.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost/", "http://[::1]:8", "http://127.9.9.9", "https://a.example"]
)
def test_usable_addresses(url: str) -> None:
    assert checked_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://cloud.example", "plain http is for loopback only, not for cloud.example"),
        ("http://10.0.0.1", "plain http is for loopback only"),
        ("http://localhost.example", "plain http is for loopback only"),
        ("http://127.0.0.1.example", "plain http is for loopback only"),
        ("ftp://127.0.0.1", "must begin with https://"),
        ("cloud.example", "must begin with https://"),
        ("https://", "must begin with https://"),
        ("https://me:secret@cloud.example", "no query, fragment or password"),
        ("https://cloud.example?x=1", "no query, fragment or password"),
        ("https://cloud.example:port", "cannot be read"),
    ],
)
def test_addresses_that_are_refused_say_why(url: str, why: str) -> None:
    with pytest.raises(CloudConfigError, match=why) as caught:
        AiohttpTransport(url)
    assert "secret" not in str(caught.value)


def test_certificates_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    cases = [
        ({}, "wants certificate and key"),
        ({"certificate": junk}, "wants certificate and key"),
        ({"certificate": junk, "key": tmp_path / "none.key"}, "key: there is no file"),
        ({"certificate": junk, "key": junk}, "cannot be used"),
        ({"certificate": junk, "key": junk, "ca": junk}, "ca: .* cannot be used"),
    ]
    for files, why in cases:
        with pytest.raises(CloudConfigError, match=why):
            AiohttpTransport("https://cloud.example", **files)
    with pytest.raises(CloudConfigError, match="url is plain http"):
        AiohttpTransport("http://127.0.0.1", certificate=junk, key=junk)
