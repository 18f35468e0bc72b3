"""`vendingctl`: reads the command line, runs one command, turns its end into an exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from vendingd.cli.client import Client
from vendingd.cli.exits import CliError, Exit
from vendingd.cli.parser import build, split_bays
from vendingd.cli.show import Screen

Command = Callable[[argparse.Namespace, Client, Screen], int]

# Where each command is; imported when it is run.
COMMANDS = {
    "status": "reading",
    "watch": "reading",
    "bays": "reading",
    "rentals": "reading",
    "rental": "reading",
    "alarms": "reading",
    "incidents": "reading",
    "incident": "reading",
    "set_bay": "acting",
    "unlock": "acting",
    "availability": "acting",
    "clear_alarm": "acting",
    "resolve": "acting",
    "reset_attempts": "acting",
    "export_kept": "privacy",
    "erase_kept": "privacy",
    "face_enrol": "faces",
    "face_forget": "faces",
    "journal": "stored",
    "verify": "stored",
    "backup": "stored",
    "restored": "stored",
    "set_aside": "stored",
    "put_back": "stored",
    "config_check": "config",
    "config_schema": "config",
    "reader_commission": "reader",
    "doctor": "doctor",
    "completion": "completion",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit code; see `Exit`."""
    parser = build()
    args = parser.parse_args(split_bays(list(sys.argv[1:] if argv is None else argv)))
    if args.version:
        from importlib.metadata import version

        sys.stdout.write(f"vendingctl {version('vendingd')}\n")
        return Exit.OK
    if args.command is None:
        parser.print_help()
        return Exit.USAGE
    try:
        code = _command(args.run)(args, Client(args.socket, args.speak_as), Screen())
        sys.stdout.flush()
        return int(code)
    except CliError as why:
        return _fail(why, as_json=args.json)
    except KeyboardInterrupt:
        sys.stdout.flush()
        return Exit.OK if args.run == "watch" else Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has enough (`| head`). What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def _command(name: str) -> Command:
    from importlib import import_module

    run: Command = getattr(import_module(f"vendingd.cli.{COMMANDS[name]}"), name)
    return run


def _fail(why: CliError, *, as_json: bool) -> int:
    if as_json:
        sys.stderr.write(json.dumps(why.said()) + "\n")
    else:
        screen = Screen(sys.stderr)
        screen.paragraph(f"vendingctl: {why.text}", "  ", "")
        if why.advice:
            screen.paragraph(why.advice, "  ")
    return why.code


if __name__ == "__main__":
    sys.exit(main())
