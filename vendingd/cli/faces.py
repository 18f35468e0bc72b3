"""`vendingctl face`: enrols at a terminal's device, and has it forget."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from vendingd.cli.client import Client, part
from vendingd.cli.exits import CliError, Exit
from vendingd.cli.show import Screen

SAYS = {
    "closer": "closer",
    "farther": "step back a little",
    "one_person": "one person alone",
    "hold_still": "hold still",
    "more_light": "more light is needed",
    "look_here": "look straight into the camera",
    "uncover": "nothing before the face: no scarf, no sunglasses",
    "turn": "face the camera",
    "turn_left": "turn the head to your left",
    "turn_right": "turn the head to your right",
    "look_down": "look down",
    "look_up": "look up",
    "eyes_open": "eyes open",
}


def face_enrol(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """What the person is to do goes to standard error, the template alone to standard output or the file."""
    body = {"name": args.name, "reason": args.reason}
    path = f"/v1/terminals/{part(args.terminal)}/face/enrol"
    fd = None if args.out is None else _new(args.out)
    try:
        template = _followed(client, path, body)
    except BaseException:
        if fd is not None:
            os.close(fd)
            args.out.unlink()
        raise
    text = json.dumps(template)
    if fd is None:
        sys.stdout.write(text + "\n")
    else:
        with os.fdopen(fd, "w") as file:
            file.write(text + "\n")
    return Exit.OK


def _followed(client: Client, path: str, body: dict[str, Any]) -> Any:
    for item in client.follow(path, body):
        if item["type"] == "template":
            return item["template"]
        if item["type"] == "failed":
            raise CliError(Exit.REFUSED, str(item["detail"]), "Nobody was enrolled; try again when that is put right.")
        sys.stderr.write(f"{SAYS.get(item['word'], item['word'])}\n")
        sys.stderr.flush()
    raise AssertionError("a stream that ends by itself raises")


def _new(path: Path) -> int:
    """Made before anybody is enrolled: a template that cannot be kept is of no use."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise CliError(Exit.REFUSED, f"{path}: {why.strerror}", "Name a file that is not there yet.") from None


def face_forget(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    try:
        template = json.loads(args.file.read_bytes())
    except (OSError, ValueError) as why:
        raise CliError(Exit.REFUSED, f"{args.file}: {why}", "Name the file that `face enrol` wrote.") from None
    said = client.post(
        f"/v1/terminals/{part(args.terminal)}/face/forget", {"template": template, "reason": args.reason}
    )
    if args.json:
        screen.json(said)
    else:
        screen.line(f"The device at {args.terminal} keeps nothing of it any more.")
    return Exit.OK
