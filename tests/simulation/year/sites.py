"""Four machines that differ in what they are made of, from GPIO with every sensor to a cabinet with hardly any."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.simulation.year.plant import Plant
from vendingd.site.load import parse_site
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
pins = {coils}
[devices.tags]
driver = "rdm6300"
ports = {tags}
"""

BOARD = """
[devices.locks]
driver = "{driver}"
port = "bus"
poll_hz = 0.2
poll_busy_hz = 4
"""

CONTACTS = """
[devices.{sense}]
driver = "gpio-input"
sense = "{sense}"
pins = {pins}
"""

BAYS = """
[[bays]]
n = [1, {bays}]
id = "bay-{{n}}"
fits = ["car"]
lock = "locks:{{n}}"
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

PINS = {"coil": range(1, 9), "door": range(11, 19), "bolt": range(21, 29), "presence": range(31, 39)}
BAYS_OF = {"gpio": 6, "8a": 8, "cu48": 8, "bare": 8}  # an 8A has eight locks
SENSES = {"gpio": ("door", "bolt", "presence"), "8a": ("presence",), "cu48": ("door", "presence"), "bare": ()}


@dataclass(frozen=True)
class Site:
    kind: str
    bays: int
    site: SiteFile
    tags: bool  # readers inside the bays
    presence: bool


def pins(kind: str, sense: str) -> list[int]:
    return list(PINS[sense][: BAYS_OF[kind]])


def text(kind: str, trust: str) -> str:
    """The site file of this kind of machine."""
    bays = BAYS_OF[kind]
    made = HEAD.format(trust=trust)
    rows = BAYS.format(bays=bays)
    if kind == "gpio":
        made += GPIO.format(coils=pins(kind, "coil"), tags=[f"tag-{n}" for n in range(1, bays + 1)])
        rows += 'tag = "tags:{n}"\n'
    else:
        made += BOARD.format(driver="kerong-cu48" if kind == "cu48" else "lock-8a")
    if kind == "cu48":
        made += 'feedback = "bolt"\n'
        rows += 'bolt = "locks:{n}"\n'
    for sense in SENSES[kind]:
        made += CONTACTS.format(sense=sense, pins=pins(kind, sense))
        rows += f'{sense} = "{sense}:{{n}}"\n'
    return made + rows + TERMINALS


@lru_cache(maxsize=16)
def made(kind: str, trust: str) -> Site:
    # One path in every process: names of ports, which begin with it, stand in records.
    site = parse_site(Path("/site/site.toml"), text(kind, trust))
    return Site(kind, BAYS_OF[kind], site, kind == "gpio", kind != "bare")


def wire_up(site: Site, plant: Plant) -> None:
    """The other end of everything that the site file names."""
    for name in ("scanner-front", "scanner-side", "pad-front", "desk-front"):
        plant.port(name)
    for sense in SENSES[site.kind]:
        plant.contact(sense, pins(site.kind, sense))
    if site.kind == "gpio":
        plant.coils(pins("gpio", "coil"))
        for bay in plant.bays.values():
            plant.tag_reader(plant.port(f"tag-{bay.n}"), bay)
    elif site.kind == "cu48":
        plant.board_cu48(plant.port("bus"))
    else:
        plant.board_8a(plant.port("bus"))
