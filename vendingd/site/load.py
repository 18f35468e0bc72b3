"""Reads a site file into a `Site`, or says everything that is wrong with it. Opens no device, moves nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fsm.model import Timing
from fsm.policy import Alternatives, Policy, plain, possible
from vendingd.identity.policy import PolicyError, parse_site_policy
from vendingd.site.devices import Devices, read_devices
from vendingd.site.jsonic import as_json, cleaned
from vendingd.site.lines import Path as KeyPath
from vendingd.site.model import Gpio, Head, Input, Table
from vendingd.site.places import Wires, read_bays, read_terminals
from vendingd.site.problems import Findings, Problem, SiteError, near, syntax_error
from vendingd.site.resolved import BayWiring, Channel, Site, TerminalWiring

SIZE_MOST = 4 * 1024 * 1024  # bytes; a machine of 10,000 bays, each written out, is below it
PLACES = ("devices", "bays", "terminals")
_CLOUD_FILES = ("certificate", "key", "ca")
_STANDINS = {"schema": 1, "machine": "machine", "site": "site"}  # only to go on looking after an error


def load_site(path: Path) -> Site:
    """The site of this file. Raises SiteError with every problem that was found."""
    path = path.absolute()
    return parse_site(path, _text(path))


def parse_site(path: Path, text: str) -> Site:
    """The site of this text, as if it stood at that path. Raises SiteError with every problem that was found."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(path, text, error) from None
    except RecursionError:
        raise _whole(path, "is nested too deeply", "no option needs that") from None
    return _Loading(path, text, document).site()


def _whole(path: Path, reason: str, advice: str) -> SiteError:
    return SiteError([Problem(str(path), 0, "", reason, advice)])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MOST + 1)
    except OSError as error:
        raise _whole(path, f"cannot be read: {error.strerror}", "check the path and who may read it") from None
    if len(data) > SIZE_MOST:
        raise _whole(path, f"is over {SIZE_MOST} bytes", "is it a site file?")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SiteError([Problem(str(path), line, "", "not UTF-8 text", "save it as UTF-8")]) from None


class _Loading:
    """One file on its way."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self._path = path
        self._text = text
        self._found = Findings(path, text)
        self._document = cleaned(document, self._found)

    def site(self) -> Site:
        found, document, folder = self._found, self._document, self._path.parent
        head = self._head({key: value for key, value in document.items() if key not in PLACES})
        devices = read_devices(document.get("devices", {}), folder, found)
        wires = Wires(devices, found)
        bays = read_bays(document.get("bays"), wires, found)
        terminals = read_terminals(document.get("terminals"), wires, found)
        estop, tamper = self._input(head.estop, "estop", wires), self._input(head.tamper, "tamper", wires)
        policy = self._policy(head)
        self._gpio(head, devices)
        self._settling(head)
        self._badges(head, terminals)
        found.raise_errors()
        self._servable(policy, bays, terminals)
        found.raise_errors()
        at = wires.by_role.items()
        self._look(head, devices, wires)
        return Site(
            path=self._path,
            text=self._text,
            machine=head.machine,
            site=head.site,
            trust=head.clock.trust,
            support=head.support,
            cloud=head.cloud and head.cloud.model_copy(update=_absolute(head.cloud, folder, *_CLOUD_FILES)),
            identity=head.identity.model_copy(update=_absolute(head.identity, folder, "keys", "badge_key")),
            policy=policy,
            pin=head.pin,
            timing=Timing(**head.timing.model_dump()),
            sensing=head.sensing,
            gpio=head.gpio or Gpio(),
            api=head.api,
            journal=head.journal,
            devices={name: device for name, device in devices.items() if device is not None},
            bays=bays,
            terminals=terminals,
            bay_at={key: owner for key, (kind, owner) in at if kind == "bay"},
            terminal_at={key: owner for key, (kind, owner) in at if kind == "terminal"},
            estop=estop,
            tamper=tamper,
            warnings=found.warnings(),
        )

    def _head(self, given: dict[str, Any]) -> Head:
        # a table that is left out is an empty one: its model need not be built a second time for its defaults
        given = {key: {} for key, one in Head.model_fields.items() if one.default_factory is not None} | given
        try:
            return Head.model_validate_json(as_json(given), strict=True)
        except ValidationError as error:
            self._found.invalid(error, (), Head, PLACES)
            bad = {one["loc"][0] for one in error.errors(include_url=False)}
        rest = {key: value for key, value in given.items() if key not in bad}
        return Head.model_validate_json(as_json(_STANDINS | rest), strict=True)

    def _input(self, table: Input | None, key: str, wires: Wires) -> Channel | None:
        return None if table is None else wires.follow(table.input, key, (f"[{key}]", ""), (key, "input"))

    def _settling(self, head: Head) -> None:
        """A bay that settles before its presence sensor has would be judged by what was there before."""
        settle_ms, occupancy_ms = head.timing.settle_s * 1000, head.sensing.occupancy_ms
        if settle_ms < occupancy_ms:
            reason = f"settle_s ({head.timing.settle_s:g}) is under sensing.occupancy_ms ({occupancy_ms})"
            advice = f"let the bay settle after its sensor has: at least {occupancy_ms / 1000:g}"
            self._found.error(("timing", "settle_s"), reason, advice)

    def _badges(self, head: Head, terminals: dict[str, TerminalWiring]) -> None:
        reading = [one.id for one in terminals.values() if one.badge is not None]
        if reading and head.identity.badge_key is None:
            advice = "add it to [identity]; `vendingd.identity.tool badge-key` makes the file"
            self._found.error(
                ("identity", "badge_key"), f"terminal {reading[0]} reads badges, but there is no key", advice
            )

    def _policy(self, head: Head) -> Policy:
        rows: dict[str, Alternatives] = {}
        for asset_class, texts in head.policy.least.items():
            try:
                rows |= parse_site_policy({asset_class: texts}).rows
            except PolicyError as error:
                reason, _, advice = str(error).removeprefix(f"policy.least.{asset_class}: ").partition("; ")
                self._found.error(("policy", "least", asset_class), reason, advice)
        return Policy(rows)

    def _servable(self, policy: Policy, bays: dict[str, BayWiring], terminals: dict[str, TerminalWiring]) -> None:
        """Each row is for something, and can be met at one terminal without a face.

        A row of a class that nothing here has is a slip of the pen: what it was meant for would leave by less.
        """
        error = self._found.error
        fitting = frozenset[str]().union(*(bay.fits for bay in bays.values()))
        for asset_class, row in policy.rows.items():
            path: KeyPath = ("policy", "least", asset_class)
            if asset_class != "*" and asset_class not in fitting:
                error(path, "no bay fits this class", near(asset_class, fitting, "classes that fit"))
            elif not any(possible(row, one.offers) for one in terminals.values()):
                error(path, "no terminal can check any of these ways", "add a reader or a keypad, or another way")
            elif not any(possible(plain(row), one.offers) for one in terminals.values()):
                advice = "add a reader or a keypad for one of its other ways, or such a way"
                error(path, "no terminal can check a way without a face", advice)

    def _gpio(self, head: Head, devices: Devices) -> None:
        if head.gpio is not None:
            return
        users = [name for name, one in devices.items() if one is not None and hasattr(one.options, "lines")]
        if users:
            advice = "add [gpio] with chip = N (gpiodetect lists the chips; which one is the header differs by kernel)"
            self._found.error(("devices", users[0]), "uses GPIO, but the file names no GPIO chip", advice)

    # ------------------------------------------------------------ worth a look
    def _look(self, head: Head, devices: Devices, wires: Wires) -> None:
        warn = self._found.warn
        for name in sorted(devices.keys() - wires.used):
            warn(("devices", name), "no bay and no terminal uses it", "remove it, or name it where it belongs")
        if head.cloud is None and head.identity.keys is None:
            advice = "add [identity] keys, or [cloud]"
            warn(("machine",), "neither a cloud nor a key file: no pass will ever be accepted", advice)
        for key, file in self._files(head):
            if not (self._path.parent / file).is_file():
                warn(key, f"there is no file {file}", "put it there before the start; relative to the site file")

    def _files(self, head: Head) -> Iterator[tuple[KeyPath, Path]]:
        for key in _CLOUD_FILES:
            if head.cloud is not None and (file := getattr(head.cloud, key)) is not None:
                yield ("cloud", key), file
        for name in ("keys", "badge_key"):
            if (file := getattr(head.identity, name)) is not None:
                yield ("identity", name), file


def _absolute(table: Table, folder: Path, *keys: str) -> dict[str, Path]:
    return {key: folder / value for key in keys if (value := getattr(table, key)) is not None}
