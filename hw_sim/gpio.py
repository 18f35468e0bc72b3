"""The GPIO lines of the machine: a server on a Unix socket that pin factories (`hw_sim.pins`) connect to.

One JSON object a line. Requests carry an `id` and are answered `{"id", "ok", "level"?, "error"?}`:
`{"op": "claim", "pin", "function": "input" | "output", "pull"?, "level"?}`. `{"op": "write", "pin", "level"}` and
`{"op": "free", "pin"}` are not answered. Edges of claimed inputs come as `{"edge": pin, "level", "t"}`.
A line belongs to one connection at a time, as it does in the kernel; a connection that ends frees its lines.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw_sim.model.sensors import sensed
from hw_sim.model.world import World
from hw_sim.site import Channel, DeviceSpec, Site, SiteError

TRUE_IS = {
    "door": "high", "bolt": "low", "presence": "low", "button": "low", "estop": "high", "tamper": "high",
}  # fmt: skip
PULL_LEVEL = {"up": 1, "down": 0}


@dataclass(frozen=True, slots=True)
class OutputWire:
    """A line that drives a coil or a gate operator's input. `motion` is open or close."""

    channel: Channel
    motion: str
    active_low: bool
    bay: str | None


@dataclass(frozen=True, slots=True)
class InputWire:
    """A line with a contact: to ground with pull up, to the supply with pull down, driving with none."""

    channel: Channel
    sense: str
    true_is: int
    pull: str
    bay: str | None


@dataclass(slots=True)
class _Claim:
    owner: _Client
    function: str
    pull: str
    level: int


@dataclass(eq=False, slots=True)
class _Client:
    writer: asyncio.StreamWriter
    pins: set[int] = field(default_factory=set)


def wire_pins(site: Site) -> tuple[dict[int, OutputWire], dict[int, InputWire]]:
    """What stands at which line. Raises SiteError where a line has two uses."""
    outputs: dict[int, OutputWire] = {}
    inputs: dict[int, InputWire] = {}

    def free(pin: int, device: DeviceSpec) -> int:
        if pin in outputs or pin in inputs:
            raise SiteError(f"devices.{device.name}: line {pin} is in use already")
        return pin

    for device in site.devices.values():
        for key, motion in (("pins", "open"), ("open_pins", "open"), ("close_pins", "close")):
            if device.driver not in ("gpio-lock", "gpio-gate"):
                continue
            for i, pin in enumerate(device.get(key, []), 1):
                channel = Channel(device.name, i)
                outputs[free(pin, device)] = OutputWire(
                    channel, motion, bool(device.get("active_low", False)), site.bay_at(channel, "lock")
                )
        if device.driver == "gpio-input":
            sense = device.get("sense", "door")
            if sense not in TRUE_IS:
                raise SiteError(f"devices.{device.name}: no sense {sense!r}; there are: {', '.join(TRUE_IS)}")
            true_is = 1 if device.get("true_is", TRUE_IS[sense]) == "high" else 0
            for i, pin in enumerate(device.get("pins", []), 1):
                channel = Channel(device.name, i)
                inputs[free(pin, device)] = InputWire(
                    channel, sense, true_is, device.get("pull", "up"),
                    site.bay_at(channel, "door", "bolt", "presence"),
                )  # fmt: skip
    return outputs, inputs


class GpioServer:
    """Serves the lines of one chip; `drive(bay, motion, on, by)` is told of outputs that change."""

    def __init__(
        self, path: Path, site: Site, world: World, now: Callable[[], float],
        drive: Callable[[str, str, bool, str], None],
    ) -> None:  # fmt: skip
        self.path = path
        self.outputs, self.inputs = wire_pins(site)
        self._world, self._now, self._drive = world, now, drive
        self._server: asyncio.Server | None = None
        self._clients: set[_Client] = set()
        self._claims: dict[int, _Claim] = {}
        self._cut: set[int] = set()

    async def start(self) -> None:
        """Listen; idempotent."""
        if self._server is None:
            self.path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        """Stop listening, hang up on everybody and remove the socket; undriven lines are inactive."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for client in list(self._clients):
            self._drop(client)
            client.writer.transport.abort()
        self.path.unlink(missing_ok=True)

    # ------------------------------------------------------------ connections
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        self._clients.add(client)
        try:
            while line := await reader.readline():
                answer = self._request(client, line)
                if answer is not None:
                    writer.write(json.dumps(answer).encode() + b"\n")
        except (ConnectionError, ValueError) as no:
            self._world.log.add(self._now(), "gpio_junk", reason=str(no))
        finally:
            self._drop(client)
            writer.close()

    def _drop(self, client: _Client) -> None:
        self._clients.discard(client)
        for pin in list(client.pins):
            self._free(client, pin)

    def _request(self, client: _Client, line: bytes) -> dict[str, Any] | None:
        request = json.loads(line)
        op, pin, id = request.get("op"), request.get("pin"), request.get("id")
        if not isinstance(pin, int):
            return {"id": id, "ok": False, "error": "no pin"}
        if op == "write":
            self._write(client, pin, 1 if request.get("level") else 0)
            return None
        if op == "free":
            self._free(client, pin)
            return None
        if op != "claim":
            return {"id": id, "ok": False, "error": f"no op {op!r}"}
        held = self._claims.get(pin)
        if held is not None and held.owner is not client:
            return {"id": id, "ok": False, "error": "busy"}
        if held is not None and held.function == "output" and request.get("function") != "output":
            self._free(client, pin)
        return {"id": id, "ok": True, "level": self._claim(client, pin, request)}

    def _claim(self, client: _Client, pin: int, request: dict[str, Any]) -> int:
        client.pins.add(pin)
        if request.get("function") == "output":
            idle = 1 if pin in self.outputs and self.outputs[pin].active_low else 0
            self._claims[pin] = _Claim(client, "output", "floating", idle)
            self._write(client, pin, 1 if request.get("level") else 0)
            return 1 if request.get("level") else 0
        pull = request.get("pull") or "floating"
        before = self._claims.get(pin)
        claim = self._claims[pin] = _Claim(client, "input", pull, before.level if before else 0)
        claim.level = self._level(pin, claim)
        return claim.level

    # ------------------------------------------------------------ levels
    def _write(self, client: _Client, pin: int, level: int) -> None:
        claim = self._claims.get(pin)
        if claim is None or claim.owner is not client or claim.function != "output" or claim.level == level:
            return
        claim.level = level
        wire = self.outputs.get(pin)
        if wire is None:
            self._world.log.add(self._now(), "output_unwired", pin=pin, level=level)
            return
        self._driven(wire, level == (0 if wire.active_low else 1))

    def _driven(self, wire: OutputWire, on: bool) -> None:
        by = f"{wire.channel.device}:{wire.channel.number}"
        if wire.bay is not None:
            self._drive(wire.bay, wire.motion, on, by)
        elif on:
            self._world.log.add(self._now(), "pulse_unwired", device=wire.channel.device, by=by)

    def _free(self, client: _Client, pin: int) -> None:
        claim = self._claims.get(pin)
        if claim is None or claim.owner is not client:
            return
        del self._claims[pin]
        client.pins.discard(pin)
        wire = self.outputs.get(pin)
        if wire is not None and claim.function == "output" and claim.level == (0 if wire.active_low else 1):
            self._driven(wire, False)

    def _sensed(self, wire: InputWire) -> bool | None:
        if wire.sense == "button":
            return (wire.channel.device, wire.channel.number) in self._world.pressed
        if wire.sense == "estop":
            return self._world.estop
        if wire.sense == "tamper":
            return self._world.tamper
        return sensed(self._world.bays[wire.bay], wire.sense, self._now()) if wire.bay is not None else False

    def cut(self, channel: Channel, on: bool) -> None:
        """Cut or mend the wire of an input."""
        for pin, wire in self.inputs.items():
            if wire.channel == channel:
                (self._cut.add if on else self._cut.discard)(pin)

    def _level(self, pin: int, claim: _Claim) -> int:
        wire = self.inputs.get(pin)
        value = None if wire is None or pin in self._cut else self._sensed(wire)
        pulled = PULL_LEVEL.get(claim.pull, claim.level)  # a floating line stays where it was
        if wire is None or value is None:
            return pulled
        wanted = wire.true_is if value else 1 - wire.true_is
        rail = 1 - PULL_LEVEL[wire.pull] if wire.pull in PULL_LEVEL else wanted
        return rail if wanted == rail else pulled

    def refresh(self) -> None:
        """Tell every client of the inputs that changed; called after each change of the world."""
        now = self._now()
        for pin, claim in self._claims.items():
            if claim.function != "input":
                continue
            level = self._level(pin, claim)
            if level != claim.level:
                claim.level = level
                edge = {"edge": pin, "level": level, "t": now}
                claim.owner.writer.write(json.dumps(edge).encode() + b"\n")

    def to_json(self) -> dict[str, Any]:
        return {
            "serving": self._server is not None, "clients": len(self._clients),
            "pins": {str(p): {"function": c.function, "level": c.level, "pull": c.pull}
                     for p, c in sorted(self._claims.items())},
        }  # fmt: skip
