"""HTTP with JSON over a Unix socket: how the demo talks to plant, cloud and daemon, and as anybody can."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

PATIENCE_S = 20.0


class Unreachable(Exception):
    """Nobody answers at this socket."""


class Refused(Exception):
    """Understood and refused, with the status and what was said."""

    def __init__(self, status: int, said: Any) -> None:
        super().__init__(f"{status}: {said}")
        self.status, self.said = status, said


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Socket:
    """One server at a Unix socket. Raises Unreachable and Refused."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, path: str, **query: object) -> Any:
        return self._ask("GET", path + (f"?{urlencode(query)}" if query else ""), None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask("POST", path, body)

    def act(self, do: str, **fields: object) -> Any:
        """An act of plant or cloud."""
        return self.post("/act", {"do": do, **fields})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        connection = _UnixConnection(self.path)
        head = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), head)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as why:
            raise Unreachable(f"{self.path}: {why or type(why).__name__}") from why
        finally:
            connection.close()
        said = json.loads(text) if text else None
        if answer.status >= 300:
            raise Refused(answer.status, said)
        return said
