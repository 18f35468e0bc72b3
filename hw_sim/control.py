"""The plant's control socket: HTTP with JSON over a Unix socket. Says what is, does what is asked, breaks things.

GET /state, GET /log?after=N&wait=s, GET|POST /act, GET|POST /faults. 400: not understood or unknown (the message lists
what exists); 409: physically impossible, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from hw_sim.acts import ACTS, Acts
from hw_sim.faults import Faults
from hw_sim.fields import BadRequest
from hw_sim.machine import Machine
from hw_sim.model.bay import Impossible
from hw_sim.model.world import Unknown

LONGEST_WAIT_S = 60.0
BODY_MAX = 64 * 1024 * 1024  # a 10 MB code must get through


def answer(body: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="application/json")


@web.middleware
async def say_why(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn refusals into answers."""
    try:
        return await handler(request)
    except Impossible as no:
        return answer({"ok": False, "error": "impossible", "reason": str(no)}, 409)
    except (BadRequest, Unknown) as no:
        return answer({"ok": False, "error": "bad request", "reason": str(no)}, 400)


class Control:
    """The routes of one plant."""

    def __init__(self, machine: Machine, acts: Acts, faults: Faults) -> None:
        self.machine, self.acts, self.faults = machine, acts, faults
        self._runner: web.AppRunner | None = None
        self._path: Path | None = None

    async def start(self, path: Path) -> None:
        """Serve at this Unix socket. Raises OSError."""
        app = web.Application(middlewares=[say_why], client_max_size=BODY_MAX)
        app.router.add_get("/state", self._state)
        app.router.add_get("/log", self._log)
        app.router.add_get("/act", self._list_acts)
        app.router.add_post("/act", self._act)
        app.router.add_get("/faults", self._list_faults)
        app.router.add_post("/faults", self._fault)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        self._path = path
        self._remove_socket()
        await web.UnixSite(self._runner, str(path)).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._remove_socket()

    def _remove_socket(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    # ------------------------------------------------------------ routes
    async def _state(self, request: web.Request) -> web.Response:
        self.machine.poke()
        return answer({**self.machine.to_json(), "faults": list(self.faults.active.values())})

    async def _log(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            wait_s = min(float(request.query.get("wait", "0")), LONGEST_WAIT_S)
        except ValueError as no:
            raise BadRequest("after is a whole number, wait seconds") from no
        log = self.machine.log
        if wait_s > 0 and log.last_n <= after:
            await self.machine.wait_for(lambda: log.last_n > after, wait_s)
        return answer([motion.to_json() for motion in log.after(after)])

    async def _body(self, request: web.Request) -> Any:
        try:
            return json.loads(await request.read())
        except ValueError as no:
            raise BadRequest(f"the body is not JSON: {no}") from no

    async def _list_acts(self, request: web.Request) -> web.Response:
        return answer([{"do": name, "takes": takes} for name, (takes, _) in ACTS.items()])

    async def _act(self, request: web.Request) -> web.Response:
        return answer(await self.acts.do(await self._body(request)))

    async def _list_faults(self, request: web.Request) -> web.Response:
        return answer(self.faults.to_json())

    async def _fault(self, request: web.Request) -> web.Response:
        return answer(await self.faults.switch(await self._body(request)))
