"""What physically became of every asset against what the cloud was told: takings, returns, contents, open doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.year.plant import Seen

if TYPE_CHECKING:
    from tests.simulation.year.run import Run

HELD_S = 120.0  # the site files leave held_open_s at its default
UNSURE_S = 6.0  # by which debounce, polls and commits may move an opening across that line

Move = tuple[str, str, str]  # kind of record, asset, bay


class History:
    """Listens to the plant; compares at the end. Only runs without troubles can be compared so exactly."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.moves: dict[str, list[Move]] = {}  # by rental
        self.closed: dict[str, list[tuple[str | None, bool]]] = {}  # bay -> what was inside, and: a customer shut it
        self.held: dict[str, list[float]] = {}  # bay -> how long each opening lasted
        self.stocked: set[str] = set()  # bays that staff put something in, without a tag to tell what
        self._opened: dict[str, float] = {}

    def heard(self, seen: Seen) -> None:
        run, customer = self._run, seen.who.startswith("customer-")
        if seen.what == "taken" and customer:
            self._move(run.laws.granted(seen.bay) or "", "rental.on_trip", seen)
        elif seen.what == "put" and customer:
            self._move(run.trips[seen.asset], "rental.returned", seen)
        elif seen.what == "put":
            self.stocked.add(seen.bay)
        elif seen.what == "door_opened":
            self._opened[seen.bay] = seen.t
        elif seen.what == "door_closed":
            self.closed.setdefault(seen.bay, []).append((run.plant.bays[seen.bay].inside, customer))
            self.held.setdefault(seen.bay, []).append(seen.t - self._opened[seen.bay])

    def _move(self, rental: str, kind: str, seen: Seen) -> None:
        self.moves.setdefault(rental, []).append((kind, seen.asset, seen.bay))

    # ------------------------------------------------ at the end
    def compare(self) -> tuple[str, str] | None:
        """The first difference as a law's name and what is wrong; None where all is told as it was."""
        return self._custody() or self._withdrawals() or self._contents() or self._alarms()

    def _told(self, *kinds: str) -> list[tuple[str, str, dict[str, Any]]]:
        events = self._run.cloud.order
        named = ((e["type"].removeprefix("io.vendingd."), e.get("subject", ""), e["data"]) for e in events)
        return [(kind, subject, data) for kind, subject, data in named if kind in kinds]

    def _custody(self) -> tuple[str, str] | None:
        told: dict[str, list[Move]] = {}
        for kind, rental, data in self._told("rental.on_trip", "rental.returned"):
            if "source" not in data and "elsewhere" not in data:
                told.setdefault(rental, []).append((kind, data.get("asset", ""), data.get("bay", "")))
        for rental in sorted(self.moves.keys() | told.keys()):
            real, said = self.moves.get(rental, []), told.get(rental, [])
            if self._run.cloud.ledger.rentals[rental]["state"] == "purchased":  # what comes back then is just received
                real = [move for move in real if move[0] != "rental.returned"]
            if real != said:
                return "law 6", f"{rental} did {real}, the cloud was told {said}"
        received = {subject for _, subject, _ in self._told("asset.received")}
        for rental, moves in self.moves.items():
            for kind, asset, _ in moves:
                if kind == "rental.returned" and asset not in received:
                    return "law 6", f"{rental} brought {asset} back and it was never received"
        return None

    def _withdrawals(self) -> tuple[str, str] | None:
        """A booking that nobody has shown yet can be cancelled, and its pass revoked."""
        laws = self._run.laws
        for rental, instruction in laws.withdrawn.items():
            shown = [t for t, _ in laws.shown.get(rental, ()) if t < laws.cancelled_at[rental] + 30]
            said = [data["outcome"] for data in self._run.cloud.outcomes[instruction]]
            if not shown and said != ["accepted"]:
                return "withdrawn is withdrawn", f"{instruction} about {rental}, which nobody had shown: {said}"
        return None

    def _contents(self) -> tuple[str, str] | None:
        for bay, real in self.closed.items():
            told = [d for _, subject, d in self._told("bay.secured") if subject == bay]
            said = [d for d in told if "outage" not in d]  # the first start finds what stands there
            if len(said) != len(real):
                return "law 2", f"{bay} was shut {len(real)} times and told secured {len(said)} times"
            for n, ((inside, customer), data) in enumerate(zip(real, said, strict=True), start=1):
                full = "occupied" if inside is not None else "empty"
                if data["occupancy"] != full or (customer and data.get("asset") != inside):
                    return "law 6", f"{bay}, shut for the {n}th time, holds {inside}; the cloud was told {data}"
        return None

    def _alarms(self) -> tuple[str, str] | None:
        """A door held open is an alarm; nothing else is where nothing is wrong, and there are no incidents."""
        for kind, subject, data in self._told("incident.opened", "bay.alarm_raised"):
            stocked = data.get("bay") in self.stocked and data.get("kind") == "unidentified_asset"
            if not stocked and data.get("alarm") != "held_open":
                return "no false alarm", f"{kind} {subject} {data}"
        for bay, lasted in self.held.items():
            told = sum(1 for _, subject, _ in self._told("bay.alarm_raised") if subject == bay)
            sure = sum(1 for s in lasted if s > HELD_S + UNSURE_S)
            most = sum(1 for s in lasted if s > HELD_S - UNSURE_S)
            if not sure <= told <= most:
                return "a door held open is alarmed", f"{bay}: {sure} to {most} times too long, told {told} times"
        return None
