"""HTTP/1.1 (RFC 9112) as far as a local API needs it, sans-IO: bytes in, a `Head` out; a `Response` in, bytes out.

Strict where leniency has hurt others: one Content-Length, no folded headers, no transfer codings in requests. The
daemon starts without an HTTP framework on purpose: importing one costs a good part of the second that a start may
take (figures in docs/local-api.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

MAX_HEAD = 16 * 1024  # bytes of request line and headers
MAX_HEADERS = 64
MAX_TARGET = 2048
MAX_BODY = 64 * 1024  # the largest true request is a QR code's text, about 4 KiB

_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/(1\.[01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,12}")


class BadRequest(Exception):
    """Not to be answered but with this status; the connection ends, because what follows cannot be told apart."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers, names in lower case. `path` is still percent-encoded."""

    method: str
    path: str
    query: str
    version: str
    headers: Mapping[str, str]
    length: int  # of the body, bytes

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts, decoded. Raises BadRequest."""
        try:
            return tuple(unquote(part, errors="strict") for part in self.path.strip("/").split("/"))
        except UnicodeDecodeError:
            raise BadRequest(400, "the path is not UTF-8") from None

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters; of a doubled one the last counts. Raises BadRequest."""
        try:
            return dict(parse_qsl(self.query, keep_blank_values=True, max_num_fields=16, errors="strict"))
        except ValueError:
            raise BadRequest(400, "the query cannot be read") from None

    @property
    def keep_alive(self) -> bool:
        said = {word.strip().lower() for word in self.headers.get("connection", "").split(",")}
        return "close" not in said if self.version == "1.1" else "keep-alive" in said


def parse_head(data: bytes) -> Head:
    """A head with the empty line that ends it. Raises BadRequest."""
    lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    found = _LINE.fullmatch(lines[0])
    if found is None:
        raise BadRequest(400, "this socket speaks HTTP/1.1; the request line is not of that form")
    method, target, version = (part.decode("ascii") for part in found.groups())
    if len(target) > MAX_TARGET:
        raise BadRequest(414, f"the target is over {MAX_TARGET} bytes")
    headers = _headers(lines[1:])
    path, _, query = target.partition("?")
    if version == "1.1" and "host" not in headers:
        raise BadRequest(400, "HTTP/1.1 wants a Host header; any will do, such as `Host: vendingd`")
    return Head(method, path, query, version, headers, _length(headers))


def _headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise BadRequest(431, f"more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadRequest(400, "a header is not of the form `Name: value`")
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1")
        if name in headers:
            if name in ("content-length", "host", "transfer-encoding"):
                raise BadRequest(400, f"{name} is there twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadRequest(411, "transfer codings are not taken in requests: send Content-Length")
    said = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(said):
        raise BadRequest(400, "Content-Length is no number")
    if int(said) > MAX_BODY:
        raise BadRequest(413, f"the body is over {MAX_BODY} bytes")
    return int(said)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. `body` is JSON."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, close: bool) -> bytes:
        extra = {"Content-Length": str(len(self.body)), **self.headers}
        return encode_head(self.status, self.content_type, extra, close=close) + self.body


def encode_head(status: int, content_type: str, headers: Mapping[str, str], *, close: bool) -> bytes:
    """Status line and headers. What is served is never kept by anybody on the way."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Connection: {'close' if close else 'keep-alive'}",
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; b"" is its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)
