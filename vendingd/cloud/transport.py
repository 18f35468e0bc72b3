"""HTTP to the cloud by aiohttp: mutual TLS, reuse of connections, bounds. Knows nothing of what is said.

aiohttp is imported at the first request, in a thread: it would cost a good part of the start, and hold up the loop.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from drivers.ports import HttpResponse

if TYPE_CHECKING:
    import aiohttp

MAX_ANSWER_BYTES = 8 * 1024 * 1024  # a snapshot of some 10,000 reservations
IDLE_CONNECTION_S = 30.0  # closed by us before a usual proxy or server (60 s and more) does
CONNECT_S = 5.0


class CloudConfigError(ValueError):
    """The `[cloud]` table of the site file cannot be used; the text says why and what to do."""


class NoAnswer(ConnectionError):
    """The exchange with the cloud did not end in a whole answer."""


class AiohttpTransport:
    """`HttpTransport` for one cloud. Raises CloudConfigError where address or certificate cannot be used.

    `url` is the base of every path. https wants `certificate` and `key` (PEM files that prove the machine);
    `ca` is a PEM file of the authorities to trust, else the system's.
    """

    def __init__(
        self,
        url: str,
        *,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        ca: str | Path | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._base = checked_url(url)
        self._tls = _tls(certificate, key, ca) if self._base.startswith("https:") else None
        if self._tls is None and (certificate or key or ca):
            raise CloudConfigError("cloud: certificates are given but url is plain http; write https://")
        self._max = max_answer_bytes
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpResponse:
        """One exchange. `path` is percent-encoded. Raises NoAnswer, or TimeoutError after `timeout_s`."""
        if self._session is None:
            await asyncio.to_thread(importlib.import_module, "aiohttp")
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._tls if self._tls is not None else True,
                    keepalive_timeout=IDLE_CONNECTION_S,
                    limit=4,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        limit = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s))
        try:
            async with self._session.request(
                method,
                URL(self._base + path, encoded=True),
                headers={"Accept-Encoding": "identity", **headers},
                data=body,
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                return HttpResponse(answer.status, answer.headers.copy(), await self._bounded(answer))
        except TimeoutError:  # aiohttp's time-outs are of this kind too, beside ConnectionError
            raise TimeoutError(f"no answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(_in_words(error)) from None

    async def _bounded(self, answer: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in answer.content.iter_any():
            size += len(part)
            if size > self._max:
                answer.close()
                raise NoAnswer(f"the answer is longer than {self._max} bytes")
            parts.append(part)
        return b"".join(parts)

    async def close(self) -> None:
        """Close every connection; idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def checked_url(url: str) -> str:
    """The base address, no slash at its end. Raises CloudConfigError, also for plain HTTP off loopback."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise CloudConfigError(f"cloud: url cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise CloudConfigError("cloud: url must begin with https:// and name a host")
    if parts.query or parts.fragment or parts.username is not None:
        raise CloudConfigError("cloud: url must carry no query, fragment or password")
    if parts.scheme == "http" and not _loopback(host):
        raise CloudConfigError(
            f"cloud: plain http is for loopback only, not for {host}: write https:// with certificate and key"
        )
    return url.rstrip("/")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(certificate: str | Path | None, key: str | Path | None, ca: str | Path | None) -> ssl.SSLContext:
    if certificate is None or key is None:
        raise CloudConfigError("cloud: https wants certificate and key, by which the cloud knows this machine")
    for name, file in (("certificate", certificate), ("key", key), ("ca", ca)):
        if file is not None and not Path(file).is_file():
            raise CloudConfigError(f"cloud: {name}: there is no file {file}")
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    except (ssl.SSLError, OSError) as error:
        raise CloudConfigError(f"cloud: ca: {ca} cannot be used: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # an empty password instead of a question on the terminal
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        raise CloudConfigError(f"cloud: certificate {certificate} with key {key} cannot be used: {error}") from None
    return context


def _in_words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if "certificate is not yet valid" in text or "certificate has expired" in text:
        text = f"is this machine's clock right? {text}"  # TLS looks at nothing else
    return text if len(text) <= 300 else text[:300] + "…"
