"""Errors as RFC 9457 problems: what was refused, why, and what to do about it. Texts are for technicians."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from vendingd.api.http import Response

TYPE = "urn:vendingd:problem:"  # a name, nothing to fetch


class Problem(Exception):
    """An error answer. `advice` is the sentence that says what to do."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        advice: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(status, reason, detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.advice = advice
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self) -> Response:
        body = {
            "type": TYPE + self.reason.replace("_", "-"),
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "reason": self.reason,
            "detail": self.detail,
            "advice": self.advice,
            **self.extra,
        }
        return Response(self.status, json.dumps(body).encode(), "application/problem+json", self.headers)


def not_found(what: str, name: str) -> Problem:
    """`what` as in 'bay'; says how to list those that there are."""
    return Problem(404, f"unknown_{what}", f"there is no {what} {name[:80]!r}", LIST.get(what, _LOOK))


def unavailable(why: str) -> Problem:
    return Problem(
        503,
        "unavailable",
        why,
        "Nothing can be journalled now, so nothing is opened or changed. `vendingctl doctor` tells what to repair; "
        "the machine serves again by itself after that.",
        headers={"Retry-After": "5"},
    )


def busy(why: str) -> Problem:
    return Problem(429, "busy", why, "Try again in a moment.", headers={"Retry-After": "1"})


_LOOK = "`vendingctl bays` and `vendingctl alarms` show what stands in the way."

LIST: Mapping[str, str] = {
    "bay": "`vendingctl bays` lists the bays of this machine.",
    "rental": "`vendingctl rentals` lists the rentals that this machine has; those long over have left it.",
    "incident": "`vendingctl incident list` lists the open ones; a resolved one is in `vendingctl journal`.",
    "terminal": "GET /v1/terminals lists the terminals of this machine.",
}

# What to do about a refusal of the domain, by its reason.
ADVICE: Mapping[str, str] = {
    "settling": "The bay's sensors have not settled since the start; wait ten seconds and try again.",
    "estop": "The emergency stop is latched. Release the button, see that nobody is in danger, then "
    "`vendingctl alarm clear estop --reason ...`.",
    "out_of_service": "Put it back with `vendingctl in-service [BAY] --reason ...`.",
    "bay_faulted": "`vendingctl alarms` names the fault; repair it, then "
    "`vendingctl alarm clear BAY ALARM --reason ...`.",
    "bay_in_use": "Somebody is using the bay. Wait until its door is closed; `vendingctl bays` shows the state.",
    "door_not_closed": "The door is open already. If it is not, check the door sensor: `vendingctl bays BAY`.",
    "asset_not_here": "The asset is not in this bay. Say what is inside: `vendingctl bays set BAY ... --reason ...`.",
    "bay_not_empty": "Something is inside. Say what: `vendingctl bays set BAY --asset ID --reason ...`.",
    "wrong_state": "It is in a state in which this cannot be done; `vendingctl bays` shows the state.",
    "unknown_asset": "Only assets of the operator's directory can be stocked: the cloud must send it first.",
    "does_not_fit": "Put it into a bay for its class; `fits` in the site file says which classes a bay takes.",
    "already_here": "An asset is in one place. Set the other bay empty first: "
    "`vendingctl bays set OTHER --empty --reason ...`.",
    "asset_on_trip": "Bring it back by a return at a terminal, or resolve its rental's incident "
    "with outcome 'returned'.",
    "sensor_contradicts": "Look into the bay. If the sensor is wrong, clean or replace it; the machine believes its "
    "sensors.",
    "no_such_alarm": "`vendingctl alarms` lists the alarms that there are.",
    "unknown_outcome": "`vendingctl incident show ID` lists the outcomes that make sense.",
    "outcome_needed": "A rental hangs on this incident: `vendingctl incident show ID` lists the outcomes.",
    "not_a_gate": "Only a powered gate can be asked to close; close this door by hand.",
    "still_needed": "Without it the asset may not be handed out, or not be brought back by a badge. "
    "If it is to go all the same, add --force.",
    "nothing_kept": "Nothing is left to erase; `vendingctl privacy export ID` shows what there is.",
    "late_opening_awaited": "Its bay may still open late; wait a minute.",
}


def refused(reason: str, detail: str) -> Problem:
    """The domain's refusal. What is unknown is 404, everything else 409."""
    if reason.startswith("unknown_") and (what := reason.removeprefix("unknown_")) in LIST:
        return not_found(what, detail)
    if detail.isupper():  # the domain names the state in which it refused
        detail = f"{reason.replace('_', ' ')}, in state {detail.lower()}"
    return Problem(409, reason, detail or reason.replace("_", " "), ADVICE.get(reason, _LOOK))
