"""The world as JSON for readers of the API. Secrets stay behind: a rental's PIN is only there or not.

Times are RFC 3339 in UTC. What was commanded and what is sensed are different fields here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any

import msgspec

from fsm.model import Alarm, Bay, BayState, Grant, Incident, Now, Occupancy, Rental, RentalState, Sensed
from fsm.reasons import REASONS
from fsm.world import Record, World
from vendingd.api.incidents import asset_of, bay_now, binds, guide, title, whereabouts
from vendingd.api.ports import Machine
from vendingd.cloud.status import CloudStatus
from vendingd.journal.api import StoredRecord, Verdict

Json = dict[str, Any]


def stamp(utc: float) -> str:
    """POSIX seconds as RFC 3339, to the second; what no calendar has is said as a number."""
    try:
        return datetime.fromtimestamp(utc, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{utc:.0f}"


def _stamp(utc: float | None) -> str | None:
    return None if utc is None else stamp(utc)


@cache
def build() -> str:
    """This vendingd's version. Asked late: looking it up costs more than all of the API's own import."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vendingd")
    except PackageNotFoundError:
        return "unknown"


# ---------------------------------------------------------------- the machine
def status(machine: Machine) -> Json:
    world, now = machine.mailbox.world, machine.time.now()
    down = [row["device"] for row in devices(machine) if row["up"] is False]
    return {
        "machine": machine.layout.machine,
        "site": machine.layout.site,
        "version": build(),
        "state": state(machine),
        "unavailable": unavailable(machine),
        "in_service": world.machine.in_service,
        "estop": world.machine.estop,
        "clock": {"utc": stamp(now.utc), "trusted": now.trusted, "trust": machine.site.trust},
        "journal": {"last_seq": machine.last_seq, "error": unavailable(machine)},
        "cloud": cloud(machine, now.mono),
        "bays": _bay_counts(world, machine.recovery.waiting),
        "rentals": _rental_counts(world),
        "alarms": len(alarms(machine)),
        "incidents": len(world.of["incident"]),
        "devices_down": down,
        "strangers": list(machine.strangers),
    }


def unavailable(machine: Machine) -> str | None:
    """Why nothing can be promised now."""
    if machine.mailbox.unavailable is None and machine.mailbox.slow:
        return "the journal does not answer"
    return machine.mailbox.unavailable


def state(machine: Machine) -> str:
    """One word for the whole machine."""
    mine = machine.mailbox.world.machine
    if unavailable(machine) is not None:
        return "unavailable"
    if mine.estop:
        return "estop"
    return "serving" if mine.in_service else "out_of_service"


def cloud(machine: Machine, mono: float) -> Json:
    said = getattr(machine.cloud, "status", None)
    if machine.cloud is None:
        return {"configured": False}
    if not isinstance(said, CloudStatus):  # its client waits for the journal
        return {"configured": True, "online": False, "last_error": "not asked yet", "backlog": None}
    return {
        "configured": True,
        "online": machine.online,
        "for_s": round(mono - said.since_mono),
        "last_error": said.last_error or None,
        "backlog": said.backlog,
    }


def _bay_counts(world: World, waiting: frozenset[str]) -> Json:
    bays: list[Bay] = list(world.of["bay"].values())
    return {
        "total": len(bays),
        "occupied": sum(b.occupancy is Occupancy.OCCUPIED for b in bays),
        "empty": sum(b.occupancy is Occupancy.EMPTY for b in bays),
        "unknown": sum(b.occupancy is Occupancy.UNKNOWN for b in bays),
        "in_use": sum(b.state is not BayState.SECURED for b in bays),
        "out_of_service": sum(not b.in_service for b in bays),
        "quarantined": sum(b.quarantined is not None for b in bays),
        "settling": len(waiting),
    }


def _rental_counts(world: World) -> Json:
    counts: dict[str, int] = {}
    overdue = 0
    for rental in world.of["rental"].values():
        counts[rental.state] = counts.get(rental.state, 0) + 1
        overdue += rental.overdue and rental.state is RentalState.ON_TRIP
    return {**{str(name): n for name, n in sorted(counts.items())}, "overdue": overdue}


def devices(machine: Machine) -> list[Json]:
    """Every declared device, and those of its channels that said something of their own. `up` None: no word yet."""
    said = machine.sensing.devices
    rows = []
    for name, entry in machine.site.devices.items():
        known = said.get(name)
        rows.append(
            {
                "device": name,
                "driver": entry.driver.name,
                "up": known.up if known is not None else None,
                "detail": known.detail if known is not None else "",
            }
        )
        for key, one in sorted(said.items()):
            if one.device == name and one.channel is not None:
                rows.append({"device": key, "driver": entry.driver.name, "up": one.up, "detail": one.detail})
    return rows


# ---------------------------------------------------------------- alarms
MOST_INCIDENTS = 100  # among the alarms; `incident list` has more

_MEANING: dict[str, str] = {
    Alarm.FORCED_OPEN: "The door opened without an authorisation. Look at the bay, its lock and its contents.",
    Alarm.HELD_OPEN: "The door is open too long. Close it; the alarm ends by itself.",
    Alarm.JAMMED: "The bolt did not move. Free it, try it by `vendingctl unlock`, then clear the alarm.",
    Alarm.UNLOCK_FAILED: "The unlock could not be sent. Look at the lock's device and its cable: `vendingctl doctor`.",
    Alarm.SENSOR_CONTRADICTION: "Sensors contradict each other. Look inside, repair the sensor, then say what is "
    "inside: `vendingctl bays set`.",
    Alarm.TAMPER: "A housing was opened. See who did it and whether something was changed.",
    Alarm.RECORD_REFUSED: "The cloud would not take a record; the journal keeps it. Tell the operator of the cloud.",
    Alarm.ESTOP: "The emergency stop was pressed, or its wire is cut. See that nobody is in danger, release it.",
}


def alarms(machine: Machine) -> list[Json]:
    """Everything that somebody should look at, the machine's first."""
    world, found = machine.mailbox.world, []
    if (why := unavailable(machine)) is not None:
        found.append(_alarm("machine", None, "unavailable", why, "Run `vendingctl doctor` on the machine."))
    for alarm in (Alarm.ESTOP, Alarm.TAMPER, Alarm.RECORD_REFUSED):
        if getattr(world.machine, alarm):
            detail = machine.cloud_alarms.get(alarm, "")
            found.append(_alarm("machine", None, str(alarm), detail, _MEANING[alarm], clearable=True))
    for bay in world.of["bay"].values():
        found += _bay_alarms(bay)
    for one in islice(world.of["incident"].values(), MOST_INCIDENTS):
        advice = f"`vendingctl incident show {one.id}` says what to look at and what to say."
        found.append(_alarm("incident", one.id, one.kind, title(one.kind), advice))
    for key in islice(sorted(world.unservable), MOST_INCIDENTS):
        found.append(_unservable(world, key))
    for row in devices(machine):
        if row["up"] is False:
            look = "" if row["detail"] else "Look at its cable and its supply. "
            advice = f"{look}It is tried again by itself."
            found.append(_alarm("device", row["device"], "down", row["detail"], advice))
    for name, detail in machine.cloud_alarms.items():
        if name == Alarm.RECORD_REFUSED:
            continue  # the machine's, until a technician clears it
        found.append(_alarm("cloud", None, name, detail, "Tell the operator of the cloud."))
    for bay_id in machine.strangers:
        advice = "Put it back into the site file, or empty it there first; what it held is kept in the journal."
        found.append(_alarm("site", bay_id, "not_in_site_file", "a bay of the journal", advice))
    return found


def _unservable(world: World, key: str) -> Json:
    rental = world.rental(key)
    why = (rental.unservable if rental is not None else None) or ""
    undo = "Undo the change of the site file or of the directory"
    if why == "device_key":
        undo = "Put back the device.key that was here, and restart vendingd"
    return _alarm(
        "rental", key, "unservable", REASONS.get(why, ""), f"{undo}, or let the cloud send the reservation anew."
    )


def _bay_alarms(bay: Bay) -> Iterator[Json]:
    for alarm in sorted(bay.alarms):
        yield _alarm("bay", bay.id, str(alarm), "", _MEANING[alarm], clearable=True)
    if bay.quarantined is not None:
        advice = f"Look inside, then `vendingctl bays set {bay.id} --asset ID|--empty --reason ...`."
        yield _alarm("bay", bay.id, "quarantined", bay.quarantined, advice)


def _alarm(what: str, name: str | None, alarm: str, detail: str, advice: str, *, clearable: bool = False) -> Json:
    return {"what": what, "name": name, "alarm": alarm, "detail": detail, "advice": advice, "clearable": clearable}


# ---------------------------------------------------------------- aggregates
def bay(machine: Machine, one: Bay) -> Json:
    world = machine.mailbox.world
    spec = machine.layout.bays[one.id]
    asset = world.of["asset"].get(one.asset) if one.asset is not None else None
    return {
        "id": one.id,
        "state": str(one.state),
        "in_service": one.in_service,
        "quarantined": one.quarantined,
        "alarms": sorted(map(str, one.alarms)),
        "asset": one.asset,
        "asset_class": asset.asset_class if asset is not None else None,
        "occupancy": str(one.occupancy),
        "fits": sorted(spec.fits),
        "grant": _grant(one.grant),
        "sensed": _sensed(world.sensed(one.id), bolt=spec.bolt, presence=spec.presence, tag=spec.tag),
        "settling": one.id in machine.recovery.waiting,
    }


def _grant(one: Grant | None) -> Json | None:
    if one is None:
        return None
    return {
        "id": one.id,
        "purpose": str(one.purpose),
        "who": one.who,
        "rental": one.rental,
        "asset": one.asset,
        "commanded": str(one.commanded),
        "opened": one.opened,
        "lapsed": one.lapsed,
    }


def _sensed(one: Sensed, *, bolt: bool, presence: bool, tag: bool) -> Json:
    """Only installed sensors; None: it does not answer."""

    def word(value: bool | None, yes: str, no: str) -> str | None:
        return None if value is None else yes if value else no

    said: Json = {"door": word(one.door, "open", "closed")}
    if bolt:
        said["bolt"] = word(one.bolt, "locked", "unlocked")
    if presence:
        said["presence"] = word(one.presence, "occupied", "empty")
    if tag:
        said["tag"] = (one.tag or "none") if one.tag_known else None
    return said


def rental(one: Rental) -> Json:
    """Without its PIN; `holder` is the cloud's opaque word for a person."""
    return {
        "id": one.id,
        "state": str(one.state),
        "version": one.version,
        "source": one.source,
        "holder": one.holder,
        "asset": one.asset or one.named,
        "asset_class": one.asset_class,
        "bay": one.bay,
        "window_from": stamp(one.window_from_utc),
        "window_to": stamp(one.window_to_utc),
        "due": _stamp(one.due_utc),
        "overdue": one.overdue,
        "demands": list(one.demands),
        "pin_on_file": one.pin is not None,
        "face_on_file": one.face is not None,
        "badges": len(one.badges),
        "face_attempts": one.face_attempts,
        "attempts": one.attempts,
        "locked_out": one.locked_out,
        "unservable": one.unservable,
        "openings": one.openings,
        "outage": one.outage,
        "unsensed": one.unsensed,
        "incident": one.incident,
    }


def incident(world: World, one: Incident, now: Now | None = None) -> Json:
    """With `now` also what to look at, and the ways out."""
    tied = world.rental(one.rental) if one.rental is not None else None
    said: Json = {
        "id": one.id,
        "kind": one.kind,
        "bay": one.bay,
        "asset": asset_of(world, one),
        "rental": one.rental,
        "rental_state": str(tied.state) if tied is not None else None,
        "rental_waits": binds(world, one),
        "opened": stamp(one.opened_utc),
        "opened_trusted": one.opened_trusted,
        "title": title(one.kind),
    }
    if now is not None:
        text = guide(world, one, now)
        said["bay_now"] = bay_now(world, one)
        said["asset_now"] = whereabouts(world, one)
        said["look"] = list(text.look)
        said["outcomes"] = dict(text.outcomes)
        said["not_now"] = dict(text.not_now or {})
    return said


# ---------------------------------------------------------------- the journal
def stored(one: StoredRecord, machine_id: str) -> Json:
    return {
        "seq": one.seq,
        "name": one.name(machine_id),
        "utc": stamp(one.utc),
        "utc_trusted": one.utc_trusted,
        "mono": round(one.mono, 3),
        "offline": one.offline,
        "kind": one.kind,
        "subject": one.subject,
        "data": msgspec.json.decode(one.data) if one.data else {},
        "hash": one.hash.hex(),
    }


def published(one: Record, utc: float) -> Json:
    return {"type": "record", "utc": stamp(utc), "kind": one.kind, "subject": one.subject, "data": dict(one.data)}


def verdict(one: Verdict) -> Json:
    return {
        "ok": one.ok,
        "checked": one.checked,
        "first_bad_seq": one.first_bad_seq,
        "problem": one.problem,
        "from_seq": one.from_seq,
        "from_hash": one.from_hash.hex(),
        "head_seq": one.head_seq,
        "head_hash": one.head_hash.hex(),
    }
