"""What a technician says, with a name and a reason: contents, availability, the way out of an incident."""

from __future__ import annotations

from fsm import across
from fsm import events as e
from fsm.bay_custody import end_lapsed, tagged
from fsm.model import Alarm, BayState, Incident, Occupancy, Rental, RentalState, VisitState
from fsm.table import Refused
from fsm.values import replace
from fsm.world import Turn

OUTCOMES = ("ready", "on_trip", "returned", "cancelled", "purchased", "closed")
NEEDS_INSIDE = frozenset({"ready", "returned", "cancelled"})  # a pass no longer brings back what is out then
NEEDS_OUT = frozenset({"on_trip", "purchased"})  # the next pass of its class would hand out what is inside


def face_by_hand(turn: Turn, event: e.FaceByHand) -> None:
    """Not while somebody is served there: the device has one pair of eyes. Journalled before anything is done."""
    if turn.visit(event.terminal).state not in (VisitState.IDLE, VisitState.FAREWELL):
        raise Refused("in_progress", f"somebody is at {event.terminal}; again when they have gone")
    turn.record(f"face.{event.act}_asked", event.terminal, who=event.who, reason=event.reason)
    turn.urgent = True


def face_by_hand_done(turn: Turn, event: e.FaceByHandDone) -> None:
    turn.record({"enrol": "face.enrolled", "forget": "face.forgotten"}[event.act], event.terminal, who=event.who)


def set_contents(turn: Turn, event: e.SetContents) -> None:
    """Stocking, or lifting a quarantine: the bay must be closed, and sensors must not say the opposite."""
    bay, sensed = turn.bay(event.bay), turn.sensed(event.bay)
    spec = turn.layout.bays[event.bay]
    if bay.state is not BayState.SECURED or (bay.grant is not None and not bay.grant.lapsed):
        raise Refused("bay_in_use", f"{event.bay} is {bay.state}; close its door first")
    if not sensed.recovered:
        raise Refused("settling", f"{event.bay} has not been sensed yet; again in a few seconds")
    asset = event.asset
    if asset is not None:
        known = turn.asset(asset)
        if known is None:
            raise Refused("unknown_asset", f"{asset} is not in the operator's directory")
        if not {known.asset_class, "*"} & spec.fits:
            raise Refused("does_not_fit", f"{event.bay} does not take class {known.asset_class}")
        other = turn.bay_holding(asset)
        if other is not None and other.id != bay.id:
            raise Refused("already_here", f"{asset} is believed in {other.id}; set that bay empty first")
        if any(r.state is not RentalState.INCIDENT for r in turn.rentals_out_with(asset)):
            raise Refused("asset_on_trip", f"{asset} is out with a rental; it comes back by a return")
    if spec.presence and sensed.presence is not None and sensed.presence != (asset is not None):
        seen = "occupied" if sensed.presence else "empty"
        raise Refused("sensor_contradicts", f"the presence sensor of {event.bay} says {seen}")
    if asset is not None and spec.tag and sensed.tag is not None and tagged(bay, turn) != asset:
        raise Refused("sensor_contradicts", f"the tag reader of {event.bay} reads another tag")
    occupancy = Occupancy.OCCUPIED if asset is not None else Occupancy.EMPTY
    if spec.presence and sensed.presence is None:
        occupancy = Occupancy.UNKNOWN
    if bay.grant is not None:  # lapsed: whoever stands at the bay with its key knows that nobody else opens it
        bay = end_lapsed(bay, turn)
    turn.record(
        "bay.contents_set",
        bay.id,
        asset=asset,
        empty=True if asset is None else None,
        who=event.who,
        reason=event.reason,
        was=bay.asset,
    )
    if asset is not None and asset != bay.asset:
        for rental in turn.rentals_out_with(asset):
            turn.post("rental", rental.id, across.FoundBack(bay.id, asset))
    turn.put(
        replace(
            bay,
            asset=asset,
            occupancy=occupancy,
            quarantined=None,
            alarms=bay.alarms - {Alarm.SENSOR_CONTRADICTION},
        )
    )
    turn.urgent = True


def set_availability(turn: Turn, event: e.SetAvailability) -> None:
    word = "in_service" if event.in_service else "out_of_service"
    if event.bay is None:
        turn.put(replace(turn.machine, in_service=event.in_service))
        turn.record(f"machine.{word}", turn.layout.machine, who=event.who, reason=event.reason)
    else:
        turn.put(replace(turn.bay(event.bay), in_service=event.in_service))
        turn.record(f"bay.{word}", event.bay, who=event.who, reason=event.reason)
    turn.urgent = True


def _fits_belief(turn: Turn, rental: Rental, outcome: str) -> None:
    """Belief and outcome must not contradict each other: a bay with a car in it, and its holder on the road.

    What the operator has taken out of the directory (lost, scrapped) is nowhere believed, and any outcome may end it.
    """
    asset = rental.asset
    if asset is None or rental.grant is not None:  # with a bay at work belief is of a moment: that is said first
        return
    inside = turn.bay_holding(asset)
    if outcome in NEEDS_OUT and inside is not None:
        raise Refused("asset_inside", f"{asset} is believed in {inside.id}; set that bay's contents first")
    if outcome in NEEDS_INSIDE and inside is None and turn.asset(asset) is not None:
        raise Refused("asset_out", f"{asset} is in no bay here; set the contents of the bay that it is in first")


def resolve_incident(turn: Turn, event: e.ResolveIncident) -> None:
    """Only a technician leaves an incident: outcome, name, reason."""
    incident = turn.get("incident", event.incident)
    if not isinstance(incident, Incident):
        raise Refused("unknown_incident", event.incident)
    if event.outcome not in OUTCOMES:
        raise Refused("unknown_outcome", f"{event.outcome!r}; one of {', '.join(OUTCOMES)}")
    rental = turn.rental(incident.rental) if incident.rental is not None else None
    bound = rental is not None and rental.incident == incident.id
    if bound and event.outcome == "closed":
        raise Refused("outcome_needed", f"say what became of rental {incident.rental}: {', '.join(OUTCOMES[:-1])}")
    if not bound and event.outcome != "closed":
        raise Refused("unknown_outcome", f"{incident.id} holds no rental; its outcome is 'closed'")
    if bound and rental is not None:
        _fits_belief(turn, rental, event.outcome)
    turn.record(
        "incident.resolved",
        incident.id,
        kind=incident.kind,
        outcome=event.outcome,
        who=event.who,
        reason=event.reason,
        rental=incident.rental,
        bay=incident.bay,
        asset=incident.asset,
    )
    turn.drop("incident", incident.id)
    if bound and rental is not None:
        turn.post("rental", rental.id, across.Resolve(event.outcome, event.who, event.reason))
    turn.urgent = True
