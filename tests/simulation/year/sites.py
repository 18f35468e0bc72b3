"""Four machines that differ in what they are made of, from GPIO with every sensor to a cabinet with hardly any."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.simulation.year.plant import Plant
from vendingd.site.load import load_site
from vendingd.site.resolved import Site as SiteFile

HEAD = """
schema = 1
machine = "tower-1"
site = "west"
[clock]
trust = "{trust}"
[cloud]
url = "http://127.0.0.1:1"
poll_wait_s = 25
[policy.least]
car = ["pass"]
[gpio]
factory = "mock"
[api]
group = ""
"""

GPIO = """
[devices.locks]
driver = "gpio-lock"
pins = [1, 2, 3, 4]
[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [11, 12, 13, 14]
[devices.bolts]
driver = "gpio-input"
sense = "bolt"
pins = [21, 22, 23, 24]
[devices.presence]
driver = "gpio-input"
sense = "presence"
pins = [31, 32, 33, 34]
[devices.tags]
driver = "rdm6300"
ports = ["tag-1", "tag-2", "tag-3", "tag-4"]
[[bays]]
n = [1, 4]
id = "bay-{n}"
fits = ["car"]
lock = "locks:{n}"
door = "doors:{n}"
bolt = "bolts:{n}"
presence = "presence:{n}"
tag = "tags:{n}"
"""

BOARD_8A = """
[devices.locks]
driver = "lock-8a"
port = "bus"
poll_hz = 0.2
poll_busy_hz = 4
[devices.presence]
driver = "gpio-input"
sense = "presence"
pins = [31, 32, 33, 34, 35, 36]
[[bays]]
n = [1, 6]
id = "bay-{n}"
fits = ["car"]
lock = "locks:{n}"
presence = "presence:{n}"
"""

BOARD_CU48 = """
[devices.locks]
driver = "kerong-cu48"
port = "bus"
poll_hz = 0.2
poll_busy_hz = 4
feedback = "bolt"
[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [11, 12, 13, 14, 15, 16]
[devices.presence]
driver = "gpio-input"
sense = "presence"
pins = [31, 32, 33, 34, 35, 36]
[[bays]]
n = [1, 6]
id = "bay-{n}"
fits = ["car"]
lock = "locks:{n}"
door = "doors:{n}"
bolt = "locks:{n}"
presence = "presence:{n}"
"""

BARE_8A = """
[devices.locks]
driver = "lock-8a"
port = "bus"
poll_hz = 0.2
poll_busy_hz = 4
[[bays]]
n = [1, 6]
id = "bay-{n}"
fits = ["car"]
lock = "locks:{n}"
"""

TERMINALS = """
[devices.scanner-front]
driver = "line-scanner"
port = "scanner-front"
baud = 115200
[devices.scanner-side]
driver = "line-scanner"
port = "scanner-side"
baud = 115200
[devices.pad-front]
driver = "serial-keypad"
port = "pad-front"
[devices.desk-front]
driver = "rdm6300"
ports = ["desk-front"]
[[terminals]]
id = "front"
codes = ["scanner-front"]
keypad = "pad-front"
tag = "desk-front"
[[terminals]]
id = "side"
codes = ["scanner-side"]
"""

KINDS = {"gpio": (GPIO, 4), "8a": (BOARD_8A, 6), "cu48": (BOARD_CU48, 6), "bare": (BARE_8A, 6)}


@dataclass(frozen=True)
class Site:
    kind: str
    bays: int
    site: SiteFile
    tags: bool  # readers inside the bays
    presence: bool


@lru_cache(maxsize=16)
def made(kind: str, trust: str) -> Site:
    text, bays = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.toml"
        path.write_text(HEAD.format(trust=trust) + text + TERMINALS)
        return Site(kind, bays, load_site(path), kind == "gpio", kind != "bare")


def wire_up(site: Site, plant: Plant) -> None:
    """The other end of everything that the site file names."""
    for name in ("scanner-front", "scanner-side", "pad-front", "desk-front"):
        plant.port(name)
    if site.kind == "gpio":
        plant.coils([1, 2, 3, 4])
        plant.contact("door", [11, 12, 13, 14])
        plant.contact("bolt", [21, 22, 23, 24])
        plant.contact("presence", [31, 32, 33, 34])
        for bay in plant.bays.values():
            plant.tag_reader(plant.port(f"tag-{bay.n}"), bay)
        return
    bus = plant.port("bus")
    if site.kind == "cu48":
        plant.board_cu48(bus)
        plant.contact("door", [11, 12, 13, 14, 15, 16])
    else:
        plant.board_8a(bus)
    if site.presence:
        plant.contact("presence", [31, 32, 33, 34, 35, 36])
