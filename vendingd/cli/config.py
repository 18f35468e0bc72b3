"""Site files, checked without the daemon: no device is opened, nothing moves.

The key files that one names are looked at where they are and may be read: a file is often checked on another machine.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vendingd.cli.client import Client
from vendingd.cli.exits import Exit
from vendingd.cli.show import Screen

if TYPE_CHECKING:
    from vendingd.site.problems import Problem
    from vendingd.site.resolved import Site


def config_check(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """Every problem with file and line, as compilers do, so that editors can jump there."""
    from vendingd.site.load import load_site
    from vendingd.site.problems import SiteError

    try:
        site = load_site(args.file)
        unusable = _keys(site)
    except SiteError as why:
        _tell(args, screen, ok=False, problems=why.problems, warnings=())
        return Exit.PROBLEMS
    facts = {"machine": site.machine, "bays": len(site.bays), "terminals": len(site.terminals)}
    _tell(args, screen, ok=True, problems=(), warnings=(*site.warnings, *unusable), **facts)
    return Exit.OK


def _keys(site: Site) -> tuple[Problem, ...]:
    """Warnings of readers that would be down. Raises SiteError for what the daemon does not start with.

    That a file which is needed is missing stands among the site's own warnings.
    """
    from vendingd.cli.keyfiles import key_files
    from vendingd.site.problems import Findings

    found = Findings(site.path, site.text)
    for one in key_files(site):
        if one.hidden() or (one.needed and not one.path.exists()):
            continue
        if trouble := one.trouble():
            (found.error if one.needed else found.warn)(one.key, trouble)
    found.raise_errors()
    return found.warnings()


def _tell(
    args: argparse.Namespace,
    screen: Screen,
    *,
    ok: bool,
    problems: tuple[Problem, ...],
    warnings: tuple[Problem, ...],
    **facts: Any,
) -> None:
    if args.json:
        told = {name: [_problem(one) for one in them] for name, them in _named(problems, warnings)}
        screen.json({"ok": ok, "file": str(args.file), **facts, **told})
        return
    for name, them in _named(problems, warnings):
        for one in them:
            mark = "" if name == "problems" else screen.paint("warning: ", "yellow")
            screen.line(f"{mark}{one}")
    if ok:
        words = ", ".join(f"{n} {what}" if isinstance(n, int) else str(n) for what, n in facts.items())
        screen.line(f"{args.file} is sound: {words}")
        return
    many = "s" if len(problems) != 1 else ""
    screen.line(f"{len(problems)} problem{many}; vendingd does not start with this file")


def _named(
    problems: tuple[Problem, ...], warnings: tuple[Problem, ...]
) -> tuple[tuple[str, tuple[Problem, ...]], tuple[str, tuple[Problem, ...]]]:
    return ("problems", problems), ("warnings", warnings)


def _problem(one: Problem) -> dict[str, Any]:
    return {"file": one.file, "line": one.line, "key": one.key, "reason": one.reason, "advice": one.advice}


def config_schema(args: argparse.Namespace, client: Client, screen: Screen) -> int:
    """JSON Schema made from the model."""
    from vendingd.site.schema import site_schema

    screen.json(site_schema())
    return Exit.OK
