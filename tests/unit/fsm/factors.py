"""A bench with readers of badges and devices that compare faces, for the stories about factors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fsm import events as e
from fsm.effects import CheckFace, StopFace
from fsm.model import TerminalSpec
from fsm.policy import Policy
from fsm.step import Step
from tests.unit.fsm.machine import Bench, layout

CAMERA = "vendingd-face-1"
MODULE = "fm22x-user"
EVERY_FACTOR = frozenset({"pass", "pin", "badge", "face", "authoriser"})


def factor_bench(
    least: tuple[str, ...] = ("pass", "badge"),
    *,
    offers: frozenset[str] = EVERY_FACTOR,
    module: bool = False,
    cars: dict[str, str] | None = None,
    **timing: Any,
) -> Bench:
    """`front` has everything; `side` has a scanner and a screen."""
    if module:
        offers = (offers - {"face"}) | {"live-face"}
    formats = frozenset({MODULE if module else CAMERA})
    front = TerminalSpec(id="front", offers=offers, face_formats=formats, keeps_faces=module)
    made = replace(
        layout(**timing),
        terminals={"front": front, "side": TerminalSpec(id="side")},
        policy=Policy.of_texts({"*": least}),
    )
    return Bench(made).start({"b1": "car1"} if cars is None else cars)


def guard(m: Bench, asset: str, *badges: str) -> None:
    """This asset leaves only with the consent of one of these badges."""
    known = m.world.of["asset"][asset]
    m.instruction_n += 1
    rows = ((asset, known.asset_class, known.tags, known.rental),)
    m.deliver(e.PutAssets(f"guard{m.instruction_n}", rows, {asset: badges}))


def badge(m: Bench, one: str = "B1", terminal: str = "front") -> Step:
    return m.tell(e.BadgePresented(terminal, one))


def looking(m: Bench) -> CheckFace | None:
    """The comparison that is under way, if one is."""
    for effect in reversed(m.effects):
        if isinstance(effect, StopFace):
            return None
        if isinstance(effect, CheckFace):
            return effect
    return None


def face(m: Bench, ok: bool | None, liveness: str = "none", why: str = "") -> Step:
    """The device's word on the newest comparison, whoever still waits for it."""
    check = next(f for f in reversed(m.effects) if isinstance(f, CheckFace))
    return m.tell(e.FaceChecked(check.terminal, check.visit, check.look, check.rental, ok, liveness, why))


def looks(m: Bench) -> int:
    return sum(isinstance(f, CheckFace) for f in m.effects)


def refusals(m: Bench) -> list[str]:
    return [data["reason"] for kind, _, data in m.records if kind == "credential.refused"]


def said(m: Bench, kind: str) -> list[dict[str, Any]]:
    return [data for found, _, data in m.records if found == kind]
