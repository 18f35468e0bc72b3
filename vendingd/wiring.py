"""From the site file's resolved references to what sensing, desk and executor look up at run time."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.ports import Device, FaceVerifier
from fsm.model import Layout
from fsm.policy import BIOMETRIC, FACE, LIVE_FACE
from fsm.values import replace
from fsm.visit_factors import HARDWARE
from vendingd.desk import Terminals
from vendingd.sensing import Wiring
from vendingd.site.resolved import Channel, Site


def wiring(site: Site) -> Wiring:
    """Which bay a channel's level speaks of."""

    def of(role: str) -> dict[tuple[str, int], str]:
        return {_pair(channel): bay for (kind, channel), bay in site.bay_at.items() if kind == role}

    return Wiring(
        doors={_pair(bay.door): bay.id for bay in site.bays.values()},
        bolts={_pair(bay.bolt): bay.id for bay in site.bays.values() if bay.bolt is not None},
        presences=of("presence"),
        tags=of("tag"),
        estop=_pair(site.estop) if site.estop is not None else None,
        tamper=_pair(site.tamper) if site.tamper is not None else None,
    )


def terminals(site: Site) -> Terminals:
    """Which terminal a reader stands at."""
    return Terminals(
        codes={code: one.id for one in site.terminals.values() for code in one.codes},
        keypads={_pair(one.keypad): one.id for one in site.terminals.values() if one.keypad is not None},
        badges={_pair(one.badge): one.id for one in site.terminals.values() if one.badge is not None},
        return_keys={_pair(one.return_key): one.id for one in site.terminals.values() if one.return_key is not None},
        tags={_pair(one.tag): one.id for one in site.terminals.values() if one.tag is not None},
        held_s={
            name: 2 * entry.options.repeat_s  # it reports a code in view every `repeat_s`; one report may be missed
            for name, entry in site.devices.items()
            if hasattr(entry.options, "repeat_s")
        },
    )


def attention(site: Site) -> dict[str, tuple[str, ...]]:
    """Devices that a bay ("bay ID") or a terminal ("visit ID") in use wants to work harder."""
    wanted: dict[str, tuple[str, ...]] = {}
    for bay in site.bays.values():
        used = (bay.lock, bay.door, bay.bolt, bay.presence, bay.tag)
        wanted[f"bay {bay.id}"] = tuple(dict.fromkeys(c.device for c in used if c is not None))
    for one in site.terminals.values():
        wanted[f"visit {one.id}"] = tuple(dict.fromkeys((*one.codes, *((one.face,) if one.face is not None else ()))))
    return wanted


def looking(site: Site, devices: Mapping[str, Device]) -> dict[str, FaceVerifier]:
    """Terminal -> the device that compares faces there."""
    found: dict[str, FaceVerifier] = {}
    for one in site.terminals.values():
        made: object = devices[one.face] if one.face is not None else None
        if isinstance(made, FaceVerifier):
            found[one.id] = made
    return found


def with_faces(layout: Layout, looking: Mapping[str, FaceVerifier]) -> Layout:
    """The layout with what the devices that compare faces say of themselves."""
    known = dict(layout.terminals)
    for terminal, device in looking.items():
        alive = device.liveness == HARDWARE
        offers = (known[terminal].offers - BIOMETRIC) | {LIVE_FACE if alive else FACE}
        known[terminal] = replace(
            known[terminal], offers=offers, face_formats=frozenset(device.formats), keeps_faces=alive
        )
    return replace(layout, terminals=known)


def _pair(channel: Channel) -> tuple[str, int]:
    return channel.device, channel.number
