"""What is asked of an FM22x module, and what its answers mean. No I/O, no time; the driver does both."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from drivers.faces.fm22x_frames import (
    FIRST_UID,
    LAST_UID,
    NAME_BYTES,
    Direction,
    Eyes,
    FaceState,
    Match,
    Result,
)
from drivers.ports import ByteWire, DriverError, FaceFinding, FaceResult, WireLost

T = TypeVar("T")

EYES_TRIES = 3  # looks of one comparison, where the first ones met closed eyes
DEMO = "the module is in demo mode, in which any face passes: take its power away for a moment; if that does not help, "
DEMO += "have its firmware replaced"
LARGEST_TEMPLATE = 1024

# What a person can do about how the face stands; nothing where it stands well.
HINTS = {
    FaceState.NO_FACE: "look_here",
    FaceState.TOO_HIGH: "look_here",
    FaceState.TOO_LOW: "look_here",
    FaceState.TOO_LEFT: "look_here",
    FaceState.TOO_RIGHT: "look_here",
    FaceState.TOO_FAR: "closer",
    FaceState.TOO_CLOSE: "farther",
    FaceState.BROWS_COVERED: "uncover",
    FaceState.EYES_COVERED: "uncover",
    FaceState.FACE_COVERED: "uncover",
    FaceState.WRONG_DIRECTION: "turn",
    FaceState.EYES_CLOSED: "eyes_open",
    FaceState.EYES_UNKNOWN: "eyes_open",
}
DIRECTIONS = {
    Direction.MIDDLE: "look_here",
    Direction.RIGHT: "turn_right",
    Direction.LEFT: "turn_left",
    Direction.DOWN: "look_down",
    Direction.UP: "look_up",
}
_WORDS = {
    Result.REJECTED: "the module rejected it",
    Result.ABORTED: "the module gave up",
    Result.CAMERA: "the module's camera does not open",
    Result.UNKNOWN_REASON: "the module failed and does not know why",
    Result.INVALID_PARAMETER: "the module does not take these parameters",
    Result.NO_MEMORY: "the module is out of memory",
    Result.UNKNOWN_USER: "the module knows no such user",
    Result.FULL: "the module has no room for another face: forget some",
    Result.ENROLLED_ALREADY: "this face is enrolled already: forget its template first",
    Result.LIVENESS: "the face did not look alive",
    Result.TIMEOUT: "no face stood well enough before the module in time",
    Result.AUTHORIZATION: "the module's licence was not accepted",
    Result.READ_FILE: "the module cannot read its own storage",
    Result.WRITE_FILE: "the module cannot write its own storage",
    Result.NO_ENCRYPTION: "the module asks for encryption, which is not supported",
    Result.NO_PICTURE: "the module got no picture",
}


class Fm22xTrouble(DriverError):
    """The module cannot compare faces now; the message is for technicians."""


class Restarted(Exception):
    """The module has started anew and forgotten what it was asked."""


class InUse(DriverError):
    """One person at a time."""


class TemplateUnfit(DriverError):
    """The template is none of this module's; the message says why, without its contents."""


class Abandoned(Exception):
    """Nobody waits for the job any more."""


class Job(Generic[T]):
    """Something that somebody waits for, done by the task that owns the wire."""

    def __init__(self, act: Callable[[ByteWire], Awaitable[T]], *, enrols: bool, wake: Callable[[], None]) -> None:
        self.enrols = enrols
        self.done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.done.add_done_callback(lambda _: wake())
        self._act = act

    @property
    def abandoned(self) -> bool:
        """Whoever waited was cancelled."""
        return self.done.cancelled()

    async def work(self, wire: ByteWire) -> None:
        """Do it and tell. Raises what ends the wire or the module's service, and Abandoned; then nobody was told."""
        try:
            result = await self._act(wire)
        except (Fm22xTrouble, WireLost):
            raise
        except DriverError as exc:
            self.fail(exc)
        else:
            if not self.done.done():
                self.done.set_result(result)

    def fail(self, exc: DriverError) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


@dataclass(frozen=True, slots=True)
class Template:
    """A user of one module. `mark` tells whether the number has been given to somebody else since."""

    uid: int
    device: str
    mark: str

    @classmethod
    def read(cls, data: bytes, form: str) -> Template:
        """Raises DriverError with what is wrong, without the template's contents."""
        try:
            found = json.loads(data) if len(data) <= LARGEST_TEMPLATE else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("fmt") != form:
            raise TemplateUnfit(f"the template is none of {form}")
        uid, device, mark = found.get("uid"), found.get("device"), found.get("mark")
        if not isinstance(uid, int) or isinstance(uid, bool) or not FIRST_UID <= uid <= LAST_UID:
            raise TemplateUnfit(f"the template's uid is no number from {FIRST_UID} to {LAST_UID}")
        if not isinstance(device, str) or not device:
            raise TemplateUnfit("the template does not say in device by which module it was made")
        if not isinstance(mark, str) or not mark:  # a number alone is somebody else's once it is given again
            raise TemplateUnfit("the template's mark is missing: enrol anew")
        return cls(uid, device, mark)

    def written(self, form: str) -> bytes:
        return json.dumps({"fmt": form, "uid": self.uid, "device": self.device, "mark": self.mark}).encode()


def mark_of(name: bytes) -> str:
    """What a template keeps of the name under which somebody is enrolled."""
    return hashlib.sha256(name).hexdigest()[:16]


def name_bytes(name: str) -> bytes:
    """A name as a module stores it. Raises DriverError, without the name."""
    data = name.encode(errors="replace")  # half a surrogate pair is no character of anybody's name
    if not 0 < len(data) < NAME_BYTES or b"\0" in data:
        raise DriverError(f"the name must have 1 to {NAME_BYTES - 1} bytes in UTF-8; best a reference, not a name")
    return data


def words_of(result: int) -> str:
    """What a result says, for technicians."""
    try:
        return f"{_WORDS[Result(result)]} (result {result})"
    except (ValueError, KeyError):
        return f"the module answered with result {result}"


def hint_of(state: int) -> str:
    """The word for the screen, or an empty one."""
    try:
        return HINTS.get(FaceState(state), "")
    except ValueError:
        return ""


def judge(result: int, match: Match | None, wanted: Template, *, compared: bool) -> tuple[FaceResult, str]:
    """What a verification came to, with a word for the screen. `compared`: a face stood well before the module."""
    if result == Result.OK:
        return _judge_match(match, wanted)
    if result == Result.LIVENESS:
        return FaceResult(FaceFinding.WRONG, detail=words_of(result), why="not_alive"), "look_here"
    if result in (Result.UNKNOWN_USER, Result.REJECTED):
        return FaceResult(
            FaceFinding.WRONG, detail=f"the face is not enrolled (result {result})", why="not_enrolled"
        ), ""
    if result == Result.TIMEOUT and compared:
        detail = "a face stood before the module and was nobody's"
        return FaceResult(FaceFinding.WRONG, detail=detail, why="not_enrolled"), ""
    why = "nobody" if result == Result.TIMEOUT else "device_down"
    return FaceResult(FaceFinding.UNAVAILABLE, detail=words_of(result), why=why), ""


def _judge_match(match: Match | None, wanted: Template) -> tuple[FaceResult, str]:
    if match is None:
        detail = "the module named nobody: its firmware is not known"
        return FaceResult(FaceFinding.UNAVAILABLE, detail=detail, why="device_down"), ""
    if match.uid != wanted.uid:
        return FaceResult(FaceFinding.WRONG, "hardware", "another enrolled face", "another_face"), ""
    if mark_of(match.name) != wanted.mark:
        detail = "the number belongs to somebody else by now"
        return FaceResult(FaceFinding.WRONG, "hardware", detail, "another_face"), ""
    if match.eyes == Eyes.CLOSED:
        return FaceResult(FaceFinding.WRONG, "hardware", "the eyes were closed", "eyes_closed"), "eyes_open"
    if match.eyes != Eyes.OPEN:
        detail = "the module does not say whether the eyes were open: its firmware is not known"
        return FaceResult(FaceFinding.UNAVAILABLE, detail=detail, why="device_down"), ""
    return FaceResult(FaceFinding.VERIFIED, "hardware"), ""
