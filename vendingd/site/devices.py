"""The site file's `[devices]`: each table judged by the options of its driver, and what two of them may not share."""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drivers import registry
from drivers.ports import Driver, DriverError, Sense
from vendingd.site.jsonic import as_json
from vendingd.site.model import NAME_ONLY
from vendingd.site.problems import Findings, near
from vendingd.site.resolved import DeviceEntry

PORT_OPTIONS = ("port", "ports", "path")
"""Options of drivers that are paths: relative ones are taken from the site file's folder."""

FILE_OPTIONS = ("scbk",)
"""Options of drivers that are files of the site's own, such as keys: relative ones are taken from the same folder."""

_SENSES = frozenset(sense.value for sense in Sense)

Devices = Mapping[str, DeviceEntry | None]
"""Devices by name; None for one that is declared but wrong, so that its users are not told wrong, too."""


def read_devices(tables: object, folder: Path, found: Findings) -> dict[str, DeviceEntry | None]:
    """Every device of the file; its mistakes go to `found`."""
    if not isinstance(tables, dict):
        found.error(("devices",), "should be a table", "write [devices.NAME] for each device")
        return {}
    devices = {name: _read(name, table, folder, found) for name, table in tables.items()}
    check_shared([device for device in devices.values() if device is not None], found)
    return devices


def _read(name: str, table: object, folder: Path, found: Findings) -> DeviceEntry | None:
    path = ("devices", name)
    if not isinstance(table, dict):
        found.error(path, "should be a table", f"write [devices.{name}] and its driver below")
        return None
    good_name = NAME_ONLY.fullmatch(name) is not None and len(name) <= 64
    if not good_name:
        found.error(path, "no name for a device", "use letters, digits, - and _, a letter first")
    driver = _driver(table.get("driver"), path, found)
    if driver is None:
        return None
    given = {key: value for key, value in table.items() if key != "driver"}
    try:
        options = driver.options.model_validate_json(as_json(given), strict=True)
    except ValidationError as error:
        found.invalid(error, path, driver.options, otherwise=f"see the options of {driver.name} in docs/site-file.md")
        return None
    if not good_name:
        return None
    options = options.model_copy(update=_absolute(options, folder))
    return DeviceEntry(name, driver, options, roles_of(driver, options))


def _driver(name: object, path: tuple[str, ...], found: Findings) -> Driver | None:
    if name is None:
        found.error((*path, "driver"), "is missing", f"add it: one of {', '.join(registry.names())}")
    elif not isinstance(name, str):
        found.error((*path, "driver"), "should be text", f"one of {', '.join(registry.names())}")
    else:
        try:
            return registry.find(name)
        except registry.UnknownDriver:
            found.error((*path, "driver"), f'no driver is called "{name}"', near(name, registry.names()))
        except DriverError as error:
            found.error((*path, "driver"), str(error))
    return None


def roles_of(driver: Driver, options: Any) -> frozenset[str]:
    """What a device with these options can be to a bay or a terminal.

    A driver may know several senses of which a device has one: its options say so by a method `senses()`,
    or, for lock boards, by `feedback`.
    """
    senses = _SENSES
    if callable(told := getattr(options, "senses", None)):
        senses = frozenset(Sense(sense).value for sense in told())
    elif (feedback := getattr(options, "feedback", None)) is not None:
        senses = frozenset({str(feedback)})
    return frozenset(role for role in driver.roles if role not in _SENSES or role in senses)


def _absolute(options: Any, folder: Path) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key in (*PORT_OPTIONS, *FILE_OPTIONS):
        value = getattr(options, key, None)
        if isinstance(value, str):
            changed[key] = os.path.join(folder, value)
        elif isinstance(value, tuple):
            changed[key] = tuple(os.path.join(folder, port) for port in value)
    return changed


def _ports(device: DeviceEntry) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key in PORT_OPTIONS:
        value = getattr(device.options, key, None)
        if isinstance(value, str):
            yield ("devices", device.name, key), value
        elif isinstance(value, tuple):
            yield from ((("devices", device.name, key, n), port) for n, port in enumerate(value))


def check_shared(devices: list[DeviceEntry], found: Findings) -> None:
    """A GPIO line and a port belong to one device each."""
    line_of: dict[int, str] = {}
    port_of: dict[str, tuple[str, str]] = {}
    for device in devices:
        if lines := getattr(device.options, "lines", None):
            for line in lines():
                other = line_of.setdefault(line, device.name)
                if other != device.name:
                    key = _option_with(device, line)
                    found.error(key, f"GPIO {line} belongs to devices.{other} already", "give each pin to one device")
        for path, port in _ports(device):
            # two names of one port, by /dev/serial's links, are one port
            other, written = port_of.setdefault(os.path.realpath(port), (device.name, port))
            if other != device.name or written != port:
                found.error(path, f"{port} belongs to devices.{other} already", "give each port to one device")


def _option_with(device: DeviceEntry, line: int) -> tuple[str | int, ...]:
    """The place of a pin in the options."""
    for key in type(device.options).model_fields:
        value = getattr(device.options, key)
        if isinstance(value, tuple) and line in value and key.endswith("pins"):
            return ("devices", device.name, key, value.index(line))
    return ("devices", device.name)
