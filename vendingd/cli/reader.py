"""`vendingctl reader commission`: gives a badge reader in installation mode its key. Works without the daemon, which
must not have the port meanwhile.

The new key is on the disk before the reader gets it, as `FILE.new`, and becomes the key in use once the reader has
answered by it. Whatever ends the command in between: the same command goes on with the key that was kept, if it is the
same reader and has it. A key that another reader may have is given to no second one: it is put aside as `FILE.earlier`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from drivers.ports import DriverError, SerialSettings, WireLost
from drivers.readers.osdp_commission import CommissionError, commission, has_key
from drivers.readers.osdp_key import KEY_BYTES, KeyFileError, read_key, rename_key, write_key
from drivers.wires.serial import SerialWire
from vendingd.cli.client import Client
from vendingd.cli.exits import CliError, Exit
from vendingd.cli.show import Screen
from vendingd.kernel.time import SystemClock

DRIVER = "osdp-reader"
DAEMON = "vendingd"  # user of the unit, who has to read the key


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of the site file."""

    name: str
    port: str
    baud: int
    address: int
    path: Path

    @property
    def pending(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    @property
    def earlier(self) -> Path:
        return self.path.with_name(self.path.name + ".earlier")


def reader_commission(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """Make a key, give it to the reader, check it, and put it into the key file."""
    target = _target(args.site, args.device)
    if target.path.exists() and not args.replace:
        raise CliError(
            Exit.REFUSED,
            f"{target.path} is there already: {target.name} may have this key",
            "for a reader that was reset or exchanged, say --replace",
        )
    kept = target.pending.exists()
    try:
        key = read_key(target.pending) if kept else _new_key(target.pending)
    except KeyFileError as why:
        raise CliError(Exit.REFUSED, str(why), "may this user write into that folder? try with sudo") from None
    try:
        identity = asyncio.run(_given(target, key, kept=kept))
    except DriverError as why:
        raise _failed(target, why) from None
    try:
        rename_key(target.pending, target.path)
    except KeyFileError as why:
        raise CliError(Exit.PROBLEMS, f"the reader has its key, but {why}") from None
    if args.json:
        screen.json({"ok": True, "device": target.name, "reader": identity, "key_file": str(target.path)})
    else:
        screen.line(f"{target.name}: reader {identity} has its key; it is in {target.path}")
        screen.line("Keep a copy where only technicians get at it: without it the reader must be reset.")
    return Exit.OK


def _target(file: Path, named: str) -> Target:
    """The reader that the command names: DEVICE, or DEVICE:CHANNEL where the device has several."""
    from vendingd.site.load import load_site
    from vendingd.site.problems import SiteError

    try:
        site = load_site(file)
    except SiteError as why:
        raise CliError(Exit.PROBLEMS, str(why), f"vendingctl config check {file} tells every problem") from None
    readers = [
        f"{device.name}:{n}" if len(device.channels) > 1 else device.name
        for device in site.devices.values()
        if device.driver.name == DRIVER
        for n in sorted(device.channels)
    ]
    name, _, number = named.partition(":")
    device = site.devices.get(name)
    if device is None or device.driver.name != DRIVER or (number or "1") not in map(str, device.channels):
        raise CliError(
            Exit.USAGE, f"the site file has no OSDP reader {named}", f"it has: {', '.join(readers) or 'none'}"
        )
    if not number and len(device.channels) > 1:
        raise CliError(Exit.USAGE, f"{name} has several readers", f"name one: {', '.join(readers)}")
    options, n = device.options, int(number or 1) - 1
    return Target(named, options.port, options.baud, options.addresses[n], Path(options.key_files()[n]))


def _new_key(pending: Path) -> bytes:
    """A key by chance alone, on the disk before anybody else has it. Raises KeyFileError."""
    key = secrets.token_bytes(KEY_BYTES)
    owner = None
    if os.geteuid() == 0:
        try:
            daemon = pwd.getpwnam(DAEMON)
        except KeyError:  # a machine without the service: it stays root's
            pass
        else:
            owner = (daemon.pw_uid, daemon.pw_gid)
    write_key(pending, key, owner)
    return key


async def _given(target: Target, key: bytes, *, kept: bool) -> str:
    """Give the reader the key, which is in the pending file; `kept`: since an earlier try. Raises DriverError.

    Where this is cut short the reader may have the key: the file stays.
    """
    wire, clock = SerialWire(SerialSettings(target.port, target.baud)), SystemClock()
    try:
        await wire.open()
        if kept and not await has_key(wire, target.address, key, target.baud, clock):
            rename_key(target.pending, target.earlier)
            key, kept = _new_key(target.pending), False
            text = f"this reader does not have the key that an earlier try left in {target.pending}: it gets a new one"
            sys.stderr.write(f"vendingctl: {text}, that one is {target.earlier} now\n")
        return await commission(wire, target.address, key, target.baud, clock)
    except DriverError as why:
        if not kept and not getattr(why, "sent", False):
            target.pending.unlink(missing_ok=True)
        raise
    finally:
        wire.close()


def _failed(target: Target, why: DriverError) -> CliError:
    if isinstance(why, CommissionError):
        advice = f"{target.pending} is kept: the reader may have it. Say the same again" if why.sent else ""
        return CliError(Exit.REFUSED, str(why), advice)
    if isinstance(why, WireLost):
        return CliError(Exit.BUSY, str(why), "if it is vendingd that has the port: systemctl stop vendingd, try again")
    return CliError(Exit.PROBLEMS, str(why))
