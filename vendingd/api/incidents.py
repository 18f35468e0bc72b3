"""What a technician should look at for each kind of incident, and which outcomes make sense. Texts as data.

An incident exists where sensors could not tell what happened. So each text first says what the machine knows, then
what eyes can tell, then what to say to the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fsm.model import Incident
from fsm.world import World


@dataclass(frozen=True, slots=True)
class Guide:
    """`look`: in this order. `outcomes`: the word for `incident resolve --outcome`, and when it is right."""

    title: str
    look: tuple[str, ...]
    outcomes: Mapping[str, str]


_CONTENTS = "Then say what is in the bay: `vendingctl bays set BAY --asset ID|--empty --reason ...`."
_JOURNAL = "`vendingctl journal` shows what was commanded and sensed around it."

_WITH_RENTAL: Mapping[str, str] = {
    "ready": "the asset is still inside and its holder may come again with the same pass",
    "on_trip": "the holder has the asset",
    "returned": "the asset is back and this rental is over",
    "cancelled": "the rental is over without a trip; the asset is here",
    "purchased": "the holder has bought the asset",
}
_CLOSED: Mapping[str, str] = {"closed": "it is understood; no rental hangs on it"}


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


def binds(world: World, incident: Incident) -> bool:
    """Whether a rental waits for this incident's outcome."""
    rental = world.rental(incident.rental) if incident.rental is not None else None
    return rental is not None and rental.incident == incident.id


def guide(world: World, incident: Incident) -> Guide:
    """The guide for this incident, with the bay's name in it and the outcomes that the machine will take now."""
    known = GUIDES.get(incident.kind, _OTHER)
    if binds(world, incident):
        # The common ones first, then whatever else is possible.
        usual = {word: why for word, why in known.outcomes.items() if word != "closed"}
        outcomes = {**usual, **{word: why for word, why in _WITH_RENTAL.items() if word not in usual}}
        rental = world.rental(incident.rental or "")
        if rental is not None and rental.asset is None:
            outcomes.pop("on_trip", None)
    else:
        outcomes = dict(_CLOSED)
    bay = incident.bay or "BAY"
    return Guide(known.title, tuple(line.replace(" BAY", f" {bay}") for line in known.look), outcomes)
