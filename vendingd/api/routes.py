"""Which path leads where, and who may go there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from vendingd.api import faces, privacy, reads, streams, terminals, writes
from vendingd.api.calls import Call, Download, Stream
from vendingd.api.http import Response
from vendingd.api.peers import Access
from vendingd.api.problems import Problem

Handler = Callable[[Call], Awaitable[Response | Stream | Download]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: str  # with {variables}
    handler: Handler
    access: Access = Access.TECHNICIAN

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The variables, or None where the path is another."""
        wanted = self.pattern.strip("/").split("/")
        if len(wanted) != len(segments):
            return None
        found: dict[str, str] = {}
        for want, have in zip(wanted, segments, strict=True):
            if want.startswith("{"):
                if not have:
                    return None
                found[want[1:-1]] = have
            elif want != have:
                return None
        return found


_T = "/v1/terminals/{terminal}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/status", reads.status),
    Route("GET", "/v1/bays", reads.bays),
    Route("GET", "/v1/bays/{bay}", reads.bay),
    Route("POST", "/v1/bays/{bay}/unlock", writes.unlock),
    Route("POST", "/v1/bays/{bay}/contents", writes.contents),
    Route("POST", "/v1/bays/{bay}/availability", writes.bay_availability),
    Route("POST", "/v1/availability", writes.machine_availability),
    Route("GET", "/v1/rentals", reads.rentals),
    Route("GET", "/v1/rentals/{rental}", reads.rental),
    Route("POST", "/v1/rentals/{rental}/reset-attempts", writes.reset_attempts),
    Route("GET", "/v1/rentals/{rental}/kept", privacy.kept),
    Route("POST", "/v1/rentals/{rental}/erase", privacy.erase),
    Route("POST", f"{_T}/face/enrol", faces.enrol),
    Route("POST", f"{_T}/face/forget", faces.forget),
    Route("GET", "/v1/alarms", reads.alarms),
    Route("POST", "/v1/alarms/clear", writes.clear_alarm),
    Route("GET", "/v1/incidents", reads.incidents),
    Route("GET", "/v1/incidents/{incident}", reads.incident),
    Route("POST", "/v1/incidents/{incident}/resolve", writes.resolve),
    Route("GET", "/v1/devices", reads.devices),
    Route("GET", "/v1/journal", reads.journal),
    Route("POST", "/v1/journal/verify", writes.verify),
    Route("POST", "/v1/journal/restored", writes.restored),
    Route("POST", "/v1/journal/backup", streams.backup),
    Route("GET", "/v1/watch", streams.watch),
    Route("GET", "/v1/terminals", terminals.terminals, Access.KIOSK),
    Route("GET", f"{_T}/prompt", terminals.follow, Access.KIOSK),
    Route("POST", f"{_T}/code", terminals.code, Access.KIOSK),
    Route("POST", f"{_T}/pin", terminals.pin, Access.KIOSK),
    Route("POST", f"{_T}/return", terminals.ask_return, Access.KIOSK),
    Route("POST", f"{_T}/confirm", terminals.confirm, Access.KIOSK),
    Route("POST", f"{_T}/choose", terminals.choose, Access.KIOSK),
    Route("POST", f"{_T}/leave", terminals.leave, Access.KIOSK),
    Route("POST", f"{_T}/close", terminals.close, Access.KIOSK),
)


def find(method: str, segments: Sequence[str]) -> tuple[Route, dict[str, str]]:
    """Raises Problem: 404 for no such path, 405 for another method."""
    allowed = []
    for route in ROUTES:
        found = route.match(segments)
        if found is None:
            continue
        if route.method == method:
            return route, found
        allowed.append(route.method)
    if allowed:
        methods = ", ".join(allowed)
        raise Problem(
            405, "method_not_allowed", f"{method} is not served here", f"Use {methods}.", headers={"Allow": methods}
        )
    raise Problem(404, "no_such_path", f"/{'/'.join(segments)[:120]}", "docs/local-api.md lists the paths.")
