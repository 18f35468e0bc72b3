"""Driver `fm22x`: an HLK-FM22x face module on a serial port. Facts and their sources: see the codec.

The module compares whoever stands before it with everybody whom it has enrolled, and checks by infrared that the
face is a living one. A comparison is good only where it names the very user of the template, with open eyes.
A template names the module, too: the same number is somebody else in another one.

What counts as an attempt: a face that was compared. Where nobody came, or nobody came near enough, nothing was.
Modules say REJECTED of a face that they do not know, as well as of a command that they do not take; the state is
asked right before, so it is taken for the face.

In demo mode every face succeeds. It is switched off at each start, a module that does not confirm that is down, and
one that answers as in demo mode all the same stays down until it has been restarted.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from pydantic import Field

from drivers.faces import fm22x_frames as frames
from drivers.faces.fm22x_frames import Command, Direction, Eyes, FaceState, Reply, Result, Status
from drivers.faces.fm22x_jobs import (
    DEMO,
    DIRECTIONS,
    EYES_TRIES,
    Abandoned,
    Fm22xTrouble,
    InUse,
    Job,
    Restarted,
    Template,
    TemplateUnfit,
    hint_of,
    judge,
    mark_of,
    name_bytes,
    words_of,
)
from drivers.link import Link, Statuses, noteworthy, read_within, together
from drivers.options import Options, Port
from drivers.ports import (
    ByteWire,
    Device,
    Driver,
    DriverError,
    FaceFinding,
    FaceJudgement,
    FaceResult,
    SerialSettings,
    Sink,
    Surroundings,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = "fm22x-user"
GAP_S = 0.1  # a frame with a hole this long in it is given up
REPLY_S = 1.0  # modules answer short commands within some 10 ms, busy ones later
DELETE_S = 5.0  # a module writes its flash meanwhile
GRACE_S = 2.0  # after the time that a module was given to look
TRIES = 3
RETRY_S = 2.0  # between attempts to begin with a module that does not answer
LATE_S = 0.5  # after a reset: what it was doing may still be answered

_STATES: dict[int, str] = {Status.BUSY: "busy", Status.ERROR: "faulty"}


class Fm22xOptions(Options):
    """An HLK-FM223 or FM225."""

    port: Port
    baud: int = Field(115200, ge=9600, le=1500000, description="Speed of the port.")
    id: str = Field("", max_length=64, description="What templates call this module; empty: its own serial number.")
    enrolment: Literal["single", "interactive"] = Field(
        "single", description="One picture, or five: straight, right, left, down and up."
    )
    demo_check: bool = Field(
        True, description="A module that does not confirm that demo mode is off is down; false: it is only told."
    )
    status_s: float = Field(5.0, ge=0.5, le=60, description="How often an idle module is asked how it is.")


class Fm22x:
    """Device and FaceVerifier of one module."""

    def __init__(self, name: str, options: Fm22xOptions, around: Surroundings) -> None:
        self.name = name
        self._options = options
        self._clock = around.clock
        self._link = Link(name, around.serial(SerialSettings(options.port, options.baud)), around.clock, around.random)
        self._statuses = Statuses(name, {options.port: (1,)})
        self._decoder = frames.Decoder()
        self._inbox: deque[frames.Message] = deque()
        self._wake = asyncio.Event()
        self._sink: Sink | None = None
        self._down_because = "has not answered yet"  # empty: ready
        self._identity = options.id
        self._demo_seen = False
        self._waiting: Job[Any] | None = None
        self._running: Job[Any] | None = None

    # ------------------------------------------------------------ roles
    @property
    def formats(self) -> frozenset[str]:
        return frozenset({FORMAT})

    @property
    def liveness(self) -> str:
        return "hardware"

    async def run(self, sink: Sink) -> None:
        self._sink = sink
        await self._link.run(self._serve, self._lost)

    def judge_face(self, template: bytes, *, from_utc: float) -> FaceJudgement:
        """A module that has not told its serial number yet takes the template's word for it."""
        try:
            wanted = Template.read(template, FORMAT)
        except DriverError as exc:
            return FaceJudgement("malformed", str(exc))
        if self._identity and wanted.device != self._identity:
            return FaceJudgement("other_device", "the template was made by another module")
        return FaceJudgement(user=json.dumps([wanted.device, wanted.uid]))

    async def verify_face(self, template: bytes, *, hint: Callable[[str], None], timeout_s: float) -> FaceResult:
        """Compare once. A blink costs no attempt: the module looks again, as long as there is time."""
        try:
            wanted = Template.read(template, FORMAT)
            return await self._do(lambda wire: self._verify(wire, wanted, hint, timeout_s))
        except DriverError as exc:
            why = "template" if isinstance(exc, TemplateUnfit) else "device_down"
            why = "device_busy" if isinstance(exc, InUse) else why
            return FaceResult(FaceFinding.UNAVAILABLE, detail=f"{self.name}: {exc}", why=why)

    async def enrol_face(self, name: str, *, hint: Callable[[str], None], timeout_s: float) -> bytes:
        """Enrol who stands there as an ordinary user. Raises DriverError; then nobody was enrolled, or it says so."""
        stored = name_bytes(name)
        return await self._do(lambda wire: self._enrol(wire, stored, hint, timeout_s), enrols=True)

    async def forget_face(self, template: bytes) -> None:
        """Erase this one user from the module. Raises DriverError.

        One that is not there is erased already; of a template of another module this one keeps nothing.
        """
        wanted = Template.read(template, FORMAT)
        await self._do(lambda wire: self._forget(wire, wanted))

    async def _do(self, act: Callable[[ByteWire], Awaitable[T]], *, enrols: bool = False) -> T:
        if self._down_because:
            raise DriverError(self._down_because)
        if self._waiting is not None or (self._running is not None and not self._running.abandoned):
            raise InUse("somebody else is before the module: one at a time")
        self._waiting = job = Job(act, enrols=enrols, wake=self._wake.set)
        self._wake.set()
        return await job.done  # cancelled: whoever works on it finds out and resets the module

    # ------------------------------------------------------------ the open link
    async def _serve(self, wire: ByteWire) -> None:
        self._decoder.reset()
        self._inbox.clear()
        self._demo_seen = False
        await together(self._listen(wire), self._work(wire))

    def _lost(self, detail: str) -> None:
        self._down(detail)

    def _down(self, detail: str) -> None:
        self._down_because = detail
        for job in (self._running, self._waiting):
            if job is not None:
                job.fail(Fm22xTrouble(detail))
        self._running = self._waiting = None
        if self._sink is not None:
            self._statuses.tell(self._sink, False, detail)

    async def _listen(self, wire: ByteWire) -> None:
        while True:
            data = await read_within(wire, GAP_S if self._decoder.pending else None)
            if data is None:
                self._decoder.reset()
                continue
            before = self._decoder.corrupt
            self._inbox.extend(self._decoder.feed(data))
            if self._decoder.corrupt > before and noteworthy(self._decoder.corrupt):
                log.warning("%s: %d broken frames so far: check wiring and baud", self.name, self._decoder.corrupt)
            self._wake.set()

    async def _work(self, wire: ByteWire) -> None:
        while True:
            try:
                await self._begin(wire)
                await self._attend(wire)
            except Restarted:
                log.warning("%s: the module has restarted", self.name)
                self._demo_seen = False
                self._down(f"the module on {self._options.port} is starting")
            except Fm22xTrouble as exc:
                log.warning("%s: %s", self.name, exc)
                self._down(str(exc))
                await self._pause()

    async def _pause(self) -> None:
        """Wait before the next attempt; a module that starts meanwhile is begun with at once."""
        until_mono = self._clock.monotonic() + RETRY_S
        try:
            while await self._message(until_mono) is not None:
                pass
        except Restarted:
            self._demo_seen = False

    async def _begin(self, wire: ByteWire) -> None:
        """Find out what stands there. Raises Fm22xTrouble where faces cannot be compared with it."""
        port = self._options.port
        await self._free(wire)
        if self._demo_seen:
            raise Fm22xTrouble(DEMO)
        reply = await self._ask(wire, Command.DEMO, frames.demo_off())
        if reply.result != Result.OK and self._options.demo_check:
            raise Fm22xTrouble(
                f"the module on {port} does not confirm that demo mode is off ({words_of(reply.result)}), in which "
                "any face would pass: have its firmware replaced, or set demo_check = false if it knows no demo mode"
            )
        self._identity = self._options.id or await self._serial(wire)
        self._down_because = ""
        assert self._sink is not None
        self._statuses.tell(self._sink, True, "")

    async def _serial(self, wire: ByteWire) -> str:
        reply = await self._ask(wire, Command.SERIAL, frames.encode(Command.SERIAL))
        serial = frames.read_text(reply.more) if reply.result == Result.OK else ""
        if not serial:
            raise Fm22xTrouble(
                f"the module on {self._options.port} tells no serial number: give it a name of its own with id"
            )
        return serial

    async def _attend(self, wire: ByteWire) -> None:
        """Do what is asked, and ask now and then how the module is."""
        while True:
            if self._waiting is not None:
                job, self._waiting = self._waiting, None
                if job.abandoned:
                    continue
                self._running = job
                try:
                    await job.work(wire)
                    self._running = None
                except Abandoned:
                    self._running = None
                    await self._abandon(wire, enrolled=job.enrols)
                if self._demo_seen:
                    raise Fm22xTrouble(DEMO)
                continue
            await self._rest()
            if self._waiting is None:
                await self._free(wire)

    async def _rest(self) -> None:
        """Until somebody asks for something, or it is time to ask for the state."""
        until_mono = self._clock.monotonic() + self._options.status_s
        while self._waiting is None:
            if await self._message(until_mono, rest=True) is None:
                return

    # ------------------------------------------------------------ what is asked
    async def _verify(
        self, wire: ByteWire, wanted: Template, hint: Callable[[str], None], timeout_s: float
    ) -> FaceResult:
        if wanted.device != self._identity:
            raise TemplateUnfit("the template was made by another module")
        ends_mono = self._clock.monotonic() + timeout_s
        await self._free(wire)
        result = FaceResult(FaceFinding.UNAVAILABLE, detail="no time to look", why="nobody")
        for _ in range(EYES_TRIES):
            seconds = min(255, int(ends_mono - self._clock.monotonic() + 0.5))
            if seconds < 1:
                break
            await wire.write(frames.verify(seconds))
            reply, compared = await self._watch(Command.VERIFY, seconds, hint)
            if reply is None:
                await self._abandon(wire)
                detail = "the module did not answer the comparison"
                return FaceResult(FaceFinding.UNAVAILABLE, detail=detail, why="device_down")
            match = frames.read_match(reply.more) if reply.result == Result.OK else None
            if match is not None and match.uid == frames.NOBODY:
                self._demo_seen = True
                return FaceResult(FaceFinding.UNAVAILABLE, detail=DEMO, why="demo_mode")
            result, word = judge(reply.result, match, wanted, compared=compared)
            if word:
                hint(word)
            if match is None or match.eyes != Eyes.CLOSED or result.finding is FaceFinding.UNAVAILABLE:
                break
        return result

    async def _enrol(self, wire: ByteWire, name: bytes, hint: Callable[[str], None], timeout_s: float) -> bytes:
        ends_mono = self._clock.monotonic() + timeout_s
        await self._free(wire)
        directions = DIRECTIONS if self._options.enrolment == "interactive" else {Direction.ANY: "look_here"}
        await self._ask(wire, Command.FORGET_DIRECTIONS, frames.encode(Command.FORGET_DIRECTIONS))
        uid = frames.NOBODY
        for direction, word in directions.items():
            seconds = max(1, min(255, int(ends_mono - self._clock.monotonic() + 0.5)))
            hint(word)
            await wire.write(frames.enrol(name, direction, timeout_s=seconds))
            reply, _ = await self._watch(Command.ENROL, seconds, hint)
            if reply is None:
                await self._abandon(wire, enrolled=True)
                raise DriverError("the module did not answer the enrolment; nobody was enrolled")
            if reply.result != Result.OK:
                await self._ask(wire, Command.FORGET_DIRECTIONS, frames.encode(Command.FORGET_DIRECTIONS))
                raise DriverError(words_of(reply.result))
            taken = frames.read_enrolled(reply.more)
            uid = taken[0] if taken is not None else frames.NOBODY
            if uid != frames.NOBODY:
                break
        if not frames.FIRST_UID <= uid <= frames.LAST_UID:
            raise DriverError("the module took every picture and named no user: nobody was enrolled; try again")
        return Template(uid, self._identity, mark_of(name)).written(FORMAT)

    async def _forget(self, wire: ByteWire, wanted: Template) -> None:
        if wanted.device != self._identity:
            return
        await self._free(wire)
        await self._delete(wire, wanted.uid)

    # ------------------------------------------------------------ exchanges
    async def _free(self, wire: ByteWire) -> None:
        """Make sure that the module is there and does nothing. Whatever it said before is forgotten."""
        for attempt in (1, 2):
            reply = await self._ask(wire, Command.STATUS, frames.encode(Command.STATUS))
            state = reply.more[0] if reply.result == Result.OK and reply.more else Status.INVALID
            if state == Status.IDLE:
                return
            if attempt == 1 and state == Status.BUSY:
                await self._ask(wire, Command.RESET, frames.encode(Command.RESET))
        raise Fm22xTrouble(
            f"the module on {self._options.port} says that it is {_STATES.get(state, 'not ready')} (state {state}): "
            "take its power away for a moment"
        )

    async def _ask(
        self, wire: ByteWire, command: Command, frame: bytes, *, reply_s: float = REPLY_S, tries: int = TRIES
    ) -> Reply:
        """The reply to a command that may be sent again. Raises Fm22xTrouble where none comes."""
        for _ in range(tries):
            self._drop_old()
            await wire.write(frame)
            until_mono = self._clock.monotonic() + reply_s
            while (message := await self._message(until_mono)) is not None:
                if isinstance(message, Reply) and message.command == command:
                    return message
        raise Fm22xTrouble(f"the module on {self._options.port} does not answer: check its power (5 V), TX/RX and baud")

    async def _watch(self, command: Command, seconds: int, hint: Callable[[str], None]) -> tuple[Reply | None, bool]:
        """The reply to what takes its time, and whether a face stood well meanwhile."""
        until_mono = self._clock.monotonic() + seconds + GRACE_S
        compared, told = False, ""
        while (message := await self._message(until_mono)) is not None:
            if isinstance(message, Reply) and message.command == command:
                return message, compared
            if isinstance(message, frames.Seen):
                compared |= message.state == FaceState.NORMAL
                word = hint_of(message.state)
                if word and word != told:
                    hint(word)
                told = word
        return None, compared

    async def _abandon(self, wire: ByteWire, *, enrolled: bool = False) -> None:
        """Stop what the module is doing. A user whom it has enrolled for nobody any more is erased."""
        await wire.write(frames.encode(Command.RESET))
        until_mono = self._clock.monotonic() + (LATE_S if enrolled else REPLY_S)
        while (message := await self._message(until_mono)) is not None:
            if isinstance(message, Reply) and message.command == Command.RESET and not enrolled:
                return
            if isinstance(message, Reply) and (message.command, message.result) == (Command.ENROL, Result.OK):
                taken = frames.read_enrolled(message.more)
                if taken is not None and frames.FIRST_UID <= taken[0] <= frames.LAST_UID:
                    await self._delete(wire, taken[0])

    async def _delete(self, wire: ByteWire, uid: int) -> None:
        reply = await self._ask(wire, Command.DELETE_USER, frames.delete_user(uid), reply_s=DELETE_S)
        if reply.result not in (Result.OK, Result.UNKNOWN_USER):
            raise DriverError(f"the user was not erased: {words_of(reply.result)}")

    async def _message(self, until_mono: float, *, rest: bool = False) -> frames.Message | None:
        """The next message, or None when the time is over (or, resting, something is asked for).

        Raises Restarted where the module has started anew, and Abandoned where nobody waits for the job any more.
        """
        while not self._inbox or self._nobody_waits():
            if self._nobody_waits():
                raise Abandoned
            left_s = until_mono - self._clock.monotonic()
            if left_s <= 0 or (rest and self._waiting is not None):
                return None
            self._wake.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
        message = self._inbox.popleft()
        if isinstance(message, frames.Ready):
            raise Restarted
        return message

    def _nobody_waits(self) -> bool:
        return self._running is not None and self._running.abandoned

    def _drop_old(self) -> None:
        """Forget what has come so far, but not that the module has started anew."""
        restarted = any(isinstance(message, frames.Ready) for message in self._inbox)
        self._inbox.clear()
        if restarted:
            raise Restarted


def _make(name: str, options: Fm22xOptions, around: Surroundings) -> Device:
    return Fm22x(name, options, around)


DRIVER = Driver(name="fm22x", options=Fm22xOptions, make=_make, roles=frozenset({"face", "live-face"}))
