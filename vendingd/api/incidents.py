"""What a technician should look at for each kind of incident, and which outcomes make sense. Texts as data.

An incident exists where sensors could not tell what happened. So each text first says what the machine knows, then
what eyes can tell, then what to say to the machine. Kind by kind, with what becomes of everything: docs/incidents.md.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from fsm.events import ResolveIncident
from fsm.model import Bay, Incident, Now
from fsm.reasons import REASONS
from fsm.step import step
from fsm.technician import OUTCOMES
from fsm.world import World


@dataclass(frozen=True, slots=True)
class Guide:
    """`look`: in this order. `outcomes`: the word for `incident resolve --outcome`, and when it is right."""

    title: str
    look: tuple[str, ...]
    outcomes: Mapping[str, str]  # of a kind: the usual ones; of an incident: those that the machine takes now
    not_now: Mapping[str, str] | None = None  # outcome: what stands against it


_CONTENTS = (
    "Then say what is in the bay: `vendingctl bays set BAY --asset ASSET --reason ...`, "
    "or `vendingctl bays set BAY --empty --reason ...`."
)
_JOURNAL = "`vendingctl journal` shows what was commanded and sensed around it."

_WITH_RENTAL: Mapping[str, str] = {
    "ready": "the asset is in a bay here, and its holder may come again with the same pass while the window lasts",
    "on_trip": "the holder has the asset; the pass brings it back",
    "returned": "the asset is back in a bay here, and this rental is over",
    "cancelled": "the rental is over without a trip; the asset is in a bay here",
    "purchased": "the holder has bought the asset and keeps it",
}
_CLOSED: Mapping[str, str] = {"closed": "it is understood, and no rental waits for it"}


def _rental(*words: str) -> Mapping[str, str]:
    return {word: _WITH_RENTAL[word] for word in words}


GUIDES: Mapping[str, Guide] = {
    "not_taken": Guide(
        "The bay was opened several times and the asset was not taken",
        (
            "Is the asset inside, can it be taken out, is something in its way?",
            "Is the presence sensor right? `vendingctl bays BAY` shows what it says.",
            "Ask the holder, if there is one to be asked, whether they still want it.",
        ),
        _rental("ready", "cancelled", "on_trip"),
    ),
    "unidentified_asset": Guide(
        "Something is in the bay that the machine cannot name",
        (
            "Open it: `vendingctl unlock BAY --reason ...`. What is inside?",
            "If it is an asset, is its tag there, whole, and in the reader's field?",
            "If it belongs to nobody here, take it out and keep it for its owner.",
            _CONTENTS + " That lifts the quarantine.",
        ),
        {**_CLOSED, **_rental("returned", "on_trip", "ready", "cancelled")},
    ),
    "asset_missing": Guide(
        "An asset that was believed inside is gone, and no rental took it",
        (
            "Is the bay really empty? A dead presence sensor looks like a theft.",
            "Does a camera of the site show who opened it, and when?",
            "Is the door, the bolt or the frame damaged? If so: `vendingctl out-of-service BAY --reason ...`.",
            _JOURNAL,
        ),
        {
            **_CLOSED,
            **_rental("on_trip", "returned", "cancelled"),
        },
    ),
    "unsure_release": Guide(
        "A release was under way, and no sensor can say whether the asset was taken",
        (
            "Open the bay: `vendingctl unlock BAY --reason ...`. Is the asset inside?",
            "Which sensor is silent? `vendingctl bays BAY` and `vendingctl doctor` name it; repair it first.",
            _CONTENTS,
        ),
        _rental("ready", "on_trip", "cancelled"),
    ),
    "unsure_return": Guide(
        "A return was under way, and no sensor can say whether the asset came back",
        (
            "Open the bay: `vendingctl unlock BAY --reason ...`. Is the asset inside? Is it the right one?",
            "Which sensor or tag reader is silent? `vendingctl bays BAY` and `vendingctl doctor` name it.",
            _CONTENTS,
        ),
        _rental("returned", "on_trip", "purchased"),
    ),
    "unsure_reopen": Guide(
        "A holder opened the bay again after a return, and no sensor can say whether the asset was taken",
        (
            "Open the bay: `vendingctl unlock BAY --reason ...`. Is the asset inside?",
            "Which sensor is silent? `vendingctl bays BAY` names it.",
            _CONTENTS,
        ),
        _rental("returned", "on_trip"),
    ),
    "unsure_technician": Guide(
        "After a technician's opening no sensor can say what is inside",
        ("What did you put in or take out?", "Which sensor is silent? `vendingctl bays BAY` names it.", _CONTENTS),
        _CLOSED,
    ),
    "unsure_forced": Guide(
        "The door was open without an authorisation, and no sensor can say what is inside",
        (
            "Is the asset inside? Is the door, the bolt or the frame damaged?",
            "Does a camera of the site show who opened it?",
            _CONTENTS,
            "Then `vendingctl alarm clear BAY forced_open --reason ...`.",
        ),
        {**_CLOSED, **_rental("ready", "on_trip", "returned", "cancelled")},
    ),
}

_OTHER = Guide(
    "The machine does not know what happened",
    ("Open the bay: `vendingctl unlock BAY --reason ...`. What is inside?", _JOURNAL, _CONTENTS),
    {**_CLOSED, **_WITH_RENTAL},
)


def title(kind: str) -> str:
    return GUIDES.get(kind, _OTHER).title


def binds(world: World, incident: Incident) -> bool:
    """Whether a rental waits for this incident's outcome."""
    rental = world.rental(incident.rental) if incident.rental is not None else None
    return rental is not None and rental.incident == incident.id


def guide(world: World, incident: Incident, now: Now) -> Guide:
    """The guide for this incident, with its names in it and the outcomes that the machine will take now, or not yet."""
    known = GUIDES.get(incident.kind, _OTHER)
    why = {**known.outcomes, **_WITH_RENTAL, **_CLOSED}  # the usual ones come first
    possible, not_now = {}, {}
    for word in sorted(OUTCOMES, key=list(why).index):
        against = _against(world, incident, word, now)
        if against is None:
            possible[word] = why[word]
        elif against:
            not_now[word] = against
    return Guide(known.title, tuple(_named(line, world, incident) for line in known.look), possible, not_now)


def _against(world: World, incident: Incident, outcome: str, now: Now) -> str | None:
    """What the machine would say to this outcome: None where it takes it, "" where it never will."""
    said = step(world, ResolveIncident(incident.id, outcome, "", ""), now)
    if said.refused is None:
        return None
    if said.refused in ("unknown_outcome", "outcome_needed"):
        return ""
    if said.refused == "bay_not_concluded":
        return REASONS[said.refused]
    return said.detail + _first(world, incident, said.refused)


def _first(world: World, incident: Incident, refused: str) -> str:
    """The command that takes away what stands against an outcome."""
    asset = asset_of(world, incident) or "ID"
    if refused == "asset_inside":
        bay = world.bay_of_asset.get(asset) or "BAY"
        return f": `vendingctl bays set {shlex.quote(bay)} --empty --reason ...`"
    if refused == "asset_out":
        bay = shlex.quote(incident.bay) if incident.bay in world.of["bay"] else "BAY"
        return f": `vendingctl bays set {bay} --asset {shlex.quote(asset)} --reason ...`"
    return ""


def asset_of(world: World, incident: Incident) -> str | None:
    """The asset that it is about, as far as anybody knows."""
    rental = world.rental(incident.rental) if incident.rental is not None else None
    return incident.asset or (rental.asset if rental is not None else None)


def _named(line: str, world: World, incident: Incident) -> str:
    bay, asset = incident.bay, asset_of(world, incident)
    line = line.replace(" BAY", f" {shlex.quote(bay)}") if bay is not None else line
    return line.replace("ASSET", shlex.quote(asset) if asset is not None else "ID")


def whereabouts(world: World, incident: Incident) -> str | None:
    """Where the asset is believed, in words."""
    asset = asset_of(world, incident)
    if asset is None:
        return None
    bay = world.bay_of_asset.get(asset)
    return f"{asset}, believed in {bay}" if bay is not None else f"{asset}, in no bay here"


def bay_now(world: World, incident: Incident) -> str | None:
    """The incident's bay as it is now, in words."""
    bay = world.bay(incident.bay) if incident.bay is not None else None
    if bay is None:
        return incident.bay
    more = f"; quarantined, {bay.quarantined}" if bay.quarantined else ""
    more += f"; {', '.join(sorted(bay.alarms))}" if bay.alarms else ""
    return f"{bay.id}: {bay.state}, {_contents(bay)}{more}"


def _contents(bay: Bay) -> str:
    return f"contents {bay.occupancy}" if bay.asset is None else f"{bay.asset} believed inside, sensed {bay.occupancy}"


def told(guide_now: Guide) -> str:
    """The ways out in one paragraph, for whoever said what is not one of them."""
    possible = "; ".join(f"{word} ({why})" for word, why in guide_now.outcomes.items())
    against = "; ".join(f"{word} ({why})" for word, why in (guide_now.not_now or {}).items())
    return ". ".join(
        part for part in (f"Possible now: {possible or 'nothing'}", against and f"Not yet: {against}") if part
    )
