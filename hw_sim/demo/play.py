"""Playing one step: somebody does something, then each thing that must follow is waited for, and all of it printed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw_sim.demo.screen import Screen
from hw_sim.demo.stage import Stage
from hw_sim.demo.wire import Refused
from hw_sim.demo.witness import Lane, Seen, Sight, Witness

PATIENCE_S = 15.0
LOOK_EVERY_S = 0.03
HAND_S = 0.35  # between two movements of a hand: what lies there must settle


class NotSeen(Exception):
    """A step's sight did not come; the message names it."""


class Step:
    """One step under way. Sights count from its beginning; the same one twice is asked for with `count`."""

    def __init__(self, stage: Stage, witness: Witness, began: float, patience_s: float = PATIENCE_S) -> None:
        self._stage, self._witness, self.began, self._patience_s = stage, witness, began, patience_s
        self.first = len(witness.seen)
        self.proofs: list[str] = []

    @property
    def seen(self) -> list[Seen]:
        return self._witness.seen[self.first :]

    # ------------------------------------------------ what somebody does
    def ask(self, who: str, text: str) -> None:
        """Note who asks for what; it stands in the first column."""
        self._witness.seen.append(Seen(Lane.ASKED, time.monotonic(), "asked", who, f"{who}: {text}"))

    def hand(self, do: str, **fields: object) -> None:
        """A person's hand at the plant. Raises NotSeen where the physical world does not let it."""
        try:
            self._stage.plant.act(do, **fields)
        except Refused as no:
            raise NotSeen(f"a hand that does {do}: {no.said.get('reason', no)}") from None
        time.sleep(HAND_S)
        self._witness.look()

    # ------------------------------------------------ what must follow
    def see(self, lane: Lane, what: str, where: str | None = None, count: int = 1, **data: Any) -> Seen:
        """Wait for it. Raises NotSeen."""
        sight, end = Sight(lane, what, where, data), time.monotonic() + self._patience_s
        while True:
            self._witness.look()
            found = [one for one in self.seen if sight.fits(one)]
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > end:
                raise NotSeen(f"{sight} (waited {self._patience_s:g} s)")
            time.sleep(LOOK_EVERY_S)

    def journal(self, kind: str, subject: str | None = None, count: int = 1, **data: Any) -> Seen:
        """Wait until the daemon's journal has it. Raises NotSeen."""
        return self.see(Lane.JOURNALLED, kind, subject, count, **data)

    def cloud(self, kind: str, subject: str | None = None, count: int = 1, **data: Any) -> Seen:
        """Wait until the cloud received it. Raises NotSeen."""
        return self.see(Lane.CLOUD, kind, subject, count, **data)

    def screen(self, code: str) -> None:
        """Wait until the terminal shows it. Raises NotSeen."""
        self.see(Lane.ASKED, "screen", code)

    def all_received(self) -> None:
        """Wait until the cloud has every record. Raises NotSeen."""
        self.until(lambda: not self._witness.waiting(), "cloud: every record that was journalled")

    def until(self, true: Callable[[], object], what: str, within_s: float | None = None) -> None:
        """Wait until `true()`. Raises NotSeen."""
        within_s = self._patience_s if within_s is None else within_s
        end = time.monotonic() + within_s
        while True:
            self._witness.look()
            if true():
                return
            if time.monotonic() > end:
                raise NotSeen(f"{what} (waited {within_s:g} s)")
            time.sleep(LOOK_EVERY_S)

    def never(self, lane: Lane, what: str) -> None:
        """Raises NotSeen where it was seen in this step."""
        self._witness.look()
        if any(one.lane is lane and one.what == what for one in self.seen):
            raise NotSeen(f"{lane}: NO {what}, which came")

    # ------------------------------------------------ what it shows
    def proves(self, text: str) -> None:
        """A sentence for the step's end."""
        self.proofs.append(text)

    def opened_once(self, bay: str) -> Seen:
        """One authorisation, durable before the first byte; one frame. Returns the frame. Raises NotSeen."""
        authorised = self.journal("bay.unlock_authorised", bay)
        self.see(Lane.COMMANDED, "pulse_on", bay)
        frame = self.see(Lane.COMMANDED, "unlock_frame")
        frames = [one for one in self.seen if one.what in ("unlock_frame", "opened_all")]
        pulses = [one for one in self.seen if one.what == "pulse_on"]
        first = float(frame.data["t_first"])
        if len(frames) != 1 or len(pulses) != 1 or first < authorised.at:
            raise NotSeen(f"one authorisation, then one frame: {len(frames)} frames, {len(pulses)} pulses")
        self.proves(
            f"opened once: authorised in record {authorised.seq}; the unlock frame begins "
            f"{(first - authorised.at) * 1000:.0f} ms later"
        )
        return frame


class Play:
    """Numbers the steps and prints them. `online` False: nobody expects the cloud to hear of a step."""

    def __init__(self, stage: Stage, witness: Witness, screen: Screen, patience_s: float = PATIENCE_S) -> None:
        """`patience_s`: how long each thing that must follow is waited for."""
        self.stage, self.witness, self._screen, self._patience_s = stage, witness, screen, patience_s
        self.online = True
        self.steps = 0

    @contextmanager
    def step(self, title: str, began: float | None = None) -> Iterator[Step]:
        """Times count from `began` (default: now). Raises NotSeen after printing what was seen and what was not."""
        self.steps += 1
        self._screen.step(self.steps, title)
        step = Step(self.stage, self.witness, time.monotonic() if began is None else began, self._patience_s)
        try:
            yield step
            if self.online:
                step.all_received()
        except NotSeen as missing:
            self._rows(step)
            self._screen.bad(f"not seen: {missing}")
            raise
        self._rows(step)
        for proof in step.proofs:
            self._screen.good(proof)

    def _rows(self, step: Step) -> None:
        self._screen.rows(step.seen, step.began, self.witness.post)

    def vendingctl(self, *arguments: str, code: int = 0) -> str:
        """As a technician types it; returns what it printed. Raises NotSeen for another exit code."""
        command = vendingctl()
        done = subprocess.run(
            [*command, "--socket", str(self.stage.daemon.path), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        said = (done.stdout + done.stderr).strip()
        if done.returncode != code:
            raise NotSeen(f"vendingctl {' '.join(arguments)}: exit code {code}; it was {done.returncode}: {said}")
        return said


def vendingctl() -> list[str]:
    """The command beside this interpreter, where it was installed."""
    beside = Path(sys.executable).parent / "vendingctl"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "vendingd.cli.main"]
