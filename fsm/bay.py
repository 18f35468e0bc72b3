"""The bay's decision table: one place, its door, and the one grant that lives on it.

Custody changes only in `bay_custody.conclude`, reached when the bay settles, when a held-open door shows an asset gone,
or in recovery. Availability, alarms and contents are orthogonal to the state.
"""

from __future__ import annotations

from fsm.across import (
    AfterRestart,
    Authorise,
    BoltMoved,
    CloseGate,
    DoorClosed,
    DoorOpened,
    HeldOpen,
    LapseOver,
    OpenTimedOut,
    PresenceChanged,
    Sent,
    Settled,
    TagSeen,
    WarnOpen,
)
from fsm.bay_closing import (
    ask_close,
    bolt_moved,
    closed,
    conclude_unseen,
    door_silent,
    gate_may_move,
    gone_while_open,
    held_open,
    held_taken,
    is_gate,
    lapse_over,
    lost_sight,
    not_opened,
    opened_unseen,
    patience,
    settle,
    tag_tells,
    wait_longer,
    warn_open,
)
from fsm.bay_custody import contents_sensed
from fsm.bay_opening import (
    asset_inside,
    authorise,
    bay_in_service,
    door_closed,
    empty_inside,
    forced,
    has_grant,
    no_estop,
    no_other_grant,
    not_at_work,
    not_faulted,
    not_quarantined,
    nothing_left,
    opened,
    recovered,
    same_grant,
    was_not_sent,
    was_sent,
)
from fsm.bay_recovery import (
    door_seen_open,
    keep_open,
    late_while_down,
    opened_while_down,
    restart_secured,
    restart_under_grant,
    revived,
)
from fsm.model import Bay, BayState
from fsm.table import Table, ignore, on

SECURED, OPENING, OPEN, CLOSING, SETTLING = (
    BayState.SECURED,
    BayState.OPENING,
    BayState.OPEN,
    BayState.CLOSING,
    BayState.SETTLING,
)
EVERY = tuple(BayState)


ROWS = (
    on(
        Authorise,
        (SECURED,),
        OPENING,
        (
            recovered,
            no_estop,
            bay_in_service,
            not_quarantined,
            not_faulted,
            no_other_grant,
            door_closed,
            asset_inside,
            empty_inside,
        ),
        authorise,
    ),
    on(Authorise, (OPENING, OPEN, CLOSING, SETTLING), None, (recovered, no_estop, not_at_work)),
    # the executor's word
    on(Sent, (OPENING,), SECURED, (nothing_left,), was_not_sent),
    on(Sent, (SECURED,), None, (nothing_left,), was_not_sent),
    on(Sent, (OPENING, OPEN, SETTLING, CLOSING, SECURED), None, (same_grant,), was_sent),
    ignore(Sent, EVERY),
    # the door
    on(DoorOpened, (OPENING, SETTLING), OPEN, (), opened),
    on(DoorOpened, (SECURED,), OPEN, (has_grant,), opened),
    on(DoorOpened, (SECURED,), OPEN, (), forced),
    ignore(DoorOpened, (OPEN, CLOSING)),
    on(DoorClosed, (OPEN, CLOSING), SETTLING, (), closed),
    on(DoorClosed, (SECURED,), None, (), contents_sensed),  # it answers again
    ignore(DoorClosed, (OPENING, SETTLING)),
    on(CloseGate, (OPEN, CLOSING), CLOSING, (is_gate, gate_may_move), ask_close),
    # the bolt
    on(BoltMoved, EVERY, None, (), bolt_moved),
    # time
    on(OpenTimedOut, (OPENING,), SECURED, (door_silent,), lost_sight),
    on(OpenTimedOut, (OPENING,), SECURED, (opened_unseen,), conclude_unseen),
    on(OpenTimedOut, (OPENING,), SECURED, (), not_opened),
    ignore(OpenTimedOut, (SECURED, OPEN, CLOSING, SETTLING)),
    on(LapseOver, EVERY, None, (), lapse_over),
    on(WarnOpen, (OPEN, CLOSING), None, (), warn_open),
    ignore(WarnOpen, (SECURED, OPENING, SETTLING)),
    on(HeldOpen, (OPEN, CLOSING), None, (gone_while_open,), held_taken),
    on(HeldOpen, (OPEN, CLOSING), None, (), held_open),
    ignore(HeldOpen, (SECURED, OPENING, SETTLING)),
    on(Settled, (SETTLING,), None, (patience,), wait_longer),
    on(Settled, (SETTLING,), SECURED, (), settle),
    ignore(Settled, (SECURED, OPENING, OPEN, CLOSING)),
    # contents
    on(PresenceChanged, (SECURED,), None, (), contents_sensed),
    on(PresenceChanged, (OPEN, CLOSING), None, (gone_while_open,), held_taken),
    on(PresenceChanged, (SETTLING,), None, (), tag_tells),
    ignore(PresenceChanged, (OPENING, OPEN, CLOSING)),
    on(TagSeen, (SECURED,), None, (), contents_sensed),
    on(TagSeen, (SETTLING,), None, (), tag_tells),
    ignore(TagSeen, (OPENING, OPEN, CLOSING)),
    # recovery: the table of the design
    on(AfterRestart, EVERY, OPEN, (revived,), keep_open),
    on(AfterRestart, (SECURED,), OPEN, (door_seen_open,), forced),
    on(AfterRestart, (SECURED,), SECURED, (opened_while_down,), late_while_down),
    on(AfterRestart, (SECURED,), None, (), restart_secured),
    on(AfterRestart, (OPENING, OPEN, CLOSING, SETTLING), SECURED, (), restart_under_grant),
)


TABLE: Table[Bay, BayState] = Table("bay", BayState, SECURED, ROWS)
