"""The control socket: acts, faults, the log, and a whole plant as its own process."""

import asyncio
import io
import json
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zxingcpp
from PIL import Image

from hw_sim.acts import ACTS, Acts
from hw_sim.camera import LOOKS
from hw_sim.control import Control
from hw_sim.faults import FAULTS, Faults
from hw_sim.machine import Machine
from hw_sim.scenario import parse_scenario, read_scenario
from hw_sim.scenes import phone_scene
from hw_sim.site import SiteError, expand, parse_site
from hw_sim.wires.fm22x import framed
from hw_sim.wires.frames import Frame
from hw_sim.wires.pn532 import CardReader
from tests.unit.hw_sim.sim_waiting import until

SCENARIOS = Path(__file__).parents[3] / "hw_sim" / "scenarios"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def a_site(port: int = 1) -> dict[str, Any]:
    return {
        "machine": "m",
        "devices": {
            "bus": {"driver": "lock-8a", "port": "ports/bus"},
            "scan": {"driver": "line-scanner", "port": "ports/scan"},
            "pad": {"driver": "serial-keypad", "port": "ports/pad"},
            "tags": {"driver": "rdm6300", "ports": ["ports/t1", "ports/t2"]},
            "desk": {"driver": "rdm6300", "ports": ["ports/desk"]},
            "keys": {"driver": "gpio-input", "sense": "button", "pins": [4]},
            "badges": {"driver": "pn532", "port": "ports/badges"},
            "eye": {"driver": "fm22x", "port": "ports/eye"},
            "cards": {"driver": "osdp-reader", "port": "ports/cards", "scbk": "cards.key"},
            "cam": {"driver": "mjpeg-camera", "url": f"http://127.0.0.1:{port}/video"},
        },
        "bays": [{"n": [1, 2], "id": "bay-{n}", "fits": ["car"], "lock": "bus:{n}", "tag": "tags:{n}"}],
        "terminals": [
            {
                "id": "front",
                "codes": ["scan", "cam"],
                "keypad": "pad",
                "return_key": "keys:1",
                "tag": "desk",
                "badge": "badges",
                "face": "eye",
            }
        ],
    }


SCENARIO: dict[str, Any] = {
    "assets": [{"n": [1, 2], "id": "car-{n}", "class": "car", "tag": "00000000{n:02X}", "bay": "bay-{n}"}]
}


class Client:
    def __init__(self, session: aiohttp.ClientSession, machine: Machine) -> None:
        self.session, self.machine = session, machine

    async def get(self, path: str) -> Any:
        async with self.session.get(f"http://plant{path}") as got:
            assert got.status == 200
            return await got.json()

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        async with self.session.post(f"http://plant{path}", json=body) as got:
            return got.status, await got.json()

    async def act(self, do: str, **body: Any) -> Any:
        status, answer = await self.post("/act", do=do, **body)
        assert status == 200, answer
        return answer

    async def seen(self, what: str, after: int = 0) -> Any:
        """The first entry of this kind after a number, waited for with the log's long poll."""
        async with asyncio.timeout(30):
            while True:
                log = await self.get(f"/log?after={after}&wait=20")
                for entry in log:
                    if entry["what"] == what:
                        return entry
                after = log[-1]["n"] if log else after


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Client]:
    machine = Machine(parse_site(a_site(free_port())), parse_scenario(SCENARIO), tmp_path, 1)
    acts, faults = Acts(machine), Faults(machine)
    control = Control(machine, acts, faults)
    await machine.start()
    await control.start(tmp_path / "plant.sock")
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "plant.sock"))) as session:
        yield Client(session, machine)
    acts.stop()
    await control.stop()
    await machine.stop()


async def test_a_pickup_and_a_return_by_people(plant: Client) -> None:
    waiting = asyncio.create_task(plant.act("pickup", bay="bay-1", pace_s=0.01, wait=20))
    assert (await plant.seen("person_came"))["person"] == "pickup-1"
    plant.machine.pulse("bay-1", 0.05, "test")
    assert (await waiting)["person"]["took"] == ["car-1"]
    await plant.seen("bolt_locked")
    state = await plant.get("/state")
    assert state["bays"][0]["items"] == [] and state["bays"][0]["bolt"] == "locked"
    assert state["assets"][0]["bay"] is None
    back = asyncio.create_task(plant.act("return", asset="car-1", pace_s=0.01, wait=20))
    await plant.seen("person_came", state["log"])
    plant.machine.pulse("bay-1", 0.05, "test")
    assert (await back)["person"]["stage"] == "done"
    log = [m["what"] for m in await plant.get("/log") if m.get("bay") == "bay-1"]
    assert log.count("asset_taken") == log.count("asset_put") == 1


async def test_what_is_impossible_is_409_and_what_is_unknown_400(plant: Client) -> None:
    status, answer = await plant.post("/act", do="open_door", bay="bay-1")
    assert status == 409 and "bolt is locked" in answer["reason"]
    for path, body, says in (
        ("/act", {"do": "fly"}, "open_door"),
        ("/act", {"do": "open_door", "bay": "x"}, "bay-1, bay-2"),
        ("/act", {"do": "open_door"}, "bay is missing"),
        ("/act", {"do": "pull_door", "bay": "bay-1", "forse": True}, "forse"),
        ("/act", {"do": "pull_door", "bay": "bay-1", "force": "yes"}, "true or false"),
        ("/act", {"do": "hold_tag", "tag": "12"}, "five bytes"),
        ("/faults", {"name": "x"}, "bolt_stuck"),
        ("/faults", {"name": "bolt_stuck", "bay": "x"}, "bay-1, bay-2"),
        ("/faults", {"name": "bolt_stuck", "device": "bus"}, "bay"),
        ("/faults", {"name": "byte_dropped", "device": "x"}, "bus, scan, pad, tags, desk"),
        ("/faults", {"name": "byte_dropped", "device": "bus", "n": 0}, "less than 1"),
    ):
        status, answer = await plant.post(path, **body)
        assert status == 400 and says in answer["reason"], (body, answer)
    async with plant.session.post("http://plant/act", data=b"{") as got:
        assert got.status == 400
    assert plant.machine.world.bays["bay-1"].door == "closed"


async def test_primitive_acts(plant: Client) -> None:
    await plant.act("pull_door", bay="bay-1", force=True)
    await plant.act("new_asset", asset="phone", **{"class": "thing"}, size="small")
    await plant.act("put", bay="bay-1", asset="phone")
    assert (await plant.act("take", bay="bay-1", asset="car-1"))["asset"] == "car-1"
    await plant.act("close_door", bay="bay-1")
    await plant.act("new_asset", asset="bike", **{"class": "bike"})
    await plant.act("pull_door", bay="bay-2", force=True)
    assert (await plant.act("swap", bay="bay-2", asset="bike"))["asset"] == "car-2"
    await plant.act("vanish", bay="bay-2", asset="bike")
    await plant.act("place", bay="bay-2", asset="car-2")
    state = await plant.get("/state")
    assert [b["items"] for b in state["bays"]] == [["phone"], ["car-2"]]
    await plant.act("press_estop")
    await plant.act("tamper")
    state = await plant.get("/state")
    assert state["estop"] and state["tamper"]
    await plant.act("release_estop")


async def test_acts_at_a_terminal_reach_its_wires(plant: Client) -> None:
    await plant.act("press_return", seconds=0.05)
    assert (await plant.get("/state"))["pressed"] == ["keys:1"]
    pressed = await plant.get("/log")
    assert (await plant.act("hold_tag", asset="car-1", seconds=20))["tag"] == "0000000001"
    assert plant.machine.tags[next(c for c in plant.machine.tags if c.device == "desk")].tag == "0000000001"
    await plant.act("type", keys="1234#")
    typed = [m for m in await plant.get(f"/log?after={pressed[-1]['n']}") if m["what"] == "keys_typed"]
    assert typed[0]["count"] == 5 and "1234" not in json.dumps(typed)
    assert (await plant.act("show_code", text="X"))["via"] == "scan"
    status, _ = await plant.post("/act", do="show_code", text="X", via="pad")
    assert status == 400


async def test_badges_and_faces_are_shown_for_a_while(plant: Client) -> None:
    reader = next(iter(plant.machine.badges.values()))
    module = plant.machine.faces["eye"]
    assert isinstance(reader, CardReader)
    await plant.act("hold_badge", badge="nfc:04112233", seconds=20)
    await plant.act("hold_badge", badge="nfc:random", seconds=0.05)  # takes the other one's place
    assert reader.uid is not None and reader.uid[0] == 0x08
    await plant.act("show_face", person="alice", seconds=20)
    await plant.act("show_face", people=["bob", "alice"], look="print", seconds=0.05)
    assert [(one.person, one.look) for one in module.standing] == [("bob", "print"), ("alice", "print")]
    await until(lambda: reader.uid is None and module.standing == ())
    for wrong in (
        {"do": "hold_badge", "badge": "nfc:0411"},
        {"do": "hold_badge", "badge": "wiegand26:00112233"},
        {"do": "show_face"},
        {"do": "show_face", "person": "alice", "people": ["bob"]},
        {"do": "show_face", "person": "alice", "look": "odd"},
    ):
        status, answer = await plant.post("/act", **wrong)
        assert status == 400, answer


async def test_power_ends_what_a_face_module_was_doing(plant: Client) -> None:
    module = plant.machine.faces["eye"]
    now = time.monotonic()
    module.act(Frame(framed(0x12, bytes([0, 200])), now, now))
    assert module.busy
    await plant.post("/faults", name="link_unplugged", device="eye")
    assert not module.busy


async def test_every_fault_goes_on_and_off(plant: Client) -> None:
    known = {f["name"]: f for f in (await plant.get("/faults"))["known"]}
    assert set(known) == set(FAULTS) and all(f["does"] for f in known.values())
    at = {
        "scanner_silent": "scan", "camera_dark": "cam", "camera_frozen": "cam",
        "face_demo": "eye", "face_state": "eye", "device_restarts": "badges",
            "reader_opened": "cards", "reader_reset": "cards",
    }  # fmt: skip
    for name, fault in known.items():
        where: dict[str, Any] = {}
        if fault["at"].startswith("bay"):
            where = {"bay": "bay-1"}
        elif fault["at"] == "device":
            where = {"device": at.get(name, "bus")}
        status, answer = await plant.post("/faults", name=name, **where)
        assert status == 200 and [f["name"] for f in answer["active"]] == [name], answer
        assert (await plant.get("/state"))["faults"] == answer["active"]
        status, answer = await plant.post("/faults", name=name, on=False, **where)
        assert (status, answer["active"]) == (200, [])
    assert plant.machine.world.bays["bay-1"].faults == type(plant.machine.world.bays["bay-1"].faults)()
    assert all(line.plugged for line in plant.machine.lines.values())


async def test_without_power_the_wires_are_dead_and_people_go_on(plant: Client) -> None:
    bus = plant.machine.lines["bus", 1]
    await plant.post("/faults", name="power_off")
    assert not bus.path.is_symlink() and not plant.machine.gpio.path.exists()
    await plant.act("pull_door", bay="bay-1", force=True)
    await plant.act("take", bay="bay-1")
    await plant.act("close_door", bay="bay-1")
    await plant.post("/faults", name="power_off", on=False)
    assert bus.path.is_symlink() and plant.machine.gpio.path.exists()


async def test_the_camera_shows_what_is_held_before_it(plant: Client) -> None:
    text = "6BF" + "%HELLO:" * 30
    cam = plant.machine.cameras["cam"]
    async with aiohttp.ClientSession() as web, web.get(cam.url) as stream:
        assert stream.content_type == "multipart/x-mixed-replace"
        reader = aiohttp.MultipartReader.from_response(stream)
        assert await read_codes(reader) == []
        await plant.act("show_code", text=text, via="cam", seconds=30)
        async with asyncio.timeout(10):
            while (codes := await read_codes(reader)) == []:
                pass
        assert codes == [text]


async def read_codes(reader: Any) -> list[str]:
    part = await reader.next()
    picture = Image.open(io.BytesIO(await part.read()))
    return [c.text for c in zxingcpp.read_barcodes(picture)]


@pytest.mark.parametrize("look", ["clean", "dark", "noisy"])
def test_good_looks_can_be_decoded(look: str) -> None:
    read = [zxingcpp.read_barcodes(phone_scene("A" * 250, random.Random(seed), look)) for seed in range(6)]
    assert all(codes and codes[0].text == "A" * 250 for codes in read)


def test_one_seed_gives_one_picture() -> None:
    for look in LOOKS:
        one, same, other = (phone_scene("X", random.Random(s), look).tobytes() for s in (1, 1, 2))
        assert one == same != other


# ---------------------------------------------------------------- files
def test_templates_repeat_with_their_number() -> None:
    assert expand([{"n": [9, 10], "id": "b{n:02}", "x": ["l:{n}"], "y": 1}]) == [
        {"id": "b09", "x": ["l:9"], "y": 1},
        {"id": "b10", "x": ["l:10"], "y": 1},
    ]


@pytest.mark.parametrize(
    ("doc", "says"),
    [
        ({"bays": [{"id": "a", "lock": "nobody:1"}]}, "nobody"),
        ({"devices": {"x": {}}}, "driver"),
        ({"bays": [{"id": "a"}, {"id": "a"}]}, "twice"),
        ({"bays": [{"n": 3, "id": "a"}]}, "first, last"),
    ],
)
def test_a_site_that_cannot_be_simulated_says_why(doc: dict[str, Any], says: str) -> None:
    with pytest.raises(SiteError, match=says):
        parse_site(doc)


@pytest.mark.parametrize(
    ("doc", "says"),
    [
        ({"asets": []}, "asets"),
        ({"bay": {"dor": "hand"}}, "dor"),
        ({"bay": {"door": "flap"}}, "hand, spring"),
        ({"bays": [{"id": "bay-7"}]}, "bay-7"),
        ({"assets": [{"id": "x", "class": "c", "bay": "bay-7"}]}, "bay-7"),
        ({"devices": {"nix": {}}}, "nix"),
        ({"devices": {"bus": {"speed": 3}}}, "speed"),
        ({"timeline": [{"at_s": 1}]}, "do or fault"),
    ],
)
def test_a_scenario_that_does_not_fit_says_why(tmp_path: Path, doc: dict[str, Any], says: str) -> None:
    with pytest.raises(SiteError, match=says):
        Machine(parse_site(a_site()), parse_scenario(doc), tmp_path, 1)


def test_ports_outside_the_run_directory_are_refused(tmp_path: Path) -> None:
    for port in ("/dev/ttyUSB0", "../x"):
        site = parse_site({"devices": {"pad": {"driver": "serial-keypad", "port": port}}})
        with pytest.raises(SiteError, match="run directory"):
            Machine(site, parse_scenario({}), tmp_path / "run", 1)


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_scenarios_name_acts_and_faults_that_exist(path: Path) -> None:
    scenario = read_scenario(path)
    assert scenario.title and scenario.assets
    for _, entry in scenario.timeline:
        assert entry.get("do") in ACTS or entry.get("fault") in FAULTS


# ---------------------------------------------------------------- as a process
class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            return (await self.process.stdout.readline()).decode()

    async def end(self) -> int:
        async with asyncio.timeout(30):
            return await self.process.wait()


def files(tmp_path: Path, timeline: str = "") -> list[str]:
    site, scenario, run_dir = tmp_path / "site.toml", tmp_path / "scenario.toml", tmp_path / "run"
    site.write_text(
        'machine = "m"\n[devices.bus]\ndriver = "lock-8a"\nport = "ports/bus"\n[[bays]]\nid = "a"\nlock = "bus:1"\n'
    )
    scenario.write_text(f'[[assets]]\nid = "x"\nclass = "c"\nbay = "a"\n{timeline}')
    return ["-m", "hw_sim", "plant", "--site", str(site), "--scenario", str(scenario), "--run-dir", str(run_dir)]


async def started(*args: str, **more: Any) -> Process:
    return Process(await asyncio.create_subprocess_exec(sys.executable, *args, stdout=asyncio.subprocess.PIPE, **more))


async def test_a_plant_begins_with_one_line_and_ends_without_a_trace(tmp_path: Path) -> None:
    plant = await started(*files(tmp_path, '[[timeline]]\nat_s = 0\ndo = "pull_door"\nbay = "a"\nforce = true\n'))
    ready = await plant.line()
    assert ready.startswith("ready plant machine=m seed=")
    run_dir = tmp_path / "run"
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(run_dir / "plant.sock"))) as session:
        client = Client(session, None)  # type: ignore[arg-type]
        assert (await client.seen("door_forced"))["bay"] == "a"
        assert f"seed={(await client.get('/state'))['seed']}" in ready
    assert (run_dir / "ports/bus").is_symlink()
    plant.process.send_signal(signal.SIGTERM)
    assert await plant.end() == 0
    assert [p for p in run_dir.rglob("*") if not p.is_dir()] == []


async def test_a_machine_without_a_camera_loads_no_picture_libraries() -> None:
    look = "import hw_sim.plant, sys; sys.exit(any(m in sys.modules for m in ('numpy', 'PIL', 'zxingcpp')))"
    assert await (await started("-c", look)).end() == 0


async def test_a_plant_ends_when_its_standard_input_does(tmp_path: Path) -> None:
    plant = await started(*files(tmp_path), "--until-stdin-closes", "--seed", "9", stdin=asyncio.subprocess.PIPE)
    assert "seed=9" in await plant.line()
    assert plant.process.stdin is not None
    plant.process.stdin.close()
    assert await plant.end() == 0


async def test_a_plant_ends_with_its_parent(tmp_path: Path) -> None:
    parent = "import subprocess, sys, os\np = subprocess.Popen([sys.executable, *sys.argv[1:]])\nsys.stdin.read()\n"
    first = await started("-c", parent, *files(tmp_path), stdin=asyncio.subprocess.PIPE)
    assert (await first.line()).startswith("ready")
    first.process.kill()
    await first.end()
    assert first.process.stdout is not None
    async with asyncio.timeout(30):
        await first.process.stdout.read()  # ends when the last holder of the pipe, the plant, has ended
    assert list((tmp_path / "run/ports").iterdir()) == []


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    args = files(tmp_path)
    (tmp_path / "site.toml").write_text("[[bays]]\n")
    plant = await started(*args, stderr=asyncio.subprocess.PIPE)
    assert await plant.end() == 2
    assert plant.process.stderr is not None
    said = (await plant.process.stderr.read()).decode()
    assert "site.toml" in said and "bay has no id" in said
