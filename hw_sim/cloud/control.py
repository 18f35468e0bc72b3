"""The control API: HTTP with JSON over a Unix socket, for scenarios, tests and people."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from hw_sim.cloud.acts import Acts
from hw_sim.cloud.book import Book
from hw_sim.cloud.faults import NAMES, Faults
from hw_sim.cloud.public import PublicServer
from hw_sim.cloud.receipts import Receipts

Json = dict[str, Any]


class ControlServer:
    def __init__(
        self, *, book: Book, receipts: Receipts, faults: Faults, public: PublicServer, acts: Acts, seed: int
    ) -> None:
        self._book, self._receipts, self._faults = book, receipts, faults
        self._public, self._acts, self._seed = public, acts, seed
        app = web.Application(middlewares=[_mistakes])
        app.router.add_get("/state", self._state)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/events", self._events)
        app.router.add_get("/rentals", self._rentals)
        app.router.add_get("/outcomes", self._outcomes)
        app.router.add_get("/faults", self._get_faults)
        app.router.add_post("/faults", self._post_faults)
        app.router.add_post("/act", self._act)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)

    async def start(self, path: Path) -> None:
        """`path` must not exist."""
        await self._runner.setup()
        await web.UnixSite(self._runner, str(path)).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "url": self._public.url,
                "seed": self._seed,
                "machines": self._public.machines,
                "instructions": len(self._book.log),
                "arrivals": len(self._receipts.arrivals),
                "events": len(self._receipts.by_id),
                "gaps": self._receipts.gaps,
                "faults": self._faults.state(),
                "directory": list(self._book.directory.values()),
                "revoked": self._book.revoked,
            }
        )

    async def _keys(self, request: web.Request) -> web.Response:
        return web.json_response(self._book.keyring.jwks())

    async def _events(self, request: web.Request) -> web.Response:
        """?after=N&wait=S&kind=K: arrivals after the N-th; waits for one when there is none."""
        after, wait = int(request.query.get("after", "0")), float(request.query.get("wait", "0"))
        await self._receipts.wait(after, wait)
        found = [a.rendered() for a in self._receipts.arrivals[after:]]
        if "kind" in request.query:
            found = [a for a in found if a["kind"] == request.query["kind"]]
        return web.json_response(
            {
                "events": found,
                "through": len(self._receipts.arrivals),
                "gaps": self._receipts.gaps,
                "batches": self._receipts.batches,
            }
        )

    async def _rentals(self, request: web.Request) -> web.Response:
        out: dict[str, Json] = {}
        for rental in {**self._book.bookings, **self._receipts.ledger.rentals}:
            row: Json = dict(self._receipts.ledger.rentals.get(rental, {"state": None, "history": []}))
            booking = self._book.bookings.get(rental)
            if booking is not None:
                put = {k: v for k, v in booking.put.items() if k not in ("pin", "face")}
                row |= {"booked": booking.state, "version": booking.version, "put": put, "pin": booking.pin}
            out[rental] = row
        return web.json_response(out)

    async def _outcomes(self, request: web.Request) -> web.Response:
        """By instruction id: every outcome record that named it (one is right); `missing`: sent out, none yet."""
        by: dict[str, list[Json]] = {}
        for outcome in self._receipts.ledger.outcomes:
            by.setdefault(str(outcome["instruction"]), []).append(outcome)
        return web.json_response({"outcomes": by, "missing": [i for i in self._public.delivered if i not in by]})

    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.json_response({"on": self._faults.state(), "known": dict(NAMES)})

    async def _post_faults(self, request: web.Request) -> web.Response:
        body = await _object(request)
        if body.get("name") == "all" and body.get("on") is False:
            self._faults.clear()
        else:
            self._faults.set(body)
        if self._faults.is_on("down"):
            await self._public.down()
        else:
            await self._public.listen()
        if self._faults.look("forget_cursor") is not None:
            self._faults.set({"name": "forget_cursor", "on": False})  # done once, it is over
            self._book.forget_cursors()
        return web.json_response({"on": self._faults.state()})

    async def _act(self, request: web.Request) -> web.Response:
        return web.json_response(self._acts.do(await _object(request)))


async def _object(request: web.Request) -> Json:
    body = await request.json()
    if not isinstance(body, dict):
        raise ValueError("a JSON object is expected")
    return body


@web.middleware
async def _mistakes(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
