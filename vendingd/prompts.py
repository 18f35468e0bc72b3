"""What a terminal shows, as data: a code, its parameters and whom to call. Texts and languages are the site's.

Derived from the world, never kept beside it. A refusal's code tells a customer what to do and an attacker nothing:
everything about a pass that is not genuine is one code.
"""

from __future__ import annotations

from typing import Any

from fsm.model import Alarm, BayState, Purpose, Visit, VisitState
from fsm.policy import BADGE, BIOMETRIC, PASS, PIN
from fsm.visit_badge import act_of
from fsm.world import World

# What a customer is told of a refusal; reasons that are not listed are told as "refused".
TOLD: dict[str, str] = {
    "too_early": "too_early",
    "too_late": "too_late",
    "time_unknown": "time_unknown",
    "other_machine": "other_machine",
    "spent": "already_used",
    "cancelled": "cancelled",
    "expired": "too_late",
    "in_use": "in_use",
    "in_progress": "in_use",
    "asset_in_use": "in_use",
    "wait": "wait",
    "settling": "wait",
    "late_opening_awaited": "wait",
    "more_demanded": "try_again",
    "bay_in_use": "wait",
    "sensor_silent": "wait",
    "door_not_closed": "wait",
    "bay_not_empty": "wait",
    "bay_faulted": "call_support",
    "locked_out": "locked_out",
    "wrong_pin": "wrong_pin",
    "wrong_face": "face_not_known",
    "wrong_badge": "other_badge",
    "unknown_choice": "choose_again",
    "cannot_check": "try_again",
    "estop": "stopped",
    "out_of_service": "out_of_service",
    "none_available": "none_available",
    "asset_not_here": "not_here",
    "no_empty_bay": "no_empty_bay",
    "unknown_asset": "unknown_asset",
    "already_here": "already_here",
    "ask_first": "press_return_first",
    "factor_unavailable": "call_support",
    "only_by_face": "call_support",
    "other_terminal": "other_terminal",
    "incident": "call_support",
    "jammed": "bay_stuck",
    "not_sent": "bay_stuck",
    "not_opened": "not_opened",
    "not_taken": "not_taken",
    "left_empty": "left_empty",
    "timed_out": "timed_out",
    "left": "goodbye",
    "taken": "enjoy",
    "returned": "thank_you",
    "reopened": "goodbye",
}


def prompt(world: World, terminal: str, unavailable: str | None, support: str) -> dict[str, Any]:
    """`{code, params, support_ref}` for a terminal now."""
    visit = world.visit(terminal)
    if visit is None:
        return {"code": "unknown_terminal", "params": {}, "support_ref": support}
    code, params = ("unavailable", {}) if unavailable is not None else _of_visit(world, visit)
    return {"code": code, "params": params, "support_ref": _reference(visit, support)}


def _reference(visit: Visit, support: str) -> str:
    return f"{support} · {visit.id}-{visit.n}" if support else f"{visit.id}-{visit.n}"


def _of_visit(world: World, visit: Visit) -> tuple[str, dict[str, Any]]:
    if visit.state is VisitState.IDLE:
        return "idle", {}
    if visit.state is VisitState.VERIFYING:
        return _verifying(world, visit)
    if visit.state is VisitState.CHOOSING:
        return ("choose_rental", _choices(world, visit)) if visit.choices else ("other_bay_offered", {"bay": visit.bay})
    if visit.state is VisitState.SERVING:
        return _serving(world, visit)
    params: dict[str, Any] = {"bay": visit.bay} if visit.bay else {}
    if visit.elsewhere:
        params["terminals"] = list(visit.elsewhere)
    return TOLD.get(visit.reason, "refused"), params


# What a person is asked for; a face that is not being looked at now wants what led here again, for another try.
ASKS = {
    "pass": "show_pass",
    "badge": "show_badge",
    "live-face": "look_here",
    "pin": "enter_pin",
    "face": "look_here",
    "authoriser": "show_second_badge",
}


def _verifying(world: World, visit: Visit) -> tuple[str, dict[str, Any]]:
    if visit.checking:
        return "checking", {}
    params: dict[str, Any] = {"factor": visit.wants}
    rental, timing = world.rental(visit.rental or ""), world.layout.timing
    if visit.wants in BIOMETRIC:
        tried = rental.face_attempts - visit.facing if rental is not None else 0
        params["tries_left"] = timing.max_face_attempts - max(0, tried)
    elif visit.wants == PIN:
        params["tries_left"] = timing.max_attempts - (rental.attempts if rental is not None else 0)
    if others := sorted(visit.accepts - {visit.wants}):
        params["or"] = others
    if visit.reason:
        params["because"] = TOLD.get(visit.reason, "refused")
    if visit.facing:
        params["looking"] = visit.hint or "look_here"
    elif visit.wants in BIOMETRIC:
        return "show_again", params | {"show": sorted(visit.have & {BADGE, PASS})}
    return ASKS.get(visit.wants or "", "wait"), params


def _choices(world: World, visit: Visit) -> dict[str, Any]:
    """By references of this visit alone: "1" is typed, or sent by the screen."""
    rows = []
    for n, key in enumerate(visit.choices, start=1):
        rental = world.rental(key)
        if rental is not None:
            row = {"ref": str(n), "act": act_of(rental), "class": rental.asset_class, "asset": rental.named}
            rows.append({name: value for name, value in row.items() if value is not None})
    params: dict[str, Any] = {"choices": rows}
    if visit.reason:
        params["because"] = TOLD.get(visit.reason, "refused")
    return params


def _serving(world: World, visit: Visit) -> tuple[str, dict[str, Any]]:
    bay = world.bay(visit.bay or "")
    if bay is None:
        return "wait", {}
    params: dict[str, Any] = {"bay": bay.id}
    returning = bay.grant is not None and bay.grant.purpose is Purpose.RETURN
    if Alarm.HELD_OPEN in bay.alarms:
        return "close_door_now", params
    if bay.state is BayState.OPENING:
        return "open_door", params
    if bay.state is BayState.SETTLING:
        return "checking", params
    if bay.state is BayState.CLOSING:
        return "gate_closing", params
    return ("put_and_close" if returning else "take_and_close"), params
