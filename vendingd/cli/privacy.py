"""What is kept about a rental's holder: shown to whoever may ask for it, and erased before its time."""

from __future__ import annotations

import argparse
from typing import Any

from vendingd.cli.client import Client, part
from vendingd.cli.exits import Exit
from vendingd.cli.show import Screen


def export_kept(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """One JSON object, with --json or without: it is handed on, not read."""
    path = f"/v1/rentals/{part(args.rental)}/kept"
    said: dict[str, Any] = client.get(path)
    after = said.pop("next")
    while after is not None:
        page = client.get(path, after=after)
        said["records"] += page["records"]
        after = page["next"]
    screen.json(said)
    return Exit.OK


def erase_kept(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    body = {"reason": args.reason, "force": args.force}
    said = client.post(f"/v1/rentals/{part(args.rental)}/erase", body)
    if args.json:
        screen.json(said)
    else:
        text = f"Nothing is kept any more by which the holder of {args.rental} could be known; its records stay: "
        screen.paragraph(text + "they name the rental alone (docs/privacy.md).")
    return Exit.OK
