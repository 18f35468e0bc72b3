"""Named faults of the cloud. Each is on until it is switched off, or for `n` uses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

# name -> its parameters with their meaning; all may also carry n (uses left) and on (false: ends)
NAMES: Mapping[str, str] = {
    "down": "no port is open: connections are refused",
    "hang": "connections are accepted and requests are never answered; path: feed | events",
    "slow": "every answer comes ms later; path",
    "status": "answers code (and retry_after, s or HTTP date); path",
    "nonsense": "what: text | types | ack_beyond | ack_back | ack_refuses_other | huge; path",
    "lose_answer": "the request has its effect, then the connection breaks without an answer; path",
    "duplicate_delivery": "each instruction comes twice in an answer and once more in the next one",
    "reorder": "the instructions of an answer come in the opposite order",
    "forget_cursor": "every cursor given so far is answered 410 (once)",
    "refuse_seq": "records with seq (number) or seqs (list) are refused",
    "refuse_kind": "records of this kind are refused",
    "refuse_batch": "whole batches get code 413 or 422: longer than max, or with seq, or with kind, or all",
    "take_part": "of each batch only the first max records are taken",
}


class Faults:
    def __init__(self) -> None:
        self._on: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    def set(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Switch one on or off. Raises ValueError for a name or a parameter that is none."""
        params = dict(body)
        name = params.pop("name", None)
        if name not in NAMES:
            raise ValueError(f"name: one of {', '.join(NAMES)}, not {name!r}")
        if not params.pop("on", True):  # what it was switched on with need not be said again
            self._on.pop(name, None)
            self._notify()
            return self.state()
        if params.get("path", "feed") not in ("feed", "events"):
            raise ValueError("path: feed or events (without it: both)")
        if name == "refuse_batch" and params.setdefault("code", 422) not in (413, 422):
            raise ValueError("code: 413 or 422")
        if name == "status" and not isinstance(params.get("code"), int):
            raise ValueError("code: an HTTP status is expected")
        self._on[name] = params
        self._notify()
        return self.state()

    def clear(self) -> None:
        self._on.clear()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_off(self, name: str, path: str) -> None:
        while self.is_on(name, path):
            await self._changed.wait()

    def state(self) -> dict[str, Any]:
        return {name: dict(params) for name, params in self._on.items()}

    def is_on(self, name: str, path: str | None = None) -> bool:
        params = self._on.get(name)
        return params is not None and (path is None or params.get("path", path) == path)

    def look(self, name: str, path: str | None = None) -> dict[str, Any] | None:
        """The fault's parameters, without using it up."""
        return self._on[name] if self.is_on(name, path) else None

    def use(self, name: str, path: str | None = None) -> dict[str, Any] | None:
        """The fault's parameters if it is on; one of its `n` uses is spent."""
        params = self.look(name, path)
        if params is not None and "n" in params:
            params["n"] -= 1
            if params["n"] <= 0:
                self._on.pop(name, None)
        return params
