"""People with passes, badges, PINs and faces at two terminals, at random: no contradiction, no secret kept, no camera
looking at nobody, and no car for less than is demanded.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from fsm import choose
from fsm import events as e
from fsm.effects import CheckFace, CheckPin, StopFace, Unlock
from fsm.model import FINAL, BayState, Commanded, Purpose, VisitState, armed
from fsm.policy import NAMING
from fsm.step import Step
from fsm.world import Turn
from tests.unit.fsm.factors import CAMERA, MODULE, badge, face, factor_bench, guard
from vendingd.kernel.codec import decode, encode
from vendingd.prompts import prompt

STEPS = 80
LEAST = (("pass",), ("pass", "badge"), ("pass+pin", "badge+pin"))
DEMANDS: tuple[tuple[str, ...], ...] = (
    (),
    ("pass+pin",),
    ("badge+pin", "pass"),
    ("pass+face", "pass+pin"),
    ("pass+pin+face", "pass+pin+badge"),
    ("pass+live-face", "badge"),
)


class Day:
    """One random day of one machine."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.m = factor_bench(self.random.choice(LEAST), module=seed % 3 == 0, cars={"b1": "car1", "b2": "car2"})
        if seed % 2:
            guard(self.m, "car1", "BOSS")
        self.looking: dict[str, tuple[int, int]] = {}  # terminal -> the comparison that is under way
        self.effects_seen = 0
        self.released = 0

    def pick(self, *of: Any) -> Any:
        return self.random.choice(of)

    # ------------------------------------------------ what happens
    def book(self, rental: str) -> Step:
        module = self.m.layout.terminals["front"].keeps_faces
        return self.m.book(
            rental,
            self.pick("car1", "car2", None),
            version=self.random.randrange(1, 5),
            badges=self.pick((), ("B1",), ("B1", "B2"), ("B2",)),
            pin=self.pick(None, "sealed"),
            face=self.pick(None, "sealed"),
            face_format=MODULE if module else CAMERA,
            demands=self.random.choice(DEMANDS),
            window_from=self.m.utc + self.pick(-3600, -10, 100),
            window_to=self.m.utc + self.pick(200, 3600),
        )

    def hands(self) -> None:
        """People at the doors, and locks that answer."""
        for key in self.m.layout.bays:
            bay = self.m.bay(key)
            if bay.grant is not None and bay.grant.commanded is Commanded.AUTHORISED:
                self.m.sent(key, self.pick("sent", "sent", "not_sent"))
            elif bay.state is BayState.OPENING:
                self.m.open(key)
            elif bay.state is BayState.OPEN and bay.grant is not None:
                back = bay.grant.purpose is Purpose.RETURN and self.random.random() < 0.7
                self.m.close(key, presence=back, tag=self.m.tag_of(bay.grant.asset) if back else None)

    def once(self) -> None:
        m, rental, terminal = self.m, self.pick("r1", "r2", "r3"), self.pick("front", "front", "side")
        checks = {kind: any(isinstance(f, kind) for f in m.effects) for kind in (CheckPin, CheckFace)}
        match self.random.randrange(16):
            case 0:
                self.book(rental)
            case 1 | 2:
                m.show(rental, terminal, asset=self.pick("car1", "car2"), demands=self.pick((), (), ("pass+pin",)))
            case 3 | 4:
                badge(m, self.pick("B1", "B2", "BOSS", "X"), terminal)
            case 5:
                m.tell(e.PinEntered(terminal, self.pick("1", "2", "1234")))
            case 6 if checks[CheckPin]:
                m.check_pin(self.pick(True, False, None))
            case 7 | 8 if checks[CheckFace]:
                face(m, self.pick(True, True, False, None), self.pick("none", "hardware", "challenge"))
            case 9:
                m.tell(e.Chosen(terminal, self.pick("1", "2", "9")))
            case 10:
                m.tell(self.pick(e.Left(terminal), e.Confirmed(terminal)))
            case 11:
                m.wait(self.pick(1, 16, 130, 400))
            case 12 | 13:
                self.hands()
            case 14:
                m.deliver(e.CancelReservation(f"c{m.mono}{len(m.records)}", rental, self.random.randrange(1, 9)))
            case 15 if self.random.random() < 0.3:
                m.crash(same_boot=self.pick(True, False))
                m.recover_rest()
                self.looking.clear()
            case _:
                m.tell(e.ForgetRental(rental, "eve", "asked", self.pick(True, False)))

    # ------------------------------------------------ what must hold
    def holds(self) -> None:
        for effect in self.m.effects[self.effects_seen :]:
            if isinstance(effect, CheckFace):
                self.looking[effect.terminal] = (effect.visit, effect.look)
            elif isinstance(effect, StopFace) and self.looking.get(effect.terminal) == (effect.visit, effect.look):
                del self.looking[effect.terminal]
            elif isinstance(effect, Unlock):
                self.paid_for(effect)
        self.effects_seen = len(self.m.effects)
        for terminal in self.m.layout.terminals:
            visit = self.m.visit(terminal)
            if visit.facing:
                assert visit.state is VisitState.VERIFYING
                assert self.looking.get(terminal) == (visit.n, visit.look)
            shown = repr(prompt(self.m.world, terminal, None, ""))
            assert "sealed" not in shown and "BOSS" not in shown and "B1" not in shown
        for rental in self.m.world.of["rental"].values():
            assert decode("rental", rental.id, encode(rental)) == rental
            if rental.state in FINAL and armed(rental, "reopen") is None and rental.grant is None:
                assert (rental.pin, rental.face, rental.badges) == (None, None, ()), rental.state

    def paid_for(self, effect: Unlock) -> None:
        """What opened a bay for a pick-up was enough for it, by the journal's own word."""
        grant = self.m.bay(effect.bay).grant
        if grant is None or grant.id != effect.grant or grant.purpose is not Purpose.RELEASE:
            return
        rental = self.m.rental(grant.rental or "")
        kinds = [(kind, data) for kind, subject, data in self.m.records if subject == rental.id]
        newest = next((data for kind, data in reversed(kinds) if kind in ("rental.identified", "rental.claimed")), {})
        shown = frozenset(newest.get("factors", [newest.get("by", "pass")]))
        needed = choose.required(Turn(self.m.world, self.m.now), rental, ())
        implied = shown | {"face"} if "live-face" in shown else shown
        assert any(way & NAMING and way <= implied for way in needed), (shown, needed)
        self.released += 1


@pytest.mark.parametrize("seeds", [range(n, n + 40) for n in range(0, 240, 40)], ids=str)
def test_random_days(seeds: range) -> None:
    released = 0
    for seed in seeds:
        day = Day(seed)
        for rental in ("r1", "r2"):
            day.book(rental)
        for _ in range(STEPS):
            day.once()
            day.holds()
        released += day.released
    assert released > len(seeds) / 4, "days on which nothing happens prove nothing"
