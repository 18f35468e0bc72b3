"""Commands that change something. Each says what was journalled by it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vendingd.cli.client import Client, part
from vendingd.cli.exits import Exit
from vendingd.cli.show import Screen


def _done(args: argparse.Namespace, screen: Screen, said: Mapping[str, Any], text: str) -> int:
    if args.json:
        screen.json(said)
    else:
        screen.paragraph(text)
    return Exit.OK


def set_bay(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    body: dict[str, Any] = {"reason": args.reason}
    body.update({"empty": True} if args.empty else {"asset": args.asset})
    said = client.post(f"/v1/bays/{part(args.bay)}/contents", body)
    return _done(args, screen, said, f"{args.bay} is noted as {'empty' if args.empty else f'holding {args.asset}'}.")


def unlock(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    said = client.post(f"/v1/bays/{part(args.bay)}/unlock", {"reason": args.reason})
    text = f"The opening of {args.bay} is authorised ({said['grant']}); whether it opened is told by its sensors: "
    return _done(args, screen, said, text + f"`vendingctl bays {args.bay}`.")


def availability(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    path = "/v1/availability" if args.bay is None else f"/v1/bays/{part(args.bay)}/availability"
    said = client.post(path, {"in_service": args.in_service, "reason": args.reason})
    where = "The machine" if args.bay is None else args.bay
    text = "in service again" if args.in_service else "out of service"
    more = "" if args.in_service or args.bay is not None else "; it still takes returns"
    return _done(args, screen, said, f"{where} is {text}{more}.")


def clear_alarm(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    body = {"alarm": args.alarm, "reason": args.reason}
    said = client.post("/v1/alarms/clear", {**body, "bay": args.bay} if args.bay is not None else body)
    return _done(args, screen, said, f"Alarm {args.alarm} of {args.bay or 'the machine'} is cleared.")


def resolve(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    body = {"outcome": args.outcome, "reason": args.reason}
    said = client.post(f"/v1/incidents/{part(args.incident)}/resolve", body)
    text = f"Incident {args.incident} is resolved: {args.outcome}."
    if said["rental"] is not None:
        text += f" Rental {said['rental']} is {said['rental_state']}."
    if said["quarantined"] is not None:
        text += f" {said['bay']} stays in quarantine ({said['quarantined']}) until somebody says what is inside: "
        text += f"`vendingctl bays set {said['bay']} --asset ID|--empty --reason ...`."
    return _done(args, screen, said, text)


def reset_attempts(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    said = client.post(f"/v1/rentals/{part(args.rental)}/reset-attempts", {"reason": args.reason})
    return _done(args, screen, said, f"Rental {args.rental} has all its tries again.")
