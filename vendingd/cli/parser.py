"""The command line: every command with its help. Options may stand before or behind a command."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from vendingd.cli.exits import Exit

SOCKET = "/run/vendingd/api.sock"
SITE = "/etc/vendingd/site.toml"
STATE = "/var/lib/vendingd"
BAYS_SET = "bays-set"  # `bays set` inside the parser, see split_bays
OUTCOMES = ("ready", "on_trip", "returned", "cancelled", "purchased", "closed")

EPILOG = """exit codes:
  0 ok   1 problems were found (config check, doctor, audit verify)   2 usage
  3 refused by the machine   4 vendingd not reachable   5 not permitted
  6 unavailable or busy, try again later   130 interrupted"""

Add = Callable[..., argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """Says what to do about a wrong command line."""

    def error(self, message: str) -> NoReturn:
        message = message.replace(f"'{BAYS_SET}', ", "")  # a name of ours, not of the user's
        if "--outcome" in message and "invalid choice" in message:
            message += "; `vendingctl incident show ID` says which are possible, and when they are right"
        self.exit(Exit.USAGE, f"{self.prog}: {message}\nTry: {self.prog} --help\n")


def build(environment: Mapping[str, str] = os.environ) -> argparse.ArgumentParser:
    """`args.run` names the command, as in `commands.COMMANDS`."""
    socket = environment.get("VENDINGD_SOCKET") or SOCKET
    top = Parser(
        prog="vendingctl",
        description="Looks after one machine through the socket of its vendingd.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _common(top, socket)
    top.add_argument("--version", action="store_true", help="print the version")
    below = argparse.ArgumentParser(add_help=False)
    _common(below, None)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    def add(group: Any, name: str, run: str | None, text: str, **defaults: Any) -> argparse.ArgumentParser:
        shown = {} if name == BAYS_SET else {"help": text}
        made: argparse.ArgumentParser = group.add_parser(
            name, description=f"{text[0].upper()}{text[1:]}.", parents=[below], allow_abbrev=False, **shown
        )
        if run is not None:
            made.set_defaults(run=run, **defaults)
        return made

    _look(commands, add)
    _bays(commands, add)
    _rentals(commands, add)
    _privacy(commands, add)
    _faces(commands, add)
    _alarms(commands, add)
    _journal(commands, add)
    _offline(commands, add)
    return top


def _common(parser: argparse.ArgumentParser, socket: str | None) -> None:
    """`socket` None: a command's own copy, which must not undo what stood before it."""
    unset: dict[str, Any] = {} if socket is not None else {"default": argparse.SUPPRESS}
    default: dict[str, Any] = {"default": socket} if socket is not None else unset
    group = parser.add_argument_group("for every command")
    group.add_argument(
        "--socket", metavar="PATH", help=f"socket of vendingd (VENDINGD_SOCKET, else {SOCKET})", **default
    )
    group.add_argument("--json", action="store_true", help="print JSON, for programs", **unset)
    group.add_argument("--as", dest="speak_as", metavar="NAME", help="whose name is journalled (root only)", **unset)


def _reason(parser: argparse.ArgumentParser) -> None:
    text = "why; it is journalled with your name"
    parser.add_argument("--reason", required=True, type=_one_line, metavar="TEXT", help=text)


def _one_line(text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise argparse.ArgumentTypeError('say why in one line, such as --reason "customer called, bay checked"')
    return text.strip()


def _ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ids", action="store_true", help="print the names alone, one a line")


def _group(parser: argparse.ArgumentParser, *, required: bool) -> Any:
    return parser.add_subparsers(title="commands", metavar="COMMAND", dest="subcommand", required=required)


def _look(commands: Any, add: Add) -> None:
    add(commands, "status", "status", "the machine at a glance")
    add(commands, "watch", "watch", "follow what happens, until Ctrl-C")


def _bays(commands: Any, add: Add) -> None:
    # `bays` lists, `bays BAY` shows one, `bays set BAY` changes one: told apart in `split_bays`.
    bays = add(commands, "bays", "bays", "list the bays, or show one; `bays set` says what is in one")
    bays.add_argument("bay", nargs="?", metavar="BAY", help="show this one in full")
    _ids(bays)
    put = add(commands, BAYS_SET, "set_bay", "say what is in a bay: stocking, or lifting a quarantine")
    put.prog = "vendingctl bays set"
    put.add_argument("bay", metavar="BAY")
    what = put.add_mutually_exclusive_group(required=True)
    what.add_argument("--asset", metavar="ID", help="this asset is inside")
    what.add_argument("--empty", action="store_true", help="nothing is inside")
    _reason(put)
    unlock = add(commands, "unlock", "unlock", "open a bay once")
    unlock.add_argument("bay", metavar="BAY")
    _reason(unlock)
    for name, text, value in (
        ("out-of-service", "take a bay, or the machine, out of service; returns go on", False),
        ("in-service", "put a bay, or the machine, back into service", True),
    ):
        made = add(commands, name, "availability", text, in_service=value)
        made.add_argument("bay", nargs="?", metavar="BAY", help="left out: the machine")
        _reason(made)


def _rentals(commands: Any, add: Add) -> None:
    rentals = add(commands, "rentals", "rentals", "list the rentals that are under way")
    rentals.add_argument("--all", action="store_true", help="those that are over, too")
    rentals.add_argument("--state", metavar="STATE", help="only those in this state")
    _ids(rentals)
    group = _group(rentals, required=False)
    add(group, "show", "rental", "show a rental").add_argument("rental", metavar="ID")
    reset = add(group, "reset-attempts", "reset_attempts", "give a rental all its tries again")
    reset.add_argument("rental", metavar="ID")
    _reason(reset)


def _privacy(commands: Any, add: Add) -> None:
    group = _group(
        add(commands, "privacy", None, "what is kept about a rental's holder, and its erasure"), required=True
    )
    export = add(group, "export", "export_kept", "print everything that is kept about a rental, as JSON")
    export.add_argument("rental", metavar="ID")
    erase = add(group, "erase", "erase_kept", "erase now what a rental's holder could be known by")
    erase.add_argument("rental", metavar="ID")
    erase.add_argument("--force", action="store_true", help="also what is still needed to hand out or bring back")
    _reason(erase)


def _faces(commands: Any, add: Add) -> None:
    group = _group(add(commands, "face", None, "who is enrolled at a terminal's face device"), required=True)
    enrol = add(group, "enrol", "face_enrol", "enrol who stands at a terminal, and print the template")
    enrol.add_argument("terminal", metavar="TERMINAL")
    enrol.add_argument("--name", required=True, metavar="REF", help="a reference that occurs once, not a person's name")
    enrol.add_argument("--out", type=Path, metavar="FILE", help="a new file for the template, mode 0600")
    _reason(enrol)
    forget = add(group, "forget", "face_forget", "have the device forget whom a template names")
    forget.add_argument("terminal", metavar="TERMINAL")
    forget.add_argument("file", type=Path, metavar="FILE", help="the template, as `face enrol` printed it")
    _reason(forget)


def _alarms(commands: Any, add: Add) -> None:
    add(commands, "alarms", "alarms", "list everything that somebody should look at")
    alarm = _group(add(commands, "alarm", None, "clear an alarm"), required=True)
    clear = add(alarm, "clear", "clear_alarm", "clear an alarm of a bay, or of the machine")
    clear.add_argument("bay", nargs="?", metavar="BAY", help="left out: an alarm of the machine")
    clear.add_argument("alarm", metavar="ALARM")
    _reason(clear)
    group = _group(add(commands, "incident", None, "list, show and resolve incidents"), required=True)
    _ids(add(group, "list", "incidents", "list the open incidents"))
    add(group, "show", "incident", "what to look at, and which outcomes there are").add_argument(
        "incident", metavar="ID"
    )
    resolve = add(group, "resolve", "resolve", "say what became of it")
    resolve.add_argument("incident", metavar="ID")
    resolve.add_argument("--outcome", required=True, choices=OUTCOMES, help="`incident show ID` explains them")
    _reason(resolve)


def _journal(commands: Any, add: Add) -> None:
    journal = add(commands, "journal", "journal", "print the newest records")
    journal.add_argument("--after", type=_count, metavar="SEQ", help="the records behind this one")
    journal.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
    journal.add_argument("--kind", metavar="KIND", help="only kinds that begin so, such as bay. or rental.on_trip")
    group = _group(journal, required=False)
    backup = add(group, "backup", "backup", "write a copy of the whole journal, checked, to a new file")
    backup.add_argument("path", type=Path, metavar="PATH", help="of the file; there must be none")
    aside = add(group, "set-aside", "set_aside", "move a damaged journal aside as evidence, with vendingd stopped")
    back = add(group, "put-back", "put_back", "put a backup in the journal's place, with vendingd stopped")
    back.add_argument("path", type=Path, metavar="FILE", help="that `journal backup` wrote, or of a set-aside journal")
    _reason(back)
    restored = add(
        group, "restored", "restored", "say that the journal in place is an older copy, best before the start"
    )
    _reason(restored)
    audit = _group(add(commands, "audit", None, "check the journal's chain of hashes"), required=True)
    verify = add(audit, "verify", "verify", "check the whole journal")
    verify.add_argument("--file", type=Path, metavar="PATH", help="this file, with vendingd stopped")
    verify.add_argument("--machine", metavar="ID", help="of a file: whose it must be (the one that it names)")
    for made in (journal, verify):
        _state_dir(made, Path(STATE))
    for made in (backup, aside, back, restored):
        _state_dir(made, argparse.SUPPRESS)  # it may stand before the subcommand, too


def _state_dir(parser: argparse.ArgumentParser, default: Any) -> None:
    text = f"where the journal is, with vendingd stopped ({STATE})"
    parser.add_argument("--state-dir", type=Path, default=default, metavar="DIR", help=text)


def _offline(commands: Any, add: Add) -> None:
    config = _group(add(commands, "config", None, "site files, without vendingd"), required=True)
    check = add(config, "check", "config_check", "tell everything that is wrong with a site file")
    check.add_argument("file", type=Path, nargs="?", default=Path(SITE), metavar="FILE", help=f"left out: {SITE}")
    add(config, "schema", "config_schema", "print the JSON Schema of site files, for editors")
    reader = _group(add(commands, "reader", None, "badge readers, without vendingd"), required=True)
    commission = add(reader, "commission", "reader_commission", "give an OSDP reader in installation mode its key")
    commission.add_argument("device", metavar="DEVICE", help="its name in the site file; NAME:CHANNEL of several")
    commission.add_argument("--site", type=Path, default=Path(SITE), metavar="FILE", help=f"site file ({SITE})")
    commission.add_argument("--replace", action="store_true", help="make a new key although there is a key file")
    doctor = add(commands, "doctor", "doctor", "check everything that a machine needs, and say what to do")
    doctor.add_argument("--site", type=Path, default=Path(SITE), metavar="FILE", help=f"site file ({SITE})")
    doctor.add_argument("--state-dir", type=Path, default=Path(STATE), metavar="DIR", help=f"journal ({STATE})")
    completion = add(commands, "completion", "completion", "print a completion script for a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def split_bays(argv: list[str]) -> list[str]:
    """`bays set` as the word that the parser knows: beside an optional BAY a subcommand would be ambiguous."""
    for n, word in enumerate(argv[:-1]):
        if word == "bays" and argv[n + 1] == "set":
            return [*argv[:n], BAYS_SET, *argv[n + 2 :]]
    if argv[-1:] == ["set"] and argv[-2:-1] == ["bays"]:
        return [*argv[:-2], BAYS_SET]
    return argv
