"""Reading request heads: what is taken, what is turned away, and that nothing else comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vendingd.api.http import MAX_BODY, BadRequest, Head, Response, encode_chunk, parse_head


def head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def test_a_request_is_read() -> None:
    read = parse_head(head("POST /v1/bays/bay%201/unlock?a=1&b=%20 HTTP/1.1", "Host: x", "content-length:  12 "))
    assert (read.method, read.length, read.keep_alive) == ("POST", 12, True)
    assert read.segments == ("v1", "bays", "bay 1", "unlock")
    assert read.parameters == {"a": "1", "b": " "}


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [("1.1", "", True), ("1.1", "Close", False), ("1.0", "", False), ("1.0", "keep-alive", True)],
)
def test_who_keeps_the_connection(version: str, connection: str, stays: bool) -> None:
    extra = [f"Connection: {connection}"] if connection else []
    assert parse_head(head(f"GET / HTTP/{version}", "Host: x", *extra)).keep_alive is stays


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["GET / HTTP/2.0", "Host: x"], 400),
        (["get / HTTP/1.1", "Host: x"], 400),
        (["GET http://x/ HTTP/1.1", "Host: x"], 400),
        (["GET /  HTTP/1.1", "Host: x"], 400),
        (["GET /a\x01 HTTP/1.1", "Host: x"], 400),
        (["GET / HTTP/1.1"], 400),  # no host
        (["GET / HTTP/1.1", "Host: x", "Host: y"], 400),
        (["GET / HTTP/1.1", "Host: x", " folded"], 400),
        (["GET / HTTP/1.1", "Host: x", "Name : value"], 400),
        (["GET / HTTP/1.1", "Host: x", "A: b\x00c"], 400),
        (["POST / HTTP/1.1", "Host: x", "Content-Length: 1", "Content-Length: 2"], 400),
        (["POST / HTTP/1.1", "Host: x", "Content-Length: -1"], 400),
        (["POST / HTTP/1.1", "Host: x", "Content-Length: 0x1"], 400),
        (["POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"], 411),
        (["POST / HTTP/1.1", "Host: x", f"Content-Length: {MAX_BODY + 1}"], 413),
        (["GET /" + "a" * 3000 + " HTTP/1.1", "Host: x"], 414),
        (["GET / HTTP/1.1", "Host: x", *(f"H{n}: x" for n in range(70))], 431),
    ],
)
def test_what_is_turned_away(lines: list[str], status: int) -> None:
    with pytest.raises(BadRequest) as why:
        parse_head(head(*lines))
    assert why.value.status == status


@pytest.mark.parametrize("target", ["/v1/%ff", "/v1/?a=%ff", "/?" + "&".join("a=1" for _ in range(40))])
def test_targets_that_cannot_be_read(target: str) -> None:
    read = parse_head(head(f"GET {target} HTTP/1.1", "Host: x"))
    with pytest.raises(BadRequest):
        _ = (read.segments, read.parameters)


@given(st.binary(max_size=300))
def test_junk_is_a_bad_request_or_a_head(junk: bytes) -> None:
    try:
        assert isinstance(parse_head(junk + b"\r\n\r\n"), Head)
    except BadRequest as why:
        assert 400 <= why.status < 500


@given(st.lists(st.text(st.characters(codec="latin-1"), max_size=30), max_size=6))
def test_any_headers_are_a_bad_request_or_a_head(lines: list[str]) -> None:
    try:
        read = parse_head(head("GET / HTTP/1.1", "Host: x", *lines))
    except BadRequest:
        return
    assert 0 <= read.length <= MAX_BODY


def test_an_answer_as_bytes() -> None:
    said = Response(404, b"{}", "application/problem+json", {"Allow": "GET"}).encode(close=True)
    first, *rest = said.split(b"\r\n")
    assert first == b"HTTP/1.1 404 Not Found"
    assert b"Content-Length: 2" in rest
    assert b"Allow: GET" in rest
    assert b"Connection: close" in rest
    assert said.endswith(b"\r\n\r\n{}")
    assert encode_chunk(b"x" * 20) == b"14\r\n" + b"x" * 20 + b"\r\n"
