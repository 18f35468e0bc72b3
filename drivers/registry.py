"""Finds a driver by the name that a site file uses. Owns the table of built-in drivers; imports none until
asked.

A driver's module is imported when a site names it, so that a site without GPIO never loads GPIO libraries.
Other packages add drivers through the entry-point group `vendingd.drivers`; a built-in name cannot be taken
over.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from drivers.ports import Driver, DriverError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

ENTRY_POINT_GROUP = "vendingd.drivers"

BUILT_IN: dict[str, str] = {
    "camera-face": "drivers.faces.camera_face:DRIVER",
    "fm22x": "drivers.faces.fm22x:DRIVER",
    "gpio-gate": "drivers.gpio.gate:DRIVER",
    "gpio-input": "drivers.gpio.input:DRIVER",
    "gpio-lock": "drivers.gpio.lock:DRIVER",
    "kerong-cu48": "drivers.locks.kerong_cu48:DRIVER",
    "line-scanner": "drivers.readers.line_scanner:DRIVER",
    "lock-8a": "drivers.locks.lock_8a:DRIVER",
    "mjpeg-camera": "drivers.cameras.mjpeg:DRIVER",
    "osdp-reader": "drivers.readers.osdp_reader:DRIVER",
    "pn532": "drivers.readers.pn532:DRIVER",
    "rdm6300": "drivers.readers.rdm6300:DRIVER",
    "serial-keypad": "drivers.readers.serial_keypad:DRIVER",
    "v4l2-camera": "drivers.cameras.v4l2:DRIVER",
}


def _offered() -> EntryPoints:
    """What other packages offer. Imported here: a site with built-in drivers alone does without."""
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINT_GROUP)


class UnknownDriver(DriverError, LookupError):
    """No driver has this name; the message lists the nearest ones."""


class DriverUnavailable(DriverError, ImportError):
    """The driver is known but cannot be loaded here; the message says what is missing."""


def names() -> list[str]:
    """Names of all drivers that can be asked for, sorted; nothing is imported."""
    return sorted({*BUILT_IN, *(point.name for point in _offered())})


def find(name: str) -> Driver:
    """The driver of this name, imported now. Raises UnknownDriver or DriverUnavailable."""
    reference = BUILT_IN.get(name)
    if reference is not None:
        return _load(name, reference, "vendingd")
    points = [point for point in _offered() if point.name == name]
    if not points:
        raise UnknownDriver(_unknown(name))
    offers = {(point.value, point.dist.name if point.dist else "?") for point in points}
    if len({value for value, _ in offers}) > 1:
        packages = ", ".join(sorted(package for _, package in offers))
        raise DriverUnavailable(f"driver {name!r} is offered by several packages ({packages}): remove all but one")
    value, package = offers.pop()
    return _load(name, value, package)


def _load(name: str, reference: str, package: str) -> Driver:
    module, _, attribute = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as exc:
        raise DriverUnavailable(
            f"driver {name!r} of package {package} cannot be loaded: {exc}; install what it needs"
        ) from exc
    except AttributeError as exc:
        raise DriverUnavailable(f"driver {name!r} of package {package}: {module} has no {attribute!r}") from exc
    if not isinstance(found, Driver):
        raise DriverUnavailable(f"driver {name!r} of package {package}: {reference} is no drivers.ports.Driver")
    if found.name != name:
        raise DriverUnavailable(f"driver {name!r} of package {package}: {reference} calls itself {found.name!r}")
    return found


def _unknown(name: str) -> str:
    known = names()
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if near:
        return f"no driver is called {name!r}; did you mean {' or '.join(near)}?"
    return f"no driver is called {name!r}; there are {', '.join(known)}"
