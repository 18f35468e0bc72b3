"""The laws, held against what physically happened, what became durable and what the cloud was told.

Nothing here asks the daemon what it believes. `violation` ends the run with what was broken.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.simulation.year.history import History
from tests.simulation.year.plant import Seen

if TYPE_CHECKING:
    from tests.simulation.year.people import Holder
    from tests.simulation.year.run import Run

LIFE_S = 5.0  # an unlock may be sent for so long after its commit
SLACK_S = 1.0  # one frame on the wire and the pulse before it on the same supply
IDENTIFIED_S = 200.0  # an identified holder is served within a claim's time, and the time of choosing another bay
STALE_S = 60.0 + 40.0  # the age at which it is obeyed, and the slowest way from the cloud to the journal
LATE_WORDS = {"too_late", "too_early", "already_used", "cancelled", "other_machine", "refused", "locked_out"}
# What may keep a return away: no place, the bay's or the machine's own trouble, or another moment.
FAIR_RETURN = {
    "no_empty_bay", "stopped", "in_use", "wait", "unavailable", "black", "call_support", "bay_stuck", "not_opened",
    "left_empty", "timed_out", "idle", "open_door", "checking", "press_return_first", "try_again", "goodbye",
    "thank_you", "take_and_close", "put_and_close", "close_door_now", "already_here", "enter_pin",
}  # fmt: skip
BLINDING = {"silent", "stuck", "forced"}
GARBLING = {"noise", "noise_bus", "late_bus", "repeat", "unplug", "unplug_bus", "echo"}  # a scanner's line in two
DISTURBING = {"clock_1970", "clock_forward", "clock_back"}
CLOCKS = DISTURBING | {"clock_off", "clock_drift", "unsynchronised", "boots_in_1970"}
LEEWAY_S = 60.0
TRIES = 5
BLIND_S = 2 * 3600.0  # a wrong belief is found when that bay is used, or by a technician who looks
REOPEN_S = 300.0


class Violation(AssertionError):
    """A law was broken; `args[0]` is its name, `args[1]` what happened."""


class Laws:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.broken: Violation | None = None
        self.grants: dict[str, dict[str, Any]] = {}
        self.authorised: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self.pulsed: set[str] = set()  # grants
        self.history = History(run)
        self.quiet = not run.plan.troubles  # then everything can be judged
        self.tried: dict[str, int] = {}  # rental -> PINs since the right one
        self.named_ready: dict[str, str] = {}  # asset -> the rental that waits for this very one
        self.back_at: dict[str, float] = {}  # rental -> when its return became durable
        self.withdrawn: dict[str, str] = {}  # rental -> the instruction that cancelled it or revoked its pass
        self.shown: dict[str, list[tuple[float, str]]] = {}
        self.tags: dict[str, float] = {}  # asset -> when its tag was held to a reader
        self.right_pin: dict[str, float] = {}
        self.taken: dict[str, float] = {}  # rental -> when its holder took an asset
        self.returned: dict[str, float] = {}
        self.cancelled_at: dict[str, float] = {}
        self.remote_bays: dict[str, list[float]] = {}
        self.swapped = False
        self.astray: set[str] = set()  # rentals whose customer took what was released to one who walked off
        self.assumed: set[str] = set()
        self.blind_until = 0.0
        self.meddled_until = 0.0
        self.trouble_seen: set[str] = set()
        self.completed = 0
        self.picked = 0

    def violation(self, law: str, what: str) -> None:
        self.broken = self.broken or Violation(law, f"{what} (t={self.run.line.t:.3f})")
        raise self.broken

    # ------------------------------------------------ told by people and troubles
    def presented(self, terminal: str, rental: str, holder: Holder) -> None:
        self.run.note(f"at {terminal}: {holder.name} shows the pass of {rental}")
        self.shown.setdefault(rental, []).append((self.run.line.t, terminal))

    def held_tag(self, asset: str) -> None:
        self.tags[asset] = self.run.line.t

    def typed(self, terminal: str, rental: str, right: bool) -> None:
        if right:
            self.right_pin[rental] = self.run.line.t

    def cancelled(self, rental: str, instruction: str) -> None:
        """The cloud was told to cancel a rental that nobody has claimed, or to revoke its pass."""
        self.cancelled_at[rental] = self.run.line.t
        self.withdrawn[rental] = instruction

    def remote(self, bay: str) -> None:
        self.remote_bays.setdefault(bay, []).append(self.run.line.t)

    def troubled(self, kind: str, lasts_s: float) -> None:
        self.trouble_seen.add(kind)
        if kind in BLINDING or not self.run.site.presence:
            self.blind_until = max(self.blind_until, self.run.line.t + lasts_s + BLIND_S)
        if kind in ("forged", "other_machines", "rubbish", "others_pass", "two_buttons"):
            self.meddled()
        if kind.startswith("disk_"):  # answers come so late that they stand before the next one
            self.meddled(lasts_s)

    def meddled(self, lasts_s: float = 0.0) -> None:
        """Somebody else's refusal, or door, may stand on a screen for a while."""
        self.meddled_until = max(self.meddled_until, self.run.line.t + lasts_s + 60)

    def got(self, holder: Holder, bay: str) -> None:
        """Somebody left with an asset: it was theirs, and the bay was opened for them."""
        self.picked += 1
        self.taken[holder.c.rental] = self.run.line.t
        booked = holder.c.asset
        odd = self.blind() or self.swapped or self.run.line.t < self.meddled_until
        if booked is not None and holder.asset != booked and not odd:
            self.violation("right hands", f"{holder.name} booked {booked} and was given {holder.asset}")
        known = self.authorised.get(bay, [])
        rental = known[-1][1].get("rental") if known else None
        if rental != holder.c.rental:
            self.astray.add(holder.c.rental)
            if not odd:
                self.violation("right hands", f"{holder.name} took {holder.asset} from {bay}, opened for {rental}")

    def parted(self, holder: Holder) -> None:
        """The asset went another way, as the cloud says."""
        self.completed += 1
        self.returned[holder.c.rental] = self.run.line.t

    def gave(self, holder: Holder) -> None:
        """Somebody left without one."""
        self.completed += 1
        self.returned[holder.c.rental] = self.run.line.t

    def blind(self) -> bool:
        """Sensors have lied, or there are none and something went wrong: what is believed may still be wrong."""
        return self.run.line.t < self.blind_until

    # ------------------------------------------------ what people were told
    def due(self, holder: Holder) -> bool:
        """Whether whoever shows their pass now must be served: nothing is wrong, and what they booked is free."""
        run, c, t = self.run, holder.c, self.run.line.t
        if not self.quiet or run.healed or t < self.meddled_until or not run.site.presence:
            return False
        if c.rental in self.taken or c.rental in self.cancelled_at or not c.at - 30 <= t <= c.at + 880:
            return False
        if c.behaviour == "guesses_pin" or (c.behaviour == "early" and not c.booked):
            return False
        inside = {bay.inside for bay in run.plant.bays.values() if not bay.open and t - run.last_touched(bay.id) > 12}
        if c.asset is not None:
            return c.asset in inside and self.named_ready.get(c.asset, c.rental) == c.rental
        named = {other.asset for other in run.plan.customers}
        return bool(inside - named - {None})

    def refused_pick_up(self, holder: Holder, word: str, *, due: bool) -> None:
        run, c = self.run, holder.c
        if due and run.line.t >= self.meddled_until:
            self.violation("refused without cause", f"{c.rental} for {c.asset or 'any'}: {word}")
        if word not in LATE_WORDS or run.line.t < self.meddled_until:
            return
        wrong_clock = bool(self.trouble_seen & DISTURBING)
        if word == "too_late" and run.plan.trust == "kernel":
            wrong_clock = False  # nothing runs out by a clock that is not synchronised
        early_or_late = c.behaviour in ("late", "early") or run.line.t > c.at + 800
        if word == "too_early" or (word == "too_late" and not early_or_late and c.rental not in self.cancelled_at):
            if not wrong_clock:
                self.violation("refused without cause", f"{c.rental}: {word}")
        elif word == "already_used" and c.rental not in self.taken and not self.blind() and run.site.presence:
            self.violation("refused without cause", f"{c.rental}: {word}, but nobody took anything")
        elif word == "cancelled" and c.rental not in self.cancelled_at:
            self.violation("refused without cause", f"{c.rental}: {word}, but nobody cancelled it")
        elif word == "refused" and c.change == "revoke_early" and c.rental in self.cancelled_at:
            return
        elif word == "other_machine" or (word == "refused" and not self.trouble_seen & GARBLING):
            self.violation("refused without cause", f"{c.rental}: {word}")

    def refused_return(self, holder: Holder, word: str) -> None:
        """Law 4: whoever holds an asset that is known here may bring it back."""
        if word in FAIR_RETURN or holder.asset is None or self.run.line.t < self.meddled_until:
            return
        if word == "refused" and self.trouble_seen & GARBLING:
            return
        if holder.c.rental in self.astray:
            return  # their own pass knows nothing of it
        row = self.run.cloud.ledger.rentals.get(holder.c.rental)
        if not self.run.site.presence and row is not None and row["state"] == "returned":
            return  # another closed an empty bay under a pass for the same asset, and nothing could see that it was
        if holder.c.rental not in self.taken or holder.c.change in ("purchase", "elsewhere", "cancel_late"):
            return
        if self.blind():
            return
        self.violation("a return is always possible", f"{holder.c.rental} was told {word!r}")

    # ------------------------------------------------ what became durable
    def granted(self, bay: str) -> str | None:
        """The rental for which this bay was opened last."""
        known = self.authorised.get(bay)
        return known[-1][1].get("rental") if known else None

    def durable(self, record: Any) -> None:
        rental = record.subject
        if record.kind == "rental.ready" and (holder := self.run.holders.get(rental)) and holder.c.asset:
            self.named_ready[holder.c.asset] = rental
        elif record.kind in ("rental.claimed", "rental.expired", "rental.cancelled"):
            self.named_ready = {asset: one for asset, one in self.named_ready.items() if one != rental}
        if record.kind == "rental.expired" and (holder := self.run.holders.get(rental)):
            early = holder.c.at + 900 - LEEWAY_S - self.run.line.t
            if self.run.plan.trust == "kernel" and early > 0:  # it knows when its clock is not to be believed
                self.violation("nothing runs out by a wrong clock", f"{rental} expired {early:.0f} s before its time")
        if record.kind == "rental.pin_tried":
            n = self.tried[rental] = self.tried.get(rental, 0) + 1
            if n > TRIES:
                self.violation("locked out is locked out", f"the PIN of {rental} is tried for the {n}th time")
        elif record.kind == "rental.identified":
            self.tried[rental] = 0
        elif record.kind == "rental.returned":
            self.back_at.setdefault(rental, self.run.line.t)
        if record.kind == "rental.on_trip" and b'"source":"return"' in record.data:
            self.assumed.add(record.subject)  # a pass for what is not here: it says itself that it is out
        if record.kind != "bay.unlock_authorised":
            return
        run, bay, said = self.run, record.subject, json.loads(record.data)
        grant = said["grant"]
        if grant in self.grants:
            self.violation("one authorisation, one grant", f"{grant} was authorised twice")
        self.grants[grant] = said
        self.run.authorised()
        self.authorised.setdefault(bay, []).append((run.line.t, said))
        purpose, rental = said["purpose"], said.get("rental")
        if purpose in ("technician", "forced"):
            self._by_staff(bay, said)
            return
        t = run.line.t
        if rental is None:
            if self.tags.get(said.get("asset", ""), -1e9) < t - IDENTIFIED_S and not self._shown_lately(t):
                self.violation("only the holder", f"{bay} opens for nobody's {said.get('asset')}")
            return
        by_tag = purpose == "return" and self.tags.get(said.get("asset", ""), -1e9) > t - IDENTIFIED_S
        if not by_tag and not any(at > t - IDENTIFIED_S for at, _ in self.shown.get(rental, ())):
            self.violation("only the holder", f"{bay} opens for {rental}, which nobody has shown")
        holder = run.holders.get(rental)
        if purpose == "reopen" and self.quiet and t - self.back_at.get(rental, t) > REOPEN_S + 15:
            self.violation("reopening ends", f"{bay} opens again for {rental}, long after its return")
        if purpose == "release" and holder is not None:
            self._in_its_time(bay, holder, said)
            if holder.c.pin and self.right_pin.get(rental, -1e9) < t - IDENTIFIED_S:
                self.violation("every factor", f"{bay} opens for {rental} without its PIN")
            if rental in self.taken and not self.blind() and run.site.presence:
                self.violation("one pass, one asset", f"{bay} opens for {rental}, which has its asset already")
            inside = run.plant.bays[bay].inside
            wanted = holder.c.asset
            if wanted is not None and inside not in (wanted, None) and not self.swapped and not self.blind():
                self.violation("right hands", f"{bay} with {inside} opens for {rental}, which booked {wanted}")
        elif purpose == "return" and run.plant.bays[bay].inside is not None and run.site.presence and not self.blind():
            self.violation("a return opens an empty bay", f"{bay} holds {run.plant.bays[bay].inside}")

    def _shown_lately(self, t: float) -> bool:
        return any(shown[-1][0] > t - IDENTIFIED_S for shown in self.shown.values())

    def _in_its_time(self, bay: str, holder: Holder, said: dict[str, Any]) -> None:
        """Within the window (where the clock was right), not after a withdrawal that was accepted, nor locked out."""
        run, c, t = self.run, holder.c, self.run.line.t
        if not self.trouble_seen & CLOCKS and not c.at - 30 - LEEWAY_S <= t <= c.at + 900 + LEEWAY_S + IDENTIFIED_S:
            self.violation("only in its time", f"{bay} opens for {c.rental} {t - c.at:.0f} s after its time")
        for outcome in run.cloud.outcomes.get(self.withdrawn.get(c.rental, ""), ()):
            if outcome["outcome"] == "accepted":
                self.violation("withdrawn is withdrawn", f"{bay} opens for {c.rental}")
        asset = said.get("asset", "")
        waits = self.named_ready.get(asset)
        if self.quiet and c.asset is None and waits is not None and waits in self.run.holders:
            self.violation("right hands", f"{bay} with {asset} opens for {c.rental}, while {waits} booked that one")

    def _by_staff(self, bay: str, said: dict[str, Any]) -> None:
        who = str(said.get("who", ""))
        if not who:
            self.violation("a technician has a name", f"{bay}: {said}")
        if who != "li":
            asked = self.remote_bays.get(bay, [])
            if not asked:
                self.violation("only who is told to", f"{bay} opens for {who}, who did not ask")
            if self.run.line.t - asked[-1] > STALE_S:
                self.violation("an old command is stale", f"{bay} opens {self.run.line.t - asked[-1]:.0f} s late")
            asked.pop()

    # ------------------------------------------------ what physically happened
    def heard(self, seen: Seen) -> None:
        self.history.heard(seen)
        if seen.what == "opened_all":
            self.violation("one bay", "a frame that opens everything was sent")
        if seen.what == "door_opened":
            self.run.opened[seen.bay] = seen.t
        if seen.what != "pulse":
            return
        known = self.authorised.get(seen.bay, [])
        if not known or known[-1][1]["grant"] in self.pulsed:
            self.violation("law 1", f"{seen.bay} was pulsed without a durable authorisation of its own")
        at, said = known[-1]
        self.pulsed.add(said["grant"])
        if seen.t - at > LIFE_S + SLACK_S:
            self.violation("law 1", f"{seen.bay} was pulsed {seen.t - at:.1f} s after {said['grant']} was authorised")

    # ------------------------------------------------ at the end
    def told_everything(self) -> None:
        """Law 3: the cloud has every record once, in order, as it was handed to the journal."""
        run = self.run
        if run.cloud.trouble:
            self.violation("law 3", run.cloud.trouble[0])
        told = [(e["type"].removeprefix("io.vendingd."), e.get("subject", ""), e["data"]) for e in run.cloud.order]
        made = [(r.kind, r.subject, json.loads(r.data)) for r in run.machine.known]
        for n, (one, other) in enumerate(zip(made, told, strict=False), start=1):
            if one != other:
                self.violation("law 3", f"record {n} is {one[:2]} here and {other[:2]} in the cloud")
        if len(told) != len(made):
            self.violation("law 3", f"{len(made)} records here, {len(told)} in the cloud")
        for id_, outcomes in run.cloud.outcomes.items():
            if len(outcomes) > 1:
                self.violation("one outcome", f"instruction {id_}: {outcomes}")
        for body, _ in run.cloud.book[run.cloud.covered :]:
            if body["id"] not in run.cloud.outcomes:
                self.violation("one outcome", f"instruction {body['id']} {body['kind']} was never answered")

    def custody(self, *, resolved: bool) -> None:
        """Law 6: what the cloud believes of each rental is what became of its asset, or somebody was called."""
        run = self.run
        for rental, holder in run.holders.items():
            row = run.cloud.ledger.rentals.get(rental)
            state = row["state"] if row is not None else None
            out = holder.asset is not None
            explained = state == "incident" or holder.c.change in ("purchase", "elsewhere")
            if out and state not in ("on_trip", "returning") and not explained:
                self.violation("law 6", f"{holder.name} has {holder.asset}, the cloud says {state}")
            without = rental in self.returned or rental not in self.taken
            held = state in ("on_trip", "releasing", "returning", "claimed") and rental not in self.assumed
            if not out and held and without and not self.blind():
                self.violation("law 6", f"{holder.name} has nothing, the cloud says {state}")
            if resolved and state == "incident":
                self.violation("an incident has a way out", f"{rental} is still an incident")

    def alarms(self) -> None:
        """Whoever opened a door by force was seen, where the door can be seen."""
        run = self.run
        blinding = {"silent", "stuck", "jam", "sticky", "unplug", "unplug_bus"}
        if self.trouble_seen & blinding or any(kind.startswith("disk_") for kind in self.trouble_seen):
            return  # without a journal nothing is decided, and the door is shut again when it holds
        said = {e.get("subject") for e in run.cloud.order if e["data"].get("alarm") == "forced_open"}
        for seen in run.plant.log:
            if seen.what != "door_forced" or run.machine_was_off(seen.t):
                continue
            # Under an authorisation that lives, or may still open late, it is that one's opening.
            lives = any(at > seen.t - 120 for at, _ in self.authorised.get(seen.bay, ()) if at <= seen.t)
            if not lives and seen.bay not in said:
                self.violation("force is alarmed", f"{seen.bay} was forced at {seen.t:.0f} and nobody was told")

    def openings(self) -> None:
        """Without troubles all is told as it was: every motion of a door once, in order, and nothing else."""
        run = self.run
        if not self.quiet:
            return
        if run.site.presence and (differs := self.history.compare()) is not None:
            self.violation(*differs)
        for bay in run.plant.bays:
            real = [s.what for s in run.plant.log if s.bay == bay and s.what in ("door_opened", "door_closed")]
            told = [
                "door_opened" if e["type"].endswith("bay.opened") else "door_closed"
                for e in run.cloud.order
                if e.get("subject") == bay and e["type"] in ("io.vendingd.bay.opened", "io.vendingd.bay.closed")
            ]
            if real != told:
                self.violation("law 2", f"{bay}: {len(real)} motions of the door, {len(told)} told")
