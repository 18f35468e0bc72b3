"""`vendingctl doctor`: everything that a machine needs, each with what to do where it is missing.

Works without the daemon as far as possible: it is most needed when the daemon does not run.
"""

from __future__ import annotations

import argparse
import ctypes
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vendingd.cli.client import Client
from vendingd.cli.exits import CliError, Exit
from vendingd.cli.show import Screen

if TYPE_CHECKING:
    from vendingd.cli.keyfiles import KeyFile
    from vendingd.site.model import Api
    from vendingd.site.resolved import Site

OK, WARN, FAIL = "ok", "warn", "fail"
LEAST_FREE = 64 * 1024 * 1024  # bytes; a busy machine writes less in a month
LOW_FREE = 512 * 1024 * 1024
DAEMON = "vendingd"  # user and group of the unit


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    level: str
    detail: str
    advice: str = ""


def doctor(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """1 where anything fails; warnings are no failure."""
    found = list(examine(args, client))
    if args.json:
        rows = [{"check": f.what, "level": f.level, "detail": f.detail, "advice": f.advice} for f in found]
        screen.json({"ok": not any(f.level == FAIL for f in found), "checks": rows})
    else:
        for one in found:
            _tell(one, screen)
        failed, warned = (sum(f.level == level for f in found) for level in (FAIL, WARN))
        screen.line()
        screen.line(f"{len(found)} checks: {failed} failed, {warned} to look at" if failed or warned else "all is well")
    return Exit.PROBLEMS if any(f.level == FAIL for f in found) else Exit.OK


def _tell(one: Finding, screen: Screen) -> None:
    colour = {OK: "green", WARN: "yellow", FAIL: "red"}[one.level]
    screen.paragraph(f"{one.what}: {one.detail}", "      ", screen.paint(one.level.ljust(4), colour) + "  ")
    if one.advice and one.level != OK:
        screen.paragraph(one.advice, "        ")


def examine(args: argparse.Namespace, client: Client) -> Iterator[Finding]:
    yield from socket_there(Path(client.path))
    status: dict[str, Any] | None = None
    try:
        status = client.get("/v1/status")
        yield Finding("vendingd", OK, f"{status['machine']} answers, version {status['version']}")
    except CliError as why:
        yield Finding("vendingd", FAIL, why.text, why.advice)
    if status is not None:
        yield from daemon_says(status)
        yield from devices(client)
    from vendingd.site.model import Api  # here and not above: most commands need no site file

    site, told = site_of(args.site)
    api = site.api if site is not None else Api()
    yield membership(api.group)
    yield from groups(api)
    yield zbar()
    yield disk(args.state_dir)
    yield from state_folder(args.state_dir)
    yield told
    if site is not None:
        yield from keys(site)
        yield from ports(site)


# ---------------------------------------------------------------- the daemon
def socket_there(path: Path) -> Iterator[Finding]:
    try:
        found = path.stat()
    except OSError as why:
        advice = "`systemctl status vendingd`; another socket is named by --socket or VENDINGD_SOCKET."
        yield Finding("socket", FAIL, f"{path}: {why.strerror}", advice)
        return
    if not stat.S_ISSOCK(found.st_mode):
        yield Finding("socket", FAIL, f"{path} is no socket", "Move it away and `systemctl restart vendingd`.")
    elif not os.access(path, os.W_OK):
        yield Finding("socket", FAIL, f"{path} may not be opened by you", "Use sudo.")
    else:
        yield Finding("socket", OK, str(path))


def daemon_says(status: dict[str, Any]) -> Iterator[Finding]:
    why = status["unavailable"]
    advice = "The machine opens nothing until this is repaired. `journalctl -u vendingd -p err` has more."
    last = status["journal"]["last_seq"]
    yield Finding("journal", FAIL, why, advice) if why else Finding("journal", OK, f"{last} records")
    yield clock(status["clock"])
    yield cloud(status["cloud"])
    yield _count("alarms", status["alarms"], "`vendingctl alarms` says what to do about each.")
    yield _count("incidents", status["incidents"], "`vendingctl incident list`, then `incident show ID`.")
    if status["strangers"]:
        advice = "Put them back into the site file, or they stay as they were when it last had them."
        yield Finding("bays", WARN, f"in the journal only: {', '.join(status['strangers'])}", advice)


def _count(what: str, n: int, advice: str) -> Finding:
    return Finding(what, WARN, f"{n} open", advice) if n else Finding(what, OK, "none")


def clock(said: dict[str, Any]) -> Finding:
    if said["trust"] == "assume":
        advice = 'Set [clock] trust = "kernel" in the site file: a wrong clock would open for passes that are over.'
        return Finding("clock", WARN, "the site file assumes that the time is right; nothing checks it", advice)
    if not said["trusted"]:
        advice = "`timedatectl` shows why it is not synchronised; what waits until then: docs/trusted-time.md."
        return Finding("clock", WARN, f"not trusted: {said['utc']} (trust = {said['trust']})", advice)
    return Finding("clock", OK, f"trusted ({said['trust']}), {said['utc']}")


def cloud(said: dict[str, Any]) -> Finding:
    if not said["configured"]:
        return Finding("cloud", OK, "none in the site file")
    waiting = said["backlog"] or 0
    if not said["online"]:
        advice = "Pick-up and return go on. Look at the network, the address and the certificates in [cloud]."
        return Finding(
            "cloud", WARN, f"offline ({said['last_error'] or 'no answer yet'}), {waiting} records wait", advice
        )
    if waiting > 1000:
        return Finding("cloud", WARN, f"online, {waiting} records wait", "It is catching up; look again in a while.")
    return Finding("cloud", OK, "online")


def devices(client: Client) -> Iterator[Finding]:
    rows = client.get("/v1/devices")["devices"]
    bad = [row for row in rows if row["up"] is False]
    for row in bad:
        advice = "What it says comes first; then its cable, supply and options. It is tried again by itself."
        yield Finding("device", FAIL, f"{row['device']} ({row['driver']}) is down: {row['detail']}", advice)
    if not bad:
        yield Finding("devices", OK, f"{len(rows)} answer" if rows else "none in the site file")


# ---------------------------------------------------------------- this computer
def membership(group: str) -> Finding:
    """Whether you may do what a technician does; `group` is the site file's."""
    if os.geteuid() == 0:
        return Finding("access", OK, "you are root")
    name = pwd.getpwuid(os.geteuid()).pw_name
    if not group:
        return Finding("access", WARN, "the site file names no group of technicians", "Use sudo, or set [api] group.")
    try:
        known = grp.getgrnam(group)
    except KeyError:
        return Finding("access", WARN, f"{name} is in no group {group}: there is none", "Use sudo until there is.")
    if known.gr_gid in (os.getegid(), *os.getgroups()):
        return Finding("access", OK, f"{name} is in group {group}")
    if name in known.gr_mem:
        return Finding("access", WARN, f"{name} is in group {group}, but was not at login", "Log out and in again.")
    return Finding(
        "access", WARN, f"{name} is not in group {group}", f"`sudo usermod -aG {group} {name}`, log in anew."
    )


def groups(api: Api) -> Iterator[Finding]:
    """The site file's groups exist here: the daemon lets nobody in by the name of one that does not."""
    for member, name, whom in (("group", api.group, "technicians"), ("kiosk_group", api.kiosk_group, "screens")):
        if not name:
            continue
        try:
            grp.getgrnam(name)
        except KeyError:
            advice = f"`sudo groupadd --system {name}`, or correct [api] {member} in the site file."
            yield Finding(f"group of {whom}", WARN, f"there is no group {name}", advice)
        else:
            yield Finding(f"group of {whom}", OK, name)


def zbar(load: Callable[[str], object] = ctypes.CDLL) -> Finding:
    try:
        load("libzbar.so.0")
    except OSError:
        return Finding("libzbar0", FAIL, "missing: cameras read fewer codes", "`sudo apt-get install libzbar0`.")
    return Finding("libzbar0", OK, "there")


def disk(folder: Path) -> Finding:
    try:
        found = os.statvfs(folder)
    except OSError as why:
        advice = "Name the right one with --state-dir; the service makes its own at its first start."
        return Finding("disk", WARN, f"{folder}: {why.strerror}", advice)
    free = found.f_bavail * found.f_frsize
    words = f"{free // (1024 * 1024)} MiB free at {folder}"
    advice = "Make room: `journalctl --vacuum-size=200M`, `apt-get clean`. A full disk makes the machine unavailable."
    if found.f_flag & os.ST_RDONLY:
        return Finding("disk", FAIL, f"{folder} is mounted read-only", "`dmesg` says why; the card may be worn out.")
    if found.f_files and found.f_favail == 0:
        return Finding("disk", FAIL, f"no inodes free at {folder}", advice)
    return Finding("disk", FAIL if free < LEAST_FREE else WARN if free < LOW_FREE else OK, words, advice)


def state_folder(folder: Path) -> Iterator[Finding]:
    """The journal and the device's key: the daemon's user may write them, and nobody else may look."""
    try:
        found = folder.stat()
    except OSError:
        return  # said of the disk
    if not stat.S_ISDIR(found.st_mode):
        yield Finding("state", FAIL, f"{folder} is no folder", "Name the right one with --state-dir.")
        return
    if not may_use(found, bits=0o7):
        advice = f"`sudo chown -R {DAEMON}: {folder}`, then `sudo systemctl restart vendingd`."
        yield Finding("state", FAIL, f"user {DAEMON} may not write to {folder}", advice)
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        advice = f"`sudo chmod 700 {folder}`: the device's key and what it seals are for the daemon alone."
        yield Finding("state", FAIL, f"{folder} is open to others (mode {mode:03o})", advice)
    else:
        yield Finding("state", OK, f"{folder} is the daemon's alone")


# ---------------------------------------------------------------- the site file and its ports
def site_of(path: Path) -> tuple[Site | None, Finding]:
    """The site file, None where it cannot be read, and what there is to say of it."""
    from vendingd.site.load import load_site
    from vendingd.site.problems import SiteError

    try:
        site = load_site(path)
    except SiteError as why:
        first, more = why.problems[0], len(why.problems) - 1
        rest = f" (and {more} more)" if more else ""
        return None, Finding("site file", FAIL, f"{first}{rest}", f"`vendingctl config check {path}` tells all of it.")
    warned = len(site.warnings)
    level, advice = (WARN, f"`vendingctl config check {path}` tells them.") if warned else (OK, "")
    detail = f"{path}: {len(site.bays)} bays" + (f", {warned} warnings" if warned else "")
    return site, Finding("site file", level, detail, advice)


def keys(site: Site) -> Iterator[Finding]:
    """The key files: there, readable by the daemon's user (and nobody else where that matters), and sound."""
    from vendingd.cli.keyfiles import key_files

    for one in key_files(site):
        yield key_file(one)


def key_file(one: KeyFile) -> Finding:
    what, path = "key file", one.path
    try:
        found = path.stat()
    except FileNotFoundError:
        lost = "vendingd does not start without it" if one.needed else "its reader is down without it"
        return Finding(what, FAIL, f"there is no {path}: {lost}", one.makes)
    except OSError as why:
        return Finding(what, WARN, f"{path}: {why.strerror}", "Use sudo.")
    if not stat.S_ISREG(found.st_mode):
        return Finding(what, FAIL, f"{path} is no file", one.makes)
    mode = stat.S_IMODE(found.st_mode)
    if one.private and mode & 0o077:
        advice = f"`sudo chmod 600 {path}`, and consider it known."
        return Finding(what, FAIL, f"{path} is open to others (mode {mode:03o})", advice)
    if not may_use(found, bits=0o4):
        command = f"chown {DAEMON}: {path}" if one.private else f"chmod 644 {path}"
        return Finding(what, FAIL, f"{path} may not be read by user {DAEMON}", f"`sudo {command}`.")
    if one.hidden():
        return Finding(what, OK, f"{path} is the daemon's; sudo looks into it, too")
    trouble = one.trouble()
    return Finding(what, FAIL, trouble, one.makes) if trouble else Finding(what, OK, str(path))


def ports(site: Site) -> Iterator[Finding]:
    for name, entry in site.devices.items():
        for text in _ports(entry.options):
            yield port(name, Path(text))


def _ports(options: Any) -> list[str]:
    one = getattr(options, "port", None)
    many = getattr(options, "ports", None)
    return [str(p) for p in ([one] if one is not None else list(many or ()))]


def port(device: str, path: Path) -> Finding:
    """A serial port: there, a character device, and open to the daemon's user."""
    try:
        found = path.stat()
    except OSError as why:
        advice = "Plug it in; `ls -l /dev/serial/by-id` shows the names that do not change."
        return Finding("port", FAIL, f"{device}: {path}: {why.strerror}", advice)
    if not stat.S_ISCHR(found.st_mode):
        return Finding("port", FAIL, f"{device}: {path} is no serial port", "Correct `port` in the site file.")
    if not may_use(found):
        try:
            group = grp.getgrgid(found.st_gid).gr_name
        except KeyError:
            group = str(found.st_gid)
        advice = f"`sudo usermod -aG {group} {DAEMON}`, then `sudo systemctl restart vendingd`."
        return Finding("port", FAIL, f"{device}: {path} may not be opened by user {DAEMON}", advice)
    return Finding("port", OK, f"{device}: {path}")


def may_use(found: os.stat_result, user: str = DAEMON, bits: int = 0o6) -> bool:
    """Whether the daemon's user may read and write (a folder: and enter, 0o7).

    True where there is no such user: it then is no service.
    """
    try:
        known = pwd.getpwnam(user)
    except KeyError:
        return True
    both = bits << 6
    if known.pw_uid == 0:
        return True
    if found.st_uid == known.pw_uid:
        return found.st_mode & both == both
    if found.st_gid in os.getgrouplist(user, known.pw_gid):
        return found.st_mode & (both >> 3) == both >> 3
    return found.st_mode & (both >> 6) == both >> 6
