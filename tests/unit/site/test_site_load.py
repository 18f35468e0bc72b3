"""What becomes of a good site file."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fsm.model
from drivers.ports import Sense
from fsm.policy import Policy
from hw_sim.site import read_site
from vendingd.site import model
from vendingd.site.load import load_site
from vendingd.site.problems import SiteError
from vendingd.site.resolved import Channel, Site
from vendingd.wiring import terminals, with_faces

CONFIG = Path(__file__).resolve().parents[3] / "config"
SHIPPED = sorted(CONFIG.glob("*.toml"))

Load = Callable[[str], Site]

BOARD = """\
schema = 1
machine = "m"
site = "s"
[cloud]
url = "http://localhost:8470/"
[devices.board]
driver = "lock-8a"
port = "{port}"
feedback = "{feedback}"
[devices.doors]
driver = "lock-8a"
port = "run/doors"
[[bays]]
id = "a"
fits = ["box"]
lock = "board:3"
{door}
[[terminals]]
id = "t"
"""


def board(port: str = "run/board", feedback: str = "door", door: str = "") -> str:
    return BOARD.format(port=port, feedback=feedback, door=door)


# ---------------------------------------------------------------- what is shipped
def test_three_machines_are_shipped() -> None:
    assert [path.name for path in SHIPPED] == ["car-tower.toml", "demo.toml", "key-cabinet.toml"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_load_and_warn_of_absent_files_alone(path: Path) -> None:
    site = load_site(path)
    assert {one.reason.partition(" file ")[0] for one in site.warnings} <= {"there is no"}
    assert site.layout().bays.keys() == site.bays.keys()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_simulator_reads_the_same_machine(path: Path) -> None:
    ours, theirs = load_site(path), read_site(path)
    assert ours.machine == theirs.machine
    assert ours.devices.keys() == theirs.devices.keys()
    assert ours.bays.keys() == theirs.bays.keys()
    for bay in ours.bays.values():
        for role, wire in theirs.bays[bay.id].wires.items():
            assert str(getattr(bay, role)) == f"{wire.device}:{wire.number}"
        assert bay.fits == set(theirs.bays[bay.id].fits)
    for terminal in ours.terminals.values():
        assert terminal.codes == theirs.terminals[terminal.id].codes
        pad = theirs.terminals[terminal.id].keypad
        assert str(terminal.keypad) == (f"{pad.device}:{pad.number}" if pad is not None else "None")
    assert (ours.estop is None) == (theirs.estop is None)


def test_the_car_tower() -> None:
    site = load_site(CONFIG / "car-tower.toml")
    assert len(site.bays) == 8
    layout = site.layout()
    assert all(bay.presence and bay.tag and not bay.gate for bay in layout.bays.values())
    lines = [line for one in site.devices.values() if hasattr(one.options, "lines") for line in one.options.lines()]
    assert len(lines) == len(set(lines)) == 25
    assert set(lines) <= set(range(28)) - {14, 15}, "the header's lines without the UART's"
    locks = site.devices["locks"].options.lines()
    assert min(locks) > 8, "GPIO 0 to 8 are pulled up at reset: a lock there would open"
    assert site.estop == Channel("estop", 1)


def test_the_key_cabinet_is_short() -> None:
    text = (CONFIG / "key-cabinet.toml").read_text()
    assert text.count("\n") < 40
    site = load_site(CONFIG / "key-cabinet.toml")
    assert [*site.bays][:2] == ["place-01", "place-02"]
    assert len(site.bays) == 48
    assert site.bays["place-48"].door == site.bays["place-48"].lock == Channel("locks", 48)


def test_the_demo_stays_on_this_machine() -> None:
    site = load_site(CONFIG / "demo.toml")
    assert site.gpio.factory == "hw-sim"
    assert site.trust == "assume"
    assert site.cloud is not None
    assert site.cloud.url == "http://127.0.0.1:8470"
    assert site.devices["camera"].options.url.startswith("http://127.0.0.1:")
    ports = [one.options.port for one in site.devices.values() if hasattr(one.options, "port")]
    assert len(ports) == 3
    assert all(os.path.dirname(port) == str(CONFIG / "run") for port in ports)


# ---------------------------------------------------------------- what is made of it
def test_a_layout(good: str, load: Load) -> None:
    site = load(good)
    layout = site.layout()
    assert (layout.machine, layout.site) == ("m-1", "west")
    assert layout.bays["bay-2"] == fsm.model.BaySpec(id="bay-2", fits=frozenset({"car"}), tag=True)
    assert layout.terminals == {"front": fsm.model.TerminalSpec(id="front", offers=frozenset({"pass", "pin"}))}
    assert layout.timing == fsm.model.Timing(claim_s=60.0)
    assert layout.policy == Policy.of_texts({"car": ("pass+pin",)})


def test_wires(good: str, load: Load) -> None:
    site = load(good)
    assert site.bays["bay-2"].door == Channel("doors", 2)
    assert site.bay_at["door", Channel("doors", 2)] == "bay-2"
    assert site.bay_at["tag", Channel("tags", 1)] == "bay-1"
    assert ("tag", Channel("tags", 3)) not in site.bay_at
    assert site.terminal_at == {
        ("code", Channel("scanner", 1)): "front",
        ("keypad", Channel("pad", 1)): "front",
        ("tag", Channel("tags", 3)): "front",
    }


def test_paths_are_taken_from_the_files_folder(good: str, load: Load, tmp_path: Path) -> None:
    site = load(good)
    assert site.identity.keys == tmp_path / "keys.json"
    assert site.devices["scanner"].options.port == f"{tmp_path}/run/scanner"
    assert site.devices["tags"].options.ports[2] == f"{tmp_path}/run/tag-3"
    assert load(board(port="/dev/ttyUSB0")).devices["board"].options.port == "/dev/ttyUSB0"


def test_a_relative_path_of_the_file_itself(good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "site.toml").write_text(good)
    monkeypatch.chdir(tmp_path)
    assert load_site(Path("m/site.toml")).devices["scanner"].options.port == f"{tmp_path}/m/run/scanner"


def test_a_locks_feedback_is_the_door_or_the_bolt(load: Load) -> None:
    here, other = Channel("board", 3), Channel("doors", 1)
    bay = load(board()).bays["a"]
    assert (bay.lock, bay.door, bay.bolt) == (here, here, None)
    bay = load(board(feedback="bolt", door='door = "doors"')).bays["a"]
    assert (bay.lock, bay.door, bay.bolt) == (here, other, here)
    bay = load(board(door='door = "doors"')).bays["a"]
    assert (bay.lock, bay.door, bay.bolt) == (here, other, None)


def test_the_feedbacks_channel_is_found_by_its_sense(load: Load) -> None:
    site = load(board(feedback="bolt", door='door = "doors"'))
    assert site.bay_at == {
        ("lock", Channel("board", 3)): "a",
        ("bolt", Channel("board", 3)): "a",
        ("door", Channel("doors", 1)): "a",
    }


def test_a_device_has_the_roles_that_its_options_give_it(good: str, load: Load) -> None:
    site = load(good)
    assert site.devices["doors"].roles == {Sense.DOOR}
    assert site.devices["doors"].channels == {1, 2}
    assert load(board(feedback="bolt", door='door = "doors"')).devices["board"].roles == {"lock", "bolt"}


@pytest.mark.parametrize(
    ("lines", "offers"),
    [
        ('codes = ["scanner"]', {"pass", "pin"}),
        ('codes = ["scanner"]\nscreen = false', {"pass"}),
        ('codes = ["scanner"]\nkeypad = "pad"\nscreen = false', {"pass", "pin"}),
        ('keypad = "pad"\nscreen = false', {"pin"}),
        ('tag = "tags:3"\nscreen = false', set()),
    ],
)
def test_what_a_terminal_offers(good: str, load: Load, lines: str, offers: set[str]) -> None:
    text = good[: good.index('codes = ["scanner"]')] + lines
    text = text.replace('[policy.least]\ncar = ["pass+pin"]\n', "")  # not every one of them could meet it
    assert load(text).layout().terminals["front"].offers == offers


def test_terminals_and_templates_with_zeros(good: str, load: Load) -> None:
    text = good.replace('id = "front"', 'n = [8, 11]\nid = "t{n:02}"').replace('codes = ["scanner"]\n', "")
    text = text.replace('keypad = "pad"\ntag = "tags:3"\n', "").replace('fits = ["car"]', 'fits = ["car", "car-{n}"]')
    site = load(text)
    assert list(site.terminals) == ["t08", "t09", "t10", "t11"]
    assert site.bays["bay-2"].fits == {"car", "car-2"}


def test_what_is_left_out(load: Load) -> None:
    site = load(board())
    assert site.cloud is not None
    assert site.cloud.poll_wait_s == 25
    assert (site.trust, site.api.group, site.gpio.factory) == ("kernel", "vendingd-tech", "lgpio")
    assert site.timing == fsm.model.Timing()
    assert site.layout().policy == Policy()
    assert (site.sensing.contact_ms, site.sensing.occupancy_ms) == (30, 1500)


def test_estop_and_tamper(good: str, load: Load) -> None:
    more = "".join(
        f'[devices.{sense}]\ndriver = "gpio-input"\nsense = "{sense}"\npins = [{pin}]\n[{sense}]\ninput = "{sense}"\n'
        for sense, pin in (("estop", 4), ("tamper", 5))
    )
    site = load(good + more)
    assert (site.estop, site.tamper) == (Channel("estop", 1), Channel("tamper", 1))


def test_timing_is_the_domains() -> None:
    ours = {name: (field.default, field.annotation) for name, field in model.Timing.model_fields.items()}
    names = {"float": float, "int": int, "bool": bool}
    theirs = {one.name: (one.default, names[str(one.type)]) for one in dataclasses.fields(fsm.model.Timing)}
    assert ours == theirs


def test_loading_takes_no_more_modules_than_the_site_needs() -> None:
    code = (
        "import sys; from pathlib import Path; from vendingd.site.load import load_site\n"
        "load_site(Path(sys.argv[1]))\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(CONFIG / "key-cabinet.toml")], capture_output=True, text=True, check=True
    )
    assert "pydantic" in ran.stdout.split()
    assert not {"aiohttp", "gpiozero", "cryptography", "numpy", "zxingcpp"} & set(ran.stdout.split())


BADGES = '[devices.nfc]\ndriver = "pn532"\nport = "run/nfc"\n'
MODULE = '[devices.eye]\ndriver = "fm22x"\nport = "run/eye"\n'
CAMERA = '[devices.eye]\ndriver = "camera-face"\nurl = "http://127.0.0.1:8080/"\n'


@pytest.mark.parametrize(
    ("devices", "lines", "offers"),
    [
        (BADGES, 'badge = "nfc"', {"badge", "authoriser"}),
        (CAMERA, 'face = "eye"', {"face"}),
        (MODULE, 'face = "eye"', {"live-face"}),
        (BADGES + MODULE, 'badge = "nfc"\nface = "eye"', {"badge", "authoriser", "live-face"}),
    ],
)
def test_readers_and_faces_add_what_a_terminal_offers(
    good: str, load: Load, devices: str, lines: str, offers: set[str]
) -> None:
    text = good.replace('keys = "keys.json"', 'keys = "keys.json"\nbadge_key = "keys.json"')
    text = text.replace("[devices.tags]", f"{devices}[devices.tags]") + lines
    site = load(text)
    assert site.layout().terminals["front"].offers == {"pass", "pin"} | offers
    assert site.identity.badge_key is not None and site.identity.badge_key.is_absolute()
    wired = terminals(site)
    assert wired.badges == ({("nfc", 1): "front"} if "nfc" in devices else {})


def test_what_a_device_says_of_its_faces_counts(good: str, load: Load) -> None:
    """Its formats, and whether it proves a living face itself."""

    class Module:
        formats = frozenset({"fm22x-user"})
        liveness = "hardware"

    class Camera:
        formats = frozenset({"vendingd-face-1"})
        liveness = "challenge"

    layout = load(good).layout()
    spec = with_faces(layout, {"front": Module()}).terminals["front"]  # type: ignore[dict-item]
    assert spec.offers == {"pass", "pin", "live-face"} and spec.face_formats == {"fm22x-user"} and spec.keeps_faces
    spec = with_faces(layout, {"front": Camera()}).terminals["front"]  # type: ignore[dict-item]
    assert spec.offers == {"pass", "pin", "face"} and spec.face_formats == {"vendingd-face-1"} and not spec.keeps_faces


def test_a_reader_of_badges_wants_the_sites_key(good: str, load: Load) -> None:
    text = good.replace("[devices.tags]", f"{BADGES}[devices.tags]") + 'badge = "nfc"'
    with pytest.raises(SiteError, match="front reads badges, but there is no key"):
        load(text)
