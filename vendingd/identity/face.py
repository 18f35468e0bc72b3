"""Faces: a template of one device's format, sealed with the reservation, compared by that device while somebody stands
before it.

The template is secret until it is handed to the device, and no result says more than right, wrong or not compared.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drivers.ports import FACE_WHYS, DriverError
from vendingd.identity.factors import FactorResult, Finding, Liveness

if TYPE_CHECKING:
    from drivers.ports import FaceVerifier
    from vendingd.identity.seal import Sealer

PURPOSE = "face"
MALFORMED = "malformed"  # of drivers.ports.FaceJudgement
MOST_BYTES = 16 * 1024  # of a template as JSON: 512 numbers of 8 bytes in base64 are half of it
GRACE_S = 2.0  # past a device's own time: it may be closing its camera
HINTS = frozenset(
    {
        "closer", "farther", "one_person", "hold_still", "more_light", "look_here", "uncover", "turn", "turn_left",
        "turn_right", "eyes_open",
    }
)  # fmt: skip
ENROL_HINTS = frozenset({"look_down", "look_up"})


class FaceError(ValueError):
    """A template that cannot be used; names what is wrong, never a value."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A template as the rental's row keeps it.

    `user`: whom a device itself keeps, by a keyed hash. `unused`: why no device here can ever compare it; then nothing
    is sealed.
    """

    fmt: str
    sealed: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    unused: str = ""


class FaceFactor:
    """The factors `face` and `live-face`: enrolled by a reservation's template, verified by a terminal's device."""

    factor = "face"

    def __init__(self, sealer: Sealer, devices: Mapping[str, FaceVerifier], *, timeout_s: float) -> None:
        """`devices`: terminal -> the device that looks at who stands there."""
        self._sealer = sealer
        self._devices = devices
        self._timeout_s = timeout_s

    def enrol(self, rental: str, wire: object, *, from_utc: float = 0.0) -> Enrolled:
        """Judge a template (JSON text of an object with `fmt`) and seal it for the rental's row.

        The devices judge what is theirs, so that nothing is found out only before the customer; `from_utc` is when it
        is wanted first. Raises FaceError for what is no template.
        """
        text = wire if isinstance(wire, str) else json.dumps(wire, separators=(",", ":"))
        if len(text.encode()) > MOST_BYTES:
            raise FaceError(f"a template of more than {MOST_BYTES} bytes")
        fmt = _format_of(text)
        judged = [one.judge_face(text.encode(), from_utc=from_utc) for one in self._eyes() if fmt in one.formats]
        if not judged:
            return Enrolled(fmt, unused="other_format")
        fit = next((one for one in judged if not one.unfit), None)
        if fit is None:
            if judged[0].unfit == MALFORMED:
                raise FaceError(judged[0].detail)
            return Enrolled(fmt, unused=judged[0].unfit)
        user = self._sealer.pseudonym(PURPOSE, fit.user) if fit.user else None
        return Enrolled(fmt, self._sealer.seal(rental, PURPOSE, text.encode()), user)

    def _eyes(self) -> list[FaceVerifier]:
        """Each device once."""
        return list({id(one): one for one in self._devices.values()}.values())

    async def verify(self, terminal: str, rental: str, enrolled: str, hint: Callable[[str], None]) -> FactorResult:
        """Compare who stands at the terminal. Raises only on cancellation, which ends the device's attempt, too.

        UNAVAILABLE where nothing was compared: no device, the seal does not open, nobody came into view in time.
        """
        device = self._devices.get(terminal)
        if device is None:
            return FactorResult(
                Finding.UNAVAILABLE, f"no device at terminal {terminal} looks at faces", why="no_device"
            )
        try:
            template = self._sealer.open(rental, PURPOSE, enrolled)
        except ValueError as defect:  # SealError is one
            detail = f"the template of this rental cannot be opened: {defect}"
            return FactorResult(Finding.UNAVAILABLE, detail, why="seal")

        def passed_on(word: str) -> None:
            if word in HINTS:
                hint(word)

        try:
            async with asyncio.timeout(self._timeout_s + GRACE_S):
                result = await device.verify_face(template, hint=passed_on, timeout_s=self._timeout_s)
        except TimeoutError:
            detail = f"the device did not answer within {self._timeout_s:g} s"
            return FactorResult(Finding.UNAVAILABLE, detail, why="no_answer")
        try:
            liveness = Liveness(result.liveness)
        except ValueError:
            liveness = Liveness.NONE  # a word that nobody here knows proves nothing
        finding = Finding(str(result.finding))
        why = result.why if result.why in FACE_WHYS else "unknown"  # records take no text of a device
        return FactorResult(finding, result.detail, liveness=liveness, why="" if finding is Finding.VERIFIED else why)

    # ------------------------------------------------ by a technician's hand
    async def enrol_at(self, terminal: str, name: str, hint: Callable[[str], None], *, timeout_s: float) -> str:
        """The template (JSON text) of who stands there. Raises DriverError with a reason for a technician."""

        def passed_on(word: str) -> None:
            if word in HINTS | ENROL_HINTS:
                hint(word)

        made = await self._at(terminal).enrol_face(name, hint=passed_on, timeout_s=timeout_s)
        return made.decode()

    def user_at(self, terminal: str, template: str) -> str | None:
        """Whom the device there keeps for this template, as in `Enrolled.user`. Raises FaceError."""
        device = self._at(terminal)
        if _format_of(template) not in device.formats:
            raise FaceError("fmt: of another kind of device")
        judged = device.judge_face(template.encode(), from_utc=0.0)
        if judged.unfit in (MALFORMED, "other_device"):
            raise FaceError(judged.detail)
        return self._sealer.pseudonym(PURPOSE, judged.user) if judged.user else None

    async def forget_at(self, terminal: str, template: str) -> None:
        """Raises DriverError where the device cannot be asked now."""
        await self._at(terminal).forget_face(template.encode())

    def _at(self, terminal: str) -> FaceVerifier:
        device = self._devices.get(terminal)
        if device is None:
            raise DriverError(f"no device at terminal {terminal} looks at faces")
        return device

    # ------------------------------------------------ over
    async def forget(self, rental: str, enrolled: str) -> None:
        """Erase what devices themselves keep of it. Raises DriverError where one cannot be asked now."""
        try:
            template = self._sealer.open(rental, PURPOSE, enrolled)
        except ValueError:
            return  # what nobody can open any more leads nowhere
        fmt = _format_of(template.decode())
        for device in self._eyes():
            if fmt in device.formats:
                await device.forget_face(template)


def _format_of(text: str) -> str:
    try:
        template = json.loads(text)
    except (ValueError, RecursionError):
        raise FaceError("a template that is no JSON") from None
    if not isinstance(template, dict) or not isinstance(template.get("fmt"), str):
        raise FaceError("fmt: is missing")
    return str(template["fmt"])
