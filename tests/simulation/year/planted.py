"""Planted defects in who may, and in what is told; the others are in `mutants.py`."""
# ruff: noqa: E501 - source text that is looked for is kept in one line

from __future__ import annotations

RULES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "contents of a bay never told": (
        ('fsm/bay_custody.py', '    turn.record(\n        "bay.secured",',
         '    _ = dict; (lambda *a, **k: None)(\n        "bay.secured",'),
    ),
    "trip told twice": (
        ('fsm/rental_release.py', '    served(rental, "taken", turn, rental.bay or "")\n',
         '    note(rental, "rental.on_trip", turn, asset=rental.asset, bay=rental.bay)\n    served(rental, "taken", turn, rental.bay or "")\n'),
    ),
    "return told of another asset and bay": (
        ('fsm/rental_return.py', '        asset=rental.asset,\n        bay=bay,\n',
         '        asset="car-1",\n        bay="bay-1",\n'),
    ),
    "receipt of an asset not told": (
        ('fsm/bay_custody.py', '            turn.record("asset.received", verdict.inside or "", bay=bay.id, rental=rental)\n',
         ''),
    ),
    "return told as a cancellation": (
        ('fsm/rental_return.py', '        "rental.returned",',
         '        "rental.cancelled",'),
    ),
    "door held open not alarmed": (
        ('fsm/bay_closing.py', '    return raise_alarm(bay, Alarm.HELD_OPEN, turn)\n',
         '    return bay\n'),
        ('fsm/bay_closing.py', '    bay = raise_alarm(bay, Alarm.HELD_OPEN, turn)\n    turn.post("rental", grant.rental, Taken(grant.id))',
         '    turn.post("rental", grant.rental, Taken(grant.id))'),
    ),
    "false alarm when a technician opens": (
        ('fsm/bay_opening.py', '    if not spec_of(bay, turn).presence or grant.lapsed:\n        turn.urgent',
         '    if grant.purpose is Purpose.TECHNICIAN:\n        bay = raise_alarm(bay, Alarm.FORCED_OPEN, turn)\n    if not spec_of(bay, turn).presence or grant.lapsed:\n        turn.urgent'),
    ),
    "signature not checked": (
        ('vendingd/identity/passes.py', 'if not cose.verify(message, key):',
         'if False:'),
    ),
    "nothing is ever too late": (
        ('fsm/visit_ways.py', '    return (now.utc if now.trusted else now.floor_utc) > exp + leeway_s',
         '    return False'),
        ('vendingd/kernel/timers.py', '            if self._live(entry):\n',
         '            if self._live(entry) and entry[3] != "window_close":\n'),
    ),
    "revocation ignored": (
        ('fsm/visit_ways.py', 'def not_revoked(turn: Turn, rental: str) -> None:\n',
         'def not_revoked(turn: Turn, rental: str) -> None:\n    return\n'),
    ),
    "PIN never locked out": (
        ('fsm/rental_claim.py', '    return event.ok is False and rental.attempts >= turn.layout.timing.max_attempts',
         '    return False'),
        ('fsm/rental_claim.py', 'return not rental.locked_out and rental.attempts < turn.layout.timing.max_attempts',
         'return True'),
    ),
    "right PIN refused": (
        ('vendingd/desk.py', '        _log.error("the PIN of rental %s could not be checked: %s", effect.rental, result.detail)\n        return None\n    return result.finding is Finding.VERIFIED',
         '        return None\n    return False'),
    ),
    "asset of a named booking given to another": (
        ('fsm/world.py', 'if self._has(bay, asset_class) and not self.held(bay.asset or "", but):',
         'if self._has(bay, asset_class):'),
        ('fsm/world.py', 'for key in self._in_order(inside, self.world.loose, looked_at)',
         'for key in self._in_order(inside, inside, looked_at)'),
    ),
    "cancelled on the trip": (
        ('fsm/rental.py', '    on(Cancel, (RELEASING,), None, (newer,), cancel_waits),\n',
         '    on(Cancel, (RELEASING,), None, (newer,), cancel_waits),\n    on(Cancel, (ON_TRIP,), CANCELLED, (newer,), cancel),\n'),
    ),
    "one terminal refuses everybody": (
        ('fsm/visit_ways.py', '    spent = turn.spent(event.rental)\n    rental = turn.rental(event.rental)\n    key_and_revocation',
         '    if visit.id == "side":\n        raise Refused("out_of_service")\n    spent = turn.spent(event.rental)\n    rental = turn.rental(event.rental)\n    key_and_revocation'),
    ),
    "pass never heard of refused": (
        ('fsm/visit_ways.py', '    if rental is None:\n        return from_pass(event)\n',
         '    if rental is None:\n        raise Refused("asset_not_here")\n'),
    ),
}  # fmt: skip
