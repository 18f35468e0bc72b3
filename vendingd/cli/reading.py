"""Commands that only look."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vendingd.cli.client import Client, part
from vendingd.cli.exits import Exit
from vendingd.cli.show import Screen, brief, clean, when

Row = Mapping[str, Any]
_PLAIN = re.compile(r"[A-Za-z0-9_.:@+/][A-Za-z0-9_.:@+/-]*")


def status(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    said = client.get("/v1/status")
    if args.json:
        screen.json(said)
        return Exit.OK
    clock, bays, rentals = said["clock"], said["bays"], said["rentals"]
    trips = ", ".join(f"{n} {word}" for word, n in rentals.items() if n and word != "overdue") or "none"
    rows = [
        ("machine", f"{said['machine']} at {said['site']}, vendingd {said['version']}"),
        ("state", said["state"] + (f" - {said['unavailable']}" if said["unavailable"] else "")),
        ("clock", f"{when(clock['utc'])}, {'trusted' if clock['trusted'] else 'not trusted'} ({clock['trust']})"),
        ("cloud", cloud_words(said["cloud"])),
        ("bays", _counted(bays, bays["total"])),
        ("rentals", trips + (f"; {rentals['overdue']} overdue" if rentals["overdue"] else "")),
        ("alarms", f"{said['alarms']} - `vendingctl alarms`" if said["alarms"] else "none"),
        ("incidents", f"{said['incidents']} - `vendingctl incident list`" if said["incidents"] else "none"),
    ]
    if said["devices_down"]:
        rows.append(("devices", "down " + ", ".join(said["devices_down"])))
    screen.pairs(rows)
    return Exit.OK


def cloud_words(said: Row) -> str:
    if not said["configured"]:
        return "none in the site file"
    waiting = f", {said['backlog']} records wait" if said.get("backlog") else ""
    if said["online"]:
        return f"online{waiting}"
    return f"offline{waiting}: {said['last_error'] or 'no answer yet'}"


def _counted(counts: Row, total: int) -> str:
    words = [f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if name != "total" and n]
    return f"{total}: " + ", ".join(words)


# ---------------------------------------------------------------- bays
def bays(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    if args.bay is not None:
        return _bay(args, client, screen)
    rows = list(client.pages("/v1/bays", "bays"))
    if args.ids:
        return _ids(screen, (row["id"] for row in rows))
    if args.json:
        screen.json(rows)
        return Exit.OK
    screen.table(
        ("BAY", "STATE", "ASSET", "CONTENTS", "NOTES"),
        [(row["id"], row["state"], row["asset"], row["occupancy"], bay_notes(row)) for row in rows],
    )
    return Exit.OK


def bay_notes(row: Row) -> str:
    notes = list(row["alarms"])
    if row["quarantined"]:
        notes.append(f"quarantined ({row['quarantined']})")
    if not row["in_service"]:
        notes.append("out of service")
    if row["settling"]:
        notes.append("settling after the start")
    silent = [name for name, value in row["sensed"].items() if value is None]
    if silent:
        notes.append(f"silent: {', '.join(silent)}")
    if row["grant"] is not None:
        grant = row["grant"]
        notes.append(f"{grant['purpose']} by {grant['rental'] or grant['who']}{', lapsed' if grant['lapsed'] else ''}")
    return ", ".join(notes)


def _bay(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    row = client.get(f"/v1/bays/{part(args.bay)}")
    if args.json:
        screen.json(row)
        return Exit.OK
    grant = row["grant"]
    pairs: list[tuple[str, Any]] = [
        ("bay", row["id"]),
        ("state", row["state"]),
        ("asset", row["asset"] and f"{row['asset']} (class {row['asset_class'] or 'unknown'}), believed inside"),
        ("contents", row["occupancy"]),
        ("fits", ", ".join(row["fits"])),
        ("in service", row["in_service"]),
        ("quarantine", row["quarantined"]),
        ("alarms", ", ".join(row["alarms"])),
        ("sensed", ", ".join(f"{k} {v if v is not None else 'does not answer'}" for k, v in row["sensed"].items())),
    ]
    if grant is not None:
        pairs.append(("grant", f"{grant['id']}: {grant['purpose']} for {grant['rental'] or grant['who']}"))
        pairs.append(("commanded", grant["commanded"]))
        pairs.append(("opened", grant["opened"]))
    screen.pairs(pairs)
    return Exit.OK


# ---------------------------------------------------------------- rentals
def rentals(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    every = "1" if args.all else None
    rows = list(client.pages("/v1/rentals", "rentals", state=args.state, all=every))
    if args.ids:
        return _ids(screen, (row["id"] for row in rows))
    if args.json:
        screen.json(rows)
        return Exit.OK
    if not rows:
        screen.line("no rentals" if args.all else "no rentals under way; --all shows those that are over")
        return Exit.OK
    screen.table(
        ("RENTAL", "STATE", "ASSET", "BAY", "DUE", "NOTES"),
        [
            (
                row["id"],
                row["state"],
                row["asset"] or f"any {clean(row['asset_class'])}",
                row["bay"],
                when(row["due"])[:16],
                rental_notes(row),
            )
            for row in rows
        ],
    )
    return Exit.OK


def rental_notes(row: Row) -> str:
    notes = []
    if row["overdue"]:
        notes.append("overdue")
    if row["locked_out"]:
        notes.append("locked out")
    elif row["attempts"]:
        notes.append(f"{row['attempts']} wrong tries")
    if row["unservable"]:
        notes.append(f"unservable ({row['unservable']})")
    if row["incident"]:
        notes.append(f"incident {row['incident']}")
    return ", ".join(notes)


def rental(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    row = client.get(f"/v1/rentals/{part(args.rental)}")
    if args.json:
        screen.json(row)
        return Exit.OK
    screen.pairs(
        [
            ("rental", row["id"]),
            ("state", row["state"]),
            ("asset", row["asset"] or f"any of class {clean(row['asset_class'])}"),
            ("bay", row["bay"]),
            ("holder", row["holder"]),
            ("pick-up", f"{when(row['window_from'])} to {when(row['window_to'])}"),
            ("due", when(row["due"]) + (" - overdue" if row["overdue"] else "")),
            ("asks for", " or ".join(row["demands"]) or "the site's least"),
            ("PIN", "on file" if row["pin_on_file"] else "none"),
            ("face", "on file" if row["face_on_file"] else "none"),
            ("badges", str(row["badges"]) if row["badges"] else "none"),
            ("wrong tries", f"{row['attempts']}{', locked out' if row['locked_out'] else ''}"),
            ("of a face", str(row["face_attempts"])),
            ("unservable", row["unservable"]),
            ("openings", f"{row['openings']} without taking"),
            ("incident", row["incident"]),
            ("comes from", f"{row['source']}, version {row['version']}"),
        ]
    )
    if row["locked_out"]:
        screen.line()
        screen.paragraph(f"To give new tries: `vendingctl rentals reset-attempts {row['id']} --reason ...`")
    return Exit.OK


# ---------------------------------------------------------------- alarms, incidents, journal
def alarms(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    rows = client.get("/v1/alarms")["alarms"]
    if args.json:
        screen.json(rows)
        return Exit.OK
    if not rows:
        screen.line("no alarms")
        return Exit.OK
    screen.table(("WHERE", "ALARM", "WHAT TO DO"), [alarm_row(row) for row in rows])
    return Exit.OK


def alarm_row(row: Row) -> tuple[str, str, str]:
    where = row["name"] or row["what"]
    detail = f"{row['detail']}. " if row["detail"] else ""
    return where, row["alarm"], detail + row["advice"]


def incidents(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    rows = client.get("/v1/incidents")["incidents"]
    if args.ids:
        return _ids(screen, (row["id"] for row in rows))
    if args.json:
        screen.json(rows)
        return Exit.OK
    if not rows:
        screen.line("no open incidents")
        return Exit.OK
    screen.table(
        ("INCIDENT", "BAY", "ASSET", "RENTAL", "SINCE", "WHAT"),
        [(row["id"], row["bay"], row["asset"], row["rental"], when(row["opened"])[:16], row["title"]) for row in rows],
    )
    return Exit.OK


def incident(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    row = client.get(f"/v1/incidents/{part(args.incident)}")
    if args.json:
        screen.json(row)
        return Exit.OK
    tied = f"{row['rental']} ({row['rental_state'] or 'no longer here'})" if row["rental"] else None
    screen.pairs(
        [
            ("incident", f"{row['id']}: {row['title']}"),
            ("kind", row["kind"]),
            ("bay", row["bay_now"]),
            ("asset", row["asset_now"]),
            ("rental", tied),
            ("since", when(row["opened"]) + ("" if row["opened_trusted"] else ", by a clock that was not trusted")),
        ]
    )
    screen.line()
    screen.line(screen.paint("Look:", "bold"))
    for n, text in enumerate(row["look"], 1):
        screen.paragraph(text, "     ", f"  {n}. ")
    screen.line()
    width = max(map(len, [*row["outcomes"], *row["not_now"]]), default=0)
    if row["outcomes"]:
        screen.line(screen.paint("Then say what became of it, one of:", "bold"))
    for word, why in row["outcomes"].items():
        screen.paragraph(why, " " * (width + 4), f"  {word.ljust(width)}  ")
        screen.line(f"    vendingctl incident resolve {row['id']} --outcome {word} --reason '...'")
    if row["not_now"]:
        screen.line(screen.paint("Not yet:", "bold"))
    for word, why in row["not_now"].items():
        screen.paragraph(why, " " * (width + 4), f"  {word.ljust(width)}  ")
    return Exit.OK


def watch(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """Until Ctrl-C."""
    before: set[tuple[str, str]] = set()
    for item in client.follow("/v1/watch"):
        if args.json:
            screen.json_line(item)
            continue
        if item["type"] == "record":
            head = f"{when(item['utc'])[11:]}  {item['kind']}  {item['subject']}"
            screen.paragraph(f"{head}  {brief(item['data'])}".rstrip(), "           ", "")
        elif item["type"] == "alarms":
            before = _alarms_changed(item["alarms"], before, screen)
        else:
            screen.line(screen.paint(f"some records were missed: {item['advice']}", "yellow"))
        screen.out.flush()
    return Exit.OK


def _alarms_changed(rows: Iterable[Row], before: set[tuple[str, str]], screen: Screen) -> set[tuple[str, str]]:
    now = {(where, alarm): advice for where, alarm, advice in map(alarm_row, rows)}
    for key in now.keys() - before:
        screen.paragraph(screen.paint(f"ALARM     {key[0]} {key[1]}: {now[key]}", "red"), "          ", "")
    for where, alarm in before - now.keys():
        screen.line(screen.paint(f"over      {where} {alarm}", "green"))
    return set(now)


def _ids(screen: Screen, names: Iterable[str]) -> int:
    """For completion: a name that a shell would read as something else is left out."""
    for name in names:
        if _PLAIN.fullmatch(name):
            screen.line(name)
    return Exit.OK
