"""The cloud's signed anchors: what lies behind one may age out of the journal, once the site has kept it long enough.

An anchor says that the cloud holds every record through one of ours, named by epoch, number and hash. It is checked
with the keys of the issuers of passes, journalled as proof, and then used in the background: whatever is older than
the site's `keep_days` goes. What lies between there and the anchor stays, and the chain through it to the anchor's
record shows that what went was signed, too.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fsm import events as e
from fsm.model import Now
from vendingd.cloud.instructions import Anchor
from vendingd.identity.keys import KeyRing
from vendingd.journal.api import Keep, Store, StoreError

_log = logging.getLogger(__name__)
DAY_S = 86400.0


def signed_text(machine: str, anchor: Anchor) -> bytes:
    """What the cloud signs."""
    return f"vendingd-anchor/{machine}/{anchor.epoch}/{anchor.seq}/{anchor.hash}".encode()


class Anchors:
    """All methods are called on the loop's thread."""

    def __init__(
        self,
        *,
        machine: str,
        store: Store,
        keys: Callable[[], KeyRing],
        now: Callable[[], Now],
        keep_days: float,
        spawn: Callable[[Coroutine[Any, Any, Any], str], object],
        on_failure: Callable[[StoreError], None],
    ) -> None:
        """`on_failure`: the journal failed while records aged out, and is closed."""
        self._machine = machine
        self._store = store
        self._keys = keys
        self._now = now
        self._keep_s = keep_days * DAY_S
        self._spawn = spawn
        self._on_failure = on_failure
        self._through = 0
        self._waiting = False  # an anchor came that the work under way has not seen
        self._working = False

    async def judged(self, one: Anchor) -> e.Instruction:
        """What the domain hears of it. Raises StoreError where the journal cannot be read now."""
        key = self._keys().find(one.kid)
        if key is None or key.retired:
            return e.Unreadable(one.id, "anchor_key", outcome="refused")
        if not key.verify(one.signature, signed_text(self._machine, one)):
            return e.Unreadable(one.id, "anchor_forged", outcome="refused")
        found = await self._store.records(one.seq - 1, 1)
        if not found or (found[0].seq, found[0].epoch, found[0].hash.hex()) != (one.seq, one.epoch, one.hash):
            return e.Unreadable(one.id, "anchor_differs", outcome="refused")
        signature = base64.urlsafe_b64encode(one.signature).rstrip(b"=").decode()
        return e.AnchorJournal(one.id, one.epoch, one.seq, one.hash, one.kid, signature)

    def accepted(self, one: e.AnchorJournal) -> None:
        """It is journalled: let age out what may, without anybody waiting for it."""
        self._through = max(self._through, one.seq)
        self._waiting = True
        if not self._working:
            self._working = True
            self._spawn(self._age_out(), "ageing out")

    async def _age_out(self) -> None:
        try:
            while self._waiting:
                self._waiting = False
                now = self._now()
                if not now.trusted:
                    _log.warning("records age out with the next anchor: the time is not trusted now")
                    return
                gone = await self._store.trim(self._through, Keep(now.utc - self._keep_s, now.utc))
                if gone:
                    _log.info("%d records behind the anchor at %d have aged out", gone, self._through)
        except StoreError as why:
            self._on_failure(why)
        finally:
            self._working = False
