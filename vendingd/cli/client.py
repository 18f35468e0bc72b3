"""The daemon's socket, from the outside: one request, JSON in and out, errors as `CliError`."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from vendingd.cli.exits import CliError, Exit

TIMEOUT_S = 20.0  # the daemon says by itself, after 10 s, that its disk is too slow
VERIFY_S = 3600.0  # a walk over years of records, or a copy of them
PART = 256 * 1024
_START = "Is it running? `systemctl status vendingd`; another socket is named by --socket or VENDINGD_SOCKET."

_CODES: Mapping[int, Exit] = {400: Exit.USAGE, 422: Exit.USAGE, 403: Exit.FORBIDDEN, 429: Exit.BUSY, 503: Exit.BUSY}


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("vendingd", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """`speak_as`: whose name is journalled; only root may name somebody else."""

    def __init__(self, path: str, speak_as: str | None = None) -> None:
        self.path = path
        self._headers = {"Accept": "application/json"}
        if speak_as is not None:
            self._headers["X-Vendingd-As"] = speak_as

    def get(self, path: str, **query: Any) -> Any:
        said = {key: value for key, value in query.items() if value is not None}
        return self._json("GET", f"{path}?{urlencode(said)}" if said else path, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
        return self._json("POST", path, dict(body or {}), timeout_s)

    def pages(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every row of a list that comes in pages."""
        after: Any = None
        while True:
            page = self.get(path, after=after, **query)
            yield from page[key]
            after = page.get("next")
            if after is None:
                return

    def follow(self, path: str, body: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """The items of a stream; with a body of one that is begun by it. CliError where it ends by itself."""
        connection, answer = self._open("GET" if body is None else "POST", path, body, None)
        try:
            while line := answer.readline():
                yield json.loads(line)
            raise ConnectionResetError("it ended the stream")
        except (OSError, http.client.HTTPException, ValueError) as why:
            raise self._lost(why) from None
        finally:
            connection.close()

    def download(self, path: str, into: BinaryIO) -> None:
        """Write an answer that is no JSON into a file. Raises CliError where it breaks off."""
        connection, answer = self._open("POST", path, {}, VERIFY_S)
        try:
            left = int(answer.headers["Content-Length"])
            while left:
                part = answer.read(min(left, PART))
                if not part:
                    raise ConnectionResetError("it broke off in the midst of the file")
                into.write(part)
                left -= len(part)
        except (ConnectionError, TimeoutError, http.client.HTTPException, ValueError) as why:
            raise self._lost(why) from None
        finally:
            connection.close()

    # ------------------------------------------------ inside
    def _json(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float = TIMEOUT_S) -> Any:
        connection, answer = self._open(method, path, body, timeout_s)
        try:
            return json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as why:
            raise self._lost(why) from None
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float | None
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        connection = _Connection(self.path, TIMEOUT_S)
        try:
            try:
                data = None if body is None else json.dumps(body).encode()
                headers = dict(self._headers) if data is None else {**self._headers, "Content-Type": "application/json"}
                connection.request(method, path, data, headers)
            except BrokenPipeError:
                pass  # it said no before it had read everything; the answer is there all the same
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _told(answer.status, answer.read())
        except CliError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as why:
            connection.close()
            raise self._lost(why) from None
        return connection, answer

    def _lost(self, why: Exception) -> CliError:
        if isinstance(why, FileNotFoundError):
            return CliError(Exit.UNREACHABLE, f"there is no socket {self.path}: vendingd is not running", _START)
        if isinstance(why, ConnectionRefusedError):
            return CliError(Exit.UNREACHABLE, f"nobody listens at {self.path}: vendingd is not running", _START)
        if isinstance(why, PermissionError):
            return CliError(Exit.FORBIDDEN, f"{self.path} may not be opened by you", "Use sudo, or ask for access.")
        if isinstance(why, TimeoutError):
            advice = "It may be stuck or its disk very slow: `systemctl status vendingd`, `journalctl -u vendingd`."
            return CliError(Exit.UNREACHABLE, "vendingd does not answer", advice)
        advice = "It may have been stopped just now: `systemctl status vendingd`."
        return CliError(Exit.UNREACHABLE, f"the connection to vendingd broke: {why or type(why).__name__}", advice)


def _told(status: int, body: bytes) -> CliError:
    try:
        said = json.loads(body)
        detail, advice = str(said["detail"]), str(said.get("advice", ""))
    except (ValueError, KeyError, TypeError):
        return CliError(Exit.UNREACHABLE, f"what answers there is not vendingd (status {status})", _START)
    if status >= 500 and status != 503:
        return CliError(Exit.BUSY, detail, advice, said)
    return CliError(_CODES.get(status, Exit.REFUSED), detail, advice, said)


def part(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")
