"""The journal: through the daemon while it runs, from its file while it does not."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict, TypeVar

from vendingd.cli.client import VERIFY_S, Client
from vendingd.cli.exits import CliError, Exit
from vendingd.cli.show import Screen, brief, when

if TYPE_CHECKING:
    from vendingd.journal.api import StoreError

Row = Mapping[str, Any]
T = TypeVar("T")
FILE = "journal.db"
SCANNED = 5_000  # records of a file looked through for a kind, the newest of them
PART = 256 * 1024
_WHERE = "The journal is journal.db in the state directory, /var/lib/vendingd as installed (--state-dir)."


# ---------------------------------------------------------------- looking
def journal(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    rows = _either(args, lambda: _ask(args, client), lambda path: _read(args, path))
    if args.json:
        for row in rows:
            screen.json_line(row)
        return Exit.OK
    screen.table(
        ("SEQ", "TIME (UTC)", "KIND", "SUBJECT", "DATA"),
        [
            (
                row["seq"],
                when(row["utc"]).rstrip("Z") + ("" if row["utc_trusted"] else "?"),
                row["kind"],
                row["subject"],
                brief(row["data"]),
            )
            for row in rows
        ],
    )
    return Exit.OK


def _ask(args: argparse.Namespace, client: Client) -> list[Row]:
    rows: list[Row] = []
    after = args.after
    while len(rows) < args.limit:
        page = client.get("/v1/journal", after=after, limit=min(args.limit - len(rows), 500), kind=args.kind)
        rows += page["records"]
        if args.after is None or page["next"] is None:
            break
        after = page["next"]
    return rows


def _read(args: argparse.Namespace, path: Path) -> list[Row]:
    from vendingd.api.views import stored
    from vendingd.journal.offline import read_file

    kind = args.kind or ""
    machine, records = read_file(path, args.after, SCANNED if kind else args.limit)
    found = [one for one in records if one.kind.startswith(kind)]
    kept = found[-args.limit :] if args.after is None else found[: args.limit]
    return [stored(one, machine) for one in kept] if args.limit else []


def verify(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """0 for a sound journal, 1 for a damaged one."""
    if args.file is not None:
        with _readable(args.file):
            said = _verify_file(args, args.file)
    else:
        said = _either(
            args,
            lambda: client.post("/v1/journal/verify", timeout_s=VERIFY_S),
            lambda path: _verify_file(args, path),
        )
    if args.json:
        screen.json(said)
    elif said["ok"]:
        text = f"sound: {said['checked']} records"
        if said["from_seq"]:
            text += f" behind {said['from_seq']} (hash {said['from_hash']}; older ones have aged out)"
        screen.paragraph(f"{text}; head {said['head_seq']}, hash {said['head_hash'] or '-'}")
    else:
        where = f" at record {said['first_bad_seq']}" if said["first_bad_seq"] is not None else ""
        screen.paragraph(screen.paint(f"damaged{where}", "red") + f": {said['problem']}")
        screen.paragraph(
            "Do not repair it. `vendingctl journal put-back FILE --reason ...` goes on from a backup and keeps this "
            "one as evidence; docs/journal.md says more."
        )
    return Exit.OK if said["ok"] else Exit.PROBLEMS


def _verify_file(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    from vendingd.api.views import verdict
    from vendingd.journal.offline import verify_file
    from vendingd.kernel.codec import decode

    return verdict(verify_file(path, args.machine, decode))


# ---------------------------------------------------------------- copying, moving aside
def backup(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """A whole copy, checked, under a name that nothing had. Written by whoever asks, with their rights."""
    from vendingd.journal.offline import SUFFIXES, copy_file, verify_file
    from vendingd.kernel.codec import decode

    target: Path = args.path
    _free(target)
    with _written(target) as (part, file):
        asked = lambda: client.download("/v1/journal/backup", file)  # noqa: E731
        _either(args, asked, lambda path: copy_file(path, part))
        file.flush()
        os.fsync(file.fileno())
        found = verify_file(part, None, decode)
        for suffix in SUFFIXES[1:]:
            part.with_name(part.name + suffix).unlink(missing_ok=True)
        if not found.ok:
            where = f"damaged at record {found.first_bad_seq}" if found.first_bad_seq else "damaged"
            advice = "`vendingctl audit verify` says more; docs/journal.md says how to go on."
            raise CliError(Exit.PROBLEMS, f"nothing was written, the journal is {where}: {found.problem}", advice)
        _put(part, target)
    said = {"file": str(target), "bytes": target.stat().st_size, "records": found.checked, "head_seq": found.head_seq}
    if args.json:
        screen.json(said)
    else:
        screen.paragraph(f"{target}: {found.checked} records through {found.head_seq}, the chain is sound.")
    return Exit.OK


def _free(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise CliError(Exit.USAGE, f"{target} is there already", "Name a file that is not: nothing is overwritten.")
    if not target.parent.is_dir():
        raise CliError(Exit.USAGE, f"{target.parent} is no directory", "Make it, or name another place.")


@contextmanager
def _written(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """An empty file of a name of its own that only its owner can read; it goes if it was not given its name by then."""
    part = None
    try:
        # another backup to the same name may be under way: the first to end gets it
        fd, name = tempfile.mkstemp(".part", f".{target.name}.", target.parent)
        part = Path(name)
        with os.fdopen(fd, "wb") as file:
            yield part, file
    except OSError as why:
        raise CliError(
            Exit.USAGE, f"{target.parent} cannot be written: {why.strerror}", "Name another place."
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _put(part: Path, target: Path) -> None:
    """Under its name at once and whole, never over another file."""
    try:
        os.link(part, target)
    except FileExistsError:
        _free(target)
    except OSError:  # a file system without links, as on most sticks
        _free(target)
        os.rename(part, target)
    fd = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def restored(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """Best before the start: what a daemon journals until then may bear names that the cloud knows already."""
    said = _either(
        args,
        lambda: client.post("/v1/journal/restored", {"reason": args.reason}),
        lambda path: {"done": True, "epoch": _restored_file(args, path)},
    )
    if args.json:
        screen.json(said)
    else:
        screen.paragraph(f"The journal goes on under the new epoch {said['epoch']}.")
    return Exit.OK


def _restored_file(args: argparse.Namespace, path: Path) -> str:
    from vendingd.journal.offline import restored_file

    return restored_file(path, _why(args), **_now())


class _Now(TypedDict):
    boot_id: str
    utc: float
    mono: float
    token: Callable[[int], bytes]


def _now() -> _Now:
    import secrets

    from vendingd.kernel.time import SystemClock, boot_id

    clock = SystemClock()
    return {
        "boot_id": boot_id(),
        "utc": clock.utc_now(),
        "mono": clock.monotonic(),
        "token": secrets.token_bytes,
    }


def _why(args: argparse.Namespace) -> str:
    """Who, and why. Root may speak as somebody else: somebody who has a name."""
    who = _user() if args.speak_as is None else args.speak_as.strip()
    if not who:
        raise CliError(Exit.USAGE, "--as names nobody", "Give the name of who does this.")
    return f"{who}: {args.reason}"


def _user() -> str:
    import pwd

    if os.geteuid() == 0 and (by_sudo := os.environ.get("SUDO_USER")):
        return by_sudo
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def set_aside(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """With vendingd stopped."""
    from vendingd.journal.replace import move_aside

    path = args.state_dir / FILE
    with _readable(path):
        aside = move_aside(path)
    if args.json:
        screen.json({"file": str(aside / FILE)})
        return Exit.OK
    screen.paragraph(f"{path} is {aside / FILE} now, with its log; keep it as evidence.")
    screen.paragraph(
        "`vendingctl journal put-back FILE --reason ...` puts the latest backup in its place; where there is none, "
        "vendingd begins anew. Then start it."
    )
    return Exit.OK


def put_back(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """With vendingd stopped: a backup in the journal's place, checked, under a new epoch."""
    from vendingd.journal.replace import put_back as put
    from vendingd.kernel.codec import decode

    path, source = args.state_dir / FILE, args.path
    why = _why(args)
    if not _there(source):
        raise CliError(Exit.USAGE, f"there is no {source}", "Name a file that `vendingctl journal backup` wrote.")
    with _readable(path):
        done = put(source, path, why, readable=decode, **_now())
    if args.json:
        aside = str(done.aside / FILE) if done.aside else None
        screen.json({"epoch": done.epoch, "records": done.records, "head_seq": done.head_seq, "aside": aside})
        return Exit.OK
    screen.paragraph(
        f"{path} is {source} now: {done.records} records through {done.head_seq}, under the new epoch {done.epoch}."
    )
    if done.aside:
        screen.paragraph(f"What was there is {done.aside / FILE} now, with its log; keep it as evidence.")
    screen.paragraph("Start vendingd; then look at `vendingctl incident list`.")
    return Exit.OK


# ---------------------------------------------------------------- which way
def _either(args: argparse.Namespace, ask: Callable[[], T], read: Callable[[Path], T]) -> T:
    """The daemon's answer, or the file's where no daemon has it; said, so that nobody mistakes one for the other."""
    try:
        return ask()
    except CliError as why:
        path: Path = args.state_dir / FILE
        # A daemon that refuses its journal does not have it; one that has it keeps us out.
        refuses = why.problem is not None and why.problem.get("reason") == "unavailable"
        if not (refuses or why.code is Exit.UNREACHABLE) or not _there(path):
            raise
        try:
            with _readable(path):
                found = read(path)
        except CliError as locked:
            raise (why if refuses and locked.code is Exit.REFUSED else locked) from None
        sys.stderr.write(f"vendingctl: {why.text}; this is {path}\n")
        return found


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # behind a door that is closed to us: that is said then


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong with a file, with what to do about it."""
    from vendingd.journal.api import StoreError

    try:
        if path.exists() and not os.access(path, os.R_OK):
            raise PermissionError
        yield
    except PermissionError as why:
        what = f"{why.filename or path} may not be read or changed by you"
        raise CliError(Exit.FORBIDDEN, what, "Use sudo.") from None
    except OSError as why:
        raise CliError(Exit.USAGE, f"{path} cannot be read: {why.strerror}", _WHERE) from None
    except StoreError as why:
        raise _told(why) from None


def _told(why: StoreError) -> CliError:
    from vendingd.journal.api import StoreErrorKind

    if why.kind is StoreErrorKind.LOCKED:
        advice = "Leave --file out to ask the daemon, or stop it: `systemctl stop vendingd`."
        return CliError(Exit.REFUSED, why.detail, advice)
    return CliError(Exit.PROBLEMS, why.detail)
