"""What is kept about a rental's holder: shown to whoever may ask for it, and erased before its time."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from vendingd.cli.client import Client, part
from vendingd.cli.exits import Exit
from vendingd.cli.show import Screen, clean


def export_kept(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """One JSON object, with --json or without: it is handed on, not read. Where it is empty, stderr says so."""
    path = f"/v1/rentals/{part(args.rental)}/kept"
    said: dict[str, Any] = client.get(path)
    after = said.pop("next")
    while after is not None:
        page = client.get(path, after=after)
        said["records"] += page["records"]
        after = page["next"]
    screen.json(said)
    if said["records"] or any(said["state"].values()):
        return Exit.OK
    text = f"vendingctl: nothing is known of {clean(args.rental)}; a mistyped name looks the same"
    Screen(sys.stderr).paragraph(text, "  ", "")
    return Exit.PROBLEMS


def erase_kept(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    body = {"reason": args.reason, "force": args.force}
    said = client.post(f"/v1/rentals/{part(args.rental)}/erase", body)
    if args.json:
        screen.json(said)
    else:
        screen.paragraph(
            f"PIN, face, badges and holder of {args.rental} are erased here. Its records stay: they name the rental "
            "and who worked on it or agreed to it, not its holder (docs/privacy.md)."
        )
        if said["to_forget"]:
            screen.paragraph(
                "A face module still has to forget the face, and is told until it has: `vendingctl privacy export "
                f"{args.rental}` shows `to_forget` until then, `vendingctl alarms` names a module that does not answer."
            )
    return Exit.OK
