"""Every word by which a request may be refused, and what it means for whoever asked.

Words are stable: they stand in records, in instructions' outcomes and in prompts. Texts for customers belong to the
site; these meanings are for technicians and for whoever writes such texts.
"""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    # the shape of the request
    "wrong_state": "not possible in the state that it is in now; the detail names the state",
    "unknown_terminal": "this machine has no such terminal",
    "unknown_bay": "this machine has no such bay",
    "unknown_rental": "this machine knows no such rental, or it has left its memory after its end",
    "unknown_incident": "no such incident is open",
    "unknown_asset": "the asset, or its tag, is not in the operator's directory",
    "unknown_outcome": "not an outcome that this incident can have; the detail names those that it can",
    "outcome_needed": "the incident holds a rental: say what became of it",
    "no_such_alarm": "no such alarm is raised there",
    "not_a_gate": "the bay has no powered gate that could be asked to close",
    # what was shown
    "malformed": "the code is no pass, or the instruction cannot be read",
    "unknown_key": "the pass is signed by a key that this machine does not have",
    "wrong_algorithm": "the pass is signed in a way that its key is not for",
    "bad_signature": "the pass is forged, damaged, or not of this issuer",
    "missing_claim": "the pass lacks something that it must say",
    "bad_claim": "the pass says something impossible",
    "wrong_issuer": "the pass is of an issuer that this machine does not serve",
    "key_not_yet_valid": "the pass is signed by a key whose time has not come",
    "key_retired": "the pass is signed by a retired key; it still brings an asset back",
    "revoked": "the pass was revoked; it still brings an asset back",
    "other_machine": "the pass is for another machine",
    "too_early": "the pick-up window has not opened",
    "too_late": "the pick-up window has closed",
    "time_unknown": "the machine cannot tell whether the pick-up window has opened: its clock is not trusted",
    "spent": "the pass has served its rental; nothing is to be had by it any more",
    "cancelled": "the reservation was cancelled, or its cancellation waits for the bay",
    "factor_unavailable": "something that is demanded can be checked at no terminal here: a technician's case",
    "other_terminal": "this terminal cannot check what is demanded; the detail names those that can",
    "device_key": "its PIN or face is sealed by a device key that this machine has no more: nothing can be compared",
    "more_demanded": "the reservation demands more by now than was shown; show the pass anew",
    "not_asked": "nobody was asked for that here",
    "wrong_pin": "another PIN than the rental's; it is counted",
    "wrong_face": "another face than the template's; it is counted, and after the third another factor is asked for",
    "unknown_badge": "the badge belongs to no rental here",
    "wrong_badge": "neither the holder's badge nor that of another person who may agree",
    "unknown_choice": "none of the rentals that were offered",
    "only_by_face": "every way that is left asks for a face, by the reservation or by the pass; there must be one that "
    "does not",
    "face_unused": "accepted, but no device here can compare the template, which was not kept; `why` says: "
    "other_format, other_model, other_device, expired, or being_forgotten",
    "locked_out": "too many wrong PINs; a technician or the cloud lifts it",
    "wait": "too many bad credentials at this terminal, or one is being checked: a moment's patience",
    "in_use": "the same pass is in use at another terminal",
    "in_progress": "it is already under way here: look at the bay",
    "timed_out": "too much time has passed; start anew",
    # a pick-up
    "estop": "the e-stop is latched: nothing moves until a technician clears it",
    "out_of_service": "the operator has taken the bay or the machine out of service for pick-ups",
    "settling": "the machine has just started and is still looking at its bays: a moment's patience",
    "sensor_silent": "a sensor of the bay does not answer",
    "bay_in_use": "the bay is open, or somebody else's opening has not ended",
    "bay_faulted": "the bay has a fault or is quarantined: a technician's case",
    "bay_not_empty": "something is in the bay that should be empty",
    "door_not_closed": "the door of the bay is not sensed closed",
    "asset_not_here": "the booked asset is not in this machine",
    "asset_in_use": "the asset is being handed out, is in a bay, or is named by a rental",
    "none_available": "every asset of the booked class is given out or promised",
    "late_opening_awaited": "the bay that was unlocked before may still open; no other is opened until that is over",
    # a return
    "no_empty_bay": "no empty bay takes this asset now",
    "already_here": "the asset is in the machine already",
    "ask_first": "a tag returns an asset only after somebody asked for a return at the terminal",
    # technicians
    "nothing_kept": "nothing is kept by which the rental's holder could be known",
    "still_needed": "it is still needed to hand the asset out or to bring it back; `--force` erases it all the same",
    "does_not_fit": "the bay does not take assets of this class",
    "asset_on_trip": "the asset is out with a rental; it comes back by a return",
    "asset_inside": "the asset is believed in a bay; set the contents of that bay before you say that it is out",
    "asset_out": "the asset is in no bay here; set the contents of the bay that it is in, or say on_trip or purchased",
    "sensor_contradicts": "a sensor of the bay says the opposite",
    "bay_not_concluded": "a bay of the rental is still open or may still open; wait for it to end",
    "still_pressed": "the e-stop is still pressed",
    # the cloud's instructions
    "superseded": "a newer version of this rental is known",
    "already_over": "the rental has ended here, or its pass was revoked",
    "already_released": "the asset was given out before the instruction came",
    "already_returned": "the asset was brought back before the purchase came",
    "incident": "it is not clear what became of the asset: a technician decides",
    "stale": "the command is too old to be obeyed, or does not say how old it is",
    "tag_in_use": "the tag belongs to another asset",
    "anchor_key": "the anchor is signed by a key that this machine does not have, or that is retired",
    "anchor_forged": "the signature of the anchor is not of that key, or of another record",
    "anchor_differs": "the journal holds another record there, or none any more",
    "unsupported": "this machine cannot do that",
}
