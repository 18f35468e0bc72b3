"""What the cloud keeps: reservations, asset directory, revocations, and the instructions about them."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from hw_sim.cloud.keys import Keyring, b64url

Json = dict[str, Any]
PER_ANSWER = 64
# OWASP's smallest recommendation for Argon2id; a verifier made here is checked on a small machine
PIN_M_KIB, PIN_T, PIN_P = 19456, 2, 1


@dataclass
class Entry:
    """One instruction of the log. `machine` None: for all of them."""

    n: int
    machine: str | None
    body: Json
    made_mono: float
    age_s: float | None = None  # how old it was when it was made; None: it carries no age

    def rendered(self) -> Json:
        if self.age_s is None:
            return self.body
        return self.body | {"age_s": round(self.age_s + time.monotonic() - self.made_mono, 3)}


@dataclass
class Booking:
    """A reservation as the cloud has it. `put` is the wire's rental object."""

    put: Json
    version: int
    machine: str | None
    state: str = "active"  # active | cancelled | purchased | returned_elsewhere
    pin: str | None = field(default=None, repr=False)


class Book:
    """All of it changes on the loop's thread only; `changed` is notified of every new instruction."""

    def __init__(self, random: Random, keyring: Keyring) -> None:
        self.random = random
        self.keyring = keyring
        self.log: list[Entry] = []
        self.bookings: dict[str, Booking] = {}
        self.directory: dict[str, Json] = {}
        self.revoked: list[str] = []
        self.badge_key = b""
        self.generation = 1
        self._rentals_made = 0
        self._news = asyncio.Event()

    # ------------------------------------------------ the log
    def add(self, body: Json, machine: str | None = None, age_s: float | None = None) -> str:
        """Append one instruction and wake the polls; its id."""
        n = len(self.log) + 1
        body = {"id": f"i-{n}", **body}
        self.log.append(Entry(n, machine, body, time.monotonic(), age_s))
        self._wake()
        return str(body["id"])

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def forget_cursors(self) -> None:
        self.generation += 1
        self._wake()

    def cursor(self, n: int) -> str:
        return f"{self.generation}-{n}"

    def read_cursor(self, text: str) -> int | None:
        """Position of a cursor; None for one that is not known any more."""
        generation, _, n = text.partition("-")
        if generation != str(self.generation) or not n.isascii() or not n.isdigit() or int(n) > len(self.log):
            return None
        return int(n)

    def after(self, n: int, machine: str, most: int = PER_ANSWER) -> tuple[list[Json], int]:
        """Instructions after a position, and the position behind them."""
        out: list[Json] = []
        for entry in self.log[n:]:
            if len(out) == most:
                break
            n = entry.n
            if entry.machine in (None, machine):
                out.append(entry.rendered())
        return out, n

    async def wait(self, n: int, machine: str, timeout_s: float) -> None:
        """Until there is an instruction after a position, or the time is over."""
        end, generation = time.monotonic() + timeout_s, self.generation
        while generation == self.generation and not self.after(n, machine)[0]:
            left = end - time.monotonic()
            if left <= 0:
                return
            news = self._news
            try:
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                return

    def snapshot(self, machine: str, over: Container[str] = ()) -> list[Json]:
        """Everything that holds now, without the rentals that are `over`. Its ids are of this very state."""
        out: list[Json] = [{"kind": "keys.put", "keys": self.keyring.jwks()["keys"]}]
        assets = list(self.directory.values())
        for i in range(0, len(assets), 500):
            out.append({"kind": "directory.put", "assets": assets[i : i + 500]})
        for rental, booking in self.bookings.items():
            if rental not in over and booking.state == "active" and booking.machine in (None, machine):
                out.append({"kind": "reservation.put", "version": booking.version, "rental": booking.put})
        if self.revoked:
            out.append({"kind": "passes.revoke", "rentals": self.revoked[-1000:]})
        at = f"s{self.generation}-{len(self.log)}"
        return [{"id": f"{at}-{k}", **body} for k, body in enumerate(out, start=1)]

    # ------------------------------------------------ reservations
    def new_rental_id(self) -> str:
        self._rentals_made += 1
        return f"r-{1000 + self._rentals_made}"

    def booking(self, rental: object) -> Booking:
        if not isinstance(rental, str) or rental not in self.bookings:
            raise ValueError(f"rental: there is none called {rental!r}")
        return self.bookings[rental]

    def next_version(self, rental: str) -> int:
        booking = self.bookings.get(rental)
        if booking is None:
            return 1
        booking.version += 1
        return booking.version

    def verifier(self, pin: str, m: int = PIN_M_KIB, t: int = PIN_T, p: int = PIN_P) -> Json:
        """Argon2id of the PIN's digits, its salt from the seed."""
        salt = self.random.randbytes(16)
        digest = Argon2id(salt=salt, length=32, iterations=t, lanes=p, memory_cost=m).derive(pin.encode())
        return {"alg": "argon2id", "salt": b64url(salt), "hash": b64url(digest), "m": m, "t": t, "p": p}

    def badge(self, text: str) -> str:
        """What a badge is known by: HMAC-SHA-256 under the site's key."""
        if not self.badge_key:
            raise ValueError("badge: say the site's key first (badge_key)")
        return b64url(hmac.digest(self.badge_key, text.encode(), "sha256"))

    # ------------------------------------------------ directory
    def put_assets(self, assets: Sequence[Json]) -> None:
        for asset in assets:
            self.directory[asset["id"]] = {"tags": [], **asset}

    def remove_assets(self, assets: Sequence[str]) -> None:
        for asset in assets:
            self.directory.pop(asset, None)
