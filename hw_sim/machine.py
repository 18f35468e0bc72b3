"""The simulated machine: joins the physical world with the devices at its wires. One loop, one thread."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hw_sim.camera import FPS, Camera, CameraHost, camera_of
from hw_sim.gpio import GpioServer
from hw_sim.model.bay import Bay
from hw_sim.model.log import Motion
from hw_sim.model.sensors import sensed
from hw_sim.model.world import Asset, Unknown, World
from hw_sim.scenario import Scenario
from hw_sim.site import Channel, DeviceSpec, Site, SiteError
from hw_sim.wires.badges import BadgeReader, Powered
from hw_sim.wires.fm22x import FaceModule, FM22xOptions, enrolled
from hw_sim.wires.kerong_cu48 import BoardsCU48, CU48Options
from hw_sim.wires.line import Line
from hw_sim.wires.lock_8a import Board8AOptions, Boards8A
from hw_sim.wires.osdp import Reader, ReaderBus, ReaderKeys, ReaderOptions
from hw_sim.wires.pn532 import CardReader
from hw_sim.wires.readers import Keypad, Scanner, TagReader

PULSE = 0.5


class Machine:
    """Everything behind the wires of one site. `now` is CLOCK_MONOTONIC."""

    def __init__(self, site: Site, scenario: Scenario, run_dir: Path, seed: int) -> None:
        """Raises SiteError where site and scenario do not fit or cannot be simulated."""
        self.site, self.scenario, self.run_dir, self.seed = site, scenario, run_dir, seed
        self.world = World()
        self.log = self.world.log
        self.lines: dict[tuple[str, int], Line] = {}
        self.boards: dict[str, Boards8A | BoardsCU48] = {}
        self.scanners: dict[str, Scanner] = {}
        self.keypads: dict[Channel, Keypad | ReaderKeys] = {}
        self.tags: dict[Channel, TagReader] = {}
        self.badges: dict[Channel, BadgeReader] = {}
        self.osdp: dict[str, ReaderBus] = {}  # fed by a supply of their own
        self.faces: dict[str, FaceModule] = {}
        self.powered: dict[str, Powered] = {}  # devices with a state of their own that a loss of power ends
        self.cameras: dict[str, Camera] = {}
        self.held: dict[Channel, str] = {}  # tags held by hand before a reader
        self.unplugged: set[str] = set()
        self.gpio_away = False
        self._timer: asyncio.TimerHandle | None = None
        self._coils: dict[str, asyncio.TimerHandle] = {}
        self._log_waiters: set[asyncio.Event] = set()
        self._poking = False
        self._build_world()
        for device in site.devices.values():
            self._build_device(device)
        self.gpio = GpioServer(run_dir / "gpio.sock", site, self.world, time.monotonic, self._drive)
        self.camera_host = CameraHost(self.cameras.values())
        self.log.on_add = self._logged

    # ------------------------------------------------------------ building
    def rng(self, name: str) -> random.Random:
        """A stream of chance of its own for each part, all from the one seed."""
        return random.Random(f"{self.seed}/{name}")

    def _build_world(self) -> None:
        for spec in self.site.bays.values():
            shape = self.scenario.shape_of(spec.id, gate=spec.gate)
            self.world.bays[spec.id] = Bay(spec.id, self.log, shape, fits=spec.fits)
        if unknown := set(self.scenario.bays) - set(self.world.bays):
            raise SiteError(f"scenario: the site has no bay {', '.join(sorted(unknown))}")
        if unknown := set(self.scenario.devices) - set(self.site.devices):
            raise SiteError(f"scenario: the site has no device {', '.join(sorted(unknown))}")
        for table in self.scenario.assets:
            asset = Asset(table["id"], table["class"], table.get("tag"), table.get("size", "full"))
            self.world.add_asset(asset)
            if (bay := table.get("bay")) is not None:
                if bay not in self.world.bays:
                    raise SiteError(f"scenario: asset {asset.id} lies in {bay}, which the site does not have")
                self.world.place(self.world.bays[bay], time.monotonic(), asset.id)

    def _path(self, device: DeviceSpec, port: object) -> Path:
        if not isinstance(port, str):
            raise SiteError(f"devices.{device.name}: has no port")
        root = self.run_dir.resolve()
        path = root / port  # an absolute port stays as it is
        if not path.parent.resolve().is_relative_to(root):
            raise SiteError(f"devices.{device.name}: port {port} is not below the run directory {root}")
        return path

    def _line(self, device: DeviceSpec, port: object, number: int = 1, baud: int = 9600, **more: Any) -> Line:
        name = device.name if number == 1 else f"{device.name}:{number}"
        line = Line(name, self._path(device, port), int(device.get("baud", baud)), self.rng(f"line/{name}"),
                    self.log, **more)  # fmt: skip
        self.lines[device.name, number] = line
        return line

    def _build_device(self, device: DeviceSpec) -> None:
        extra = self.scenario.devices.get(device.name, {})
        answer_s, pulse_s = extra.get("answer_ms", 3) / 1000, extra.get("pulse_ms", PULSE * 1000) / 1000
        bank = DeviceBank(self, device)
        if device.driver == "lock-8a":
            self.boards[device.name] = Boards8A(
                self._line(device, device.get("port", None), half_duplex=True), bank,
                Board8AOptions(
                    tuple(device.get("addresses", [1])), device.get("locks_per_board", 8),
                    device.get("closed_is", "11") == "11", frozenset(device.get("inverted", [])),
                    answer_s, pulse_s, extra.get("push"),
                ),
                self.log,
            )  # fmt: skip
        elif device.driver == "kerong-cu48":
            self.boards[device.name] = BoardsCU48(
                self._line(device, device.get("port", None), baud=19200, half_duplex=True), bank,
                CU48Options(
                    tuple(device.get("addresses", [0])), device.get("locked_bit", 1), answer_s, pulse_s
                ),
                self.log,
            )  # fmt: skip
        elif device.driver == "line-scanner":
            line = self._line(device, device.get("port", None))
            suffix = str(extra.get("suffix", "\r")).encode()
            self.scanners[device.name] = Scanner(line, self.log, device.get("trigger", "none"), suffix)
        elif device.driver == "serial-keypad":
            line = self._line(device, device.get("port", None))
            self.keypads[Channel(device.name, 1)] = Keypad(line, self.log)
        elif device.driver == "rdm6300":
            for i, port in enumerate(device.get("ports", []), 1):
                line = self._line(device, port, i, grain=14)
                repeat_s = extra.get("repeat_ms", 500) / 1000
                self.tags[Channel(device.name, i)] = TagReader(line, self.log, repeat_s)
        elif device.driver == "pn532":
            line = self._line(device, device.get("port", None), baud=115200, grain=8)
            reader = CardReader(line, self.log, self.rng(f"cards/{device.name}"))
            self.badges[Channel(device.name, 1)] = self.powered[device.name] = reader
        elif device.driver == "osdp-reader":
            self._build_readers(device, answer_s, extra.get("keys"))
        elif device.driver == "fm22x":
            line = self._line(device, device.get("port", None), baud=115200, grain=8)
            module = FaceModule(line, self.log, FM22xOptions(str(extra.get("serial", f"SIM-{device.name}"))),
                                enrolled(extra.get("enrolled", {})))  # fmt: skip
            self.faces[device.name] = self.powered[device.name] = module
        elif device.driver == "mjpeg-camera" or (device.driver == "camera-face" and device.get("path", None) is None):
            fps = float(extra.get("fps", FPS))
            made = camera_of(device, self.log, self.rng(f"camera/{device.name}"), fps)
            # one camera may serve two devices: codes are read and faces compared in the same pictures
            self.cameras[device.name] = next((c for c in self.cameras.values() if c.url == made.url), made)

    def _build_readers(self, device: DeviceSpec, answer_s: float, keys: list[str] | None) -> None:
        """Readers know the keys of their files, or those that the scenario gives; the others wait to be given one."""
        files = device.get("scbk", [])
        files = [files] if isinstance(files, str) else files
        readers = []
        for n, address in enumerate(device.get("addresses", [0])):
            file = self.run_dir / files[n]
            text = keys[n] if keys is not None else file.read_text() if file.is_file() else ""
            key = bytes.fromhex(text) or None
            options = ReaderOptions(key, install=key is None)
            readers.append(Reader(address, options, self.rng(f"osdp/{device.name}/{address}")))
        line = self._line(device, device.get("port", None), half_duplex=True, grain=4)
        self.osdp[device.name] = ReaderBus(line, readers, self.log, answer_s=answer_s)
        for n, reader in enumerate(readers, 1):
            self.badges[Channel(device.name, n)] = reader
            self.keypads[Channel(device.name, n)] = ReaderKeys(reader, self.log, device.name)

    # ------------------------------------------------------------ life
    async def start(self) -> None:
        """Make every wire. Raises OSError where a path or an address is taken."""
        await self._wires(True)
        self.poke()

    async def stop(self) -> None:
        """Remove every wire; the physical world ends with the process."""
        for handle in (self._timer, *self._coils.values()):
            if handle is not None:
                handle.cancel()
        await self._wires(False)

    async def _wires(self, on: bool) -> None:
        if on:
            for (device, _), line in self.lines.items():
                if device not in self.unplugged:
                    line.plug()
                    self._has_power(device, True)
            if not self.gpio_away:
                await self.gpio.start()
            await self.camera_host.start()
            return
        for reader in self.tags.values():
            reader.see(None)
        for (device, _), line in self.lines.items():
            self._has_power(device, False)
            line.unplug()
        await self.gpio.stop()
        await self.camera_host.stop()

    async def power(self, on: bool) -> None:
        """The machine's supply: every device falls silent, doors and people go on."""
        self.world.power(on, time.monotonic())
        for bus in self.osdp.values():
            bus.restarted()
        await self._wires(on)
        self.poke()

    async def gpio_gone(self, on: bool) -> None:
        """The GPIO server hangs up, as if the plant's process were gone, and comes back."""
        self.gpio_away = on
        if on:
            await self.gpio.stop()
        elif self.world.powered:
            await self.gpio.start()

    def plug(self, device: str, on: bool) -> None:
        """Pull or put back every serial adapter of a device. Raises Unknown."""
        lines = self.lines_of(device)
        (self.unplugged.discard if on else self.unplugged.add)(device)
        self.log.add(time.monotonic(), "link_plugged" if on else "link_unplugged", device=device)
        for line in lines:
            if on and self.world.powered:
                line.plug()
            else:
                line.unplug()
        self._has_power(device, on and self.world.powered)
        self.poke()

    def _has_power(self, device: str, on: bool) -> None:
        """Badge readers and face modules are fed by their adapters."""
        if (fed := self.powered.get(device)) is not None:
            (fed.restarted if on else fed.stop)()

    def lines_of(self, device: str) -> list[Line]:
        """The serial lines of a device. Raises Unknown, naming those that there are."""
        lines = [line for (name, _), line in self.lines.items() if name == device]
        if not lines:
            names = ", ".join(dict.fromkeys(name for name, _ in self.lines)) or "none"
            raise Unknown(f"no serial device {device!r}; there are: {names}")
        return lines

    # ------------------------------------------------------------ time
    def poke(self) -> None:
        """Called after every change: lets the world go on and tells all wires what became of it."""
        if self._poking:
            return
        self._poking = True
        try:
            while True:
                before, now = self.log.last_n, time.monotonic()
                self.world.advance(now)
                for channel, reader in self.tags.items():
                    reader.see(self._tag_at(channel))
                for board in self.boards.values():
                    if isinstance(board, Boards8A):
                        board.changed()
                self.gpio.refresh()
                if self.log.last_n == before:
                    break
        finally:
            self._poking = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.world.next_change(now)
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self.poke)

    def _tag_at(self, channel: Channel) -> str | None:
        if not self.world.powered:
            return None
        if (held := self.held.get(channel)) is not None:
            return held
        bay = self.site.bay_at(channel, "tag")
        return self.world.tag_in(self.world.bays[bay]) if bay is not None else None

    def _drive(self, bay: str, motion: str, on: bool, by: str) -> None:
        now = time.monotonic()
        place = self.world.bays[bay]
        if motion == "close":
            if on and self.world.powered and not self.world.estop:
                place.request_gate(now, "close", by)
        elif on:
            self.world.energise(place, now, by)
        else:
            place.de_energise(now)
        self.poke()

    def pulse(self, bay: str, duration_s: float, by: str) -> None:
        """A pulse timed by a board; another one while it lasts begins it anew."""
        if (running := self._coils.pop(bay, None)) is not None:
            running.cancel()
        self._drive(bay, "open", True, by)

        def end() -> None:
            self._coils.pop(bay, None)
            self._drive(bay, "open", False, by)

        self._coils[bay] = asyncio.get_running_loop().call_later(duration_s, end)

    # ------------------------------------------------------------ the log's readers
    def _logged(self, motion: Motion) -> None:
        for waiter in self._log_waiters:
            waiter.set()

    async def wait_for(self, done: Callable[[], bool], wait_s: float) -> bool:
        """Wait until something logged makes `done` true; says whether it did in time."""
        waiter = asyncio.Event()
        self._log_waiters.add(waiter)
        try:
            async with asyncio.timeout(wait_s):
                while not done():
                    waiter.clear()
                    await waiter.wait()
            return True
        except TimeoutError:
            return done()
        finally:
            self._log_waiters.discard(waiter)

    def to_json(self) -> dict[str, Any]:
        lines = {
            line.name: {
                "port": str(line.path), "plugged": line.plugged, "open": line.peer_open, "baud": line.baud,
                **{k: getattr(line.counters, k) for k in line.counters.__dataclass_fields__},
            }
            for line in self.lines.values()
        }  # fmt: skip
        cameras = {c.name: {"url": c.url, "viewers": c.viewers, "frames": c.frames_sent}
                   for c in self.cameras.values()}  # fmt: skip
        return {"t_mono": time.monotonic(), "seed": self.seed, "machine": self.site.machine,
                "log": self.log.last_n, **self.world.to_json(), "lines": lines, "gpio": self.gpio.to_json(),
                "readers": {name: bus.to_json() for name, bus in self.osdp.items()},
                "cameras": cameras, "terminals": list(self.site.terminals)}  # fmt: skip


class DeviceBank:
    """The channels of one lock board device, as it is wired to bays."""

    def __init__(self, machine: Machine, device: DeviceSpec) -> None:
        self._machine, self._name = machine, device.name
        self._sense = device.get("feedback", "door")
        self._senses = self._wired("door", "bolt", "lock")
        self._locks = self._wired("lock")

    def _wired(self, *roles: str) -> dict[int, str]:
        """Bays by the channel of this device that they name for one of these roles."""
        wired: dict[int, str] = {}
        for spec in self._machine.site.bays.values():
            for role in roles:
                if (channel := spec.wires.get(role)) is not None and channel.device == self._name:
                    wired.setdefault(channel.number, spec.id)
        return wired

    def closed(self, channel: int) -> bool:
        bay = self._senses.get(channel)
        if bay is None:
            return False
        value = sensed(self._machine.world.bays[bay], self._sense, time.monotonic())
        if value is None:
            return False
        return value if self._sense == "bolt" else not value

    def pulse(self, channel: int, duration_s: float) -> None:
        by = f"{self._name}:{channel}"
        bay = self._locks.get(channel)
        if bay is None:
            self._machine.log.add(time.monotonic(), "pulse_unwired", device=self._name, by=by)
        else:
            self._machine.pulse(bay, duration_s, by)
