"""Screens: prompts as they change, passes and PINs handed in, and what a refusal gives away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.ports import DeviceStatus
from fsm import events as e
from tests.unit.api.light import T0, Served
from vendingd.identity.cwt import Pass
from vendingd.identity.keys import KeyRing
from vendingd.identity.tool import make_key, public_jwk, sign_pass
from vendingd.journal.api import StoreErrorKind
from vendingd.journal.memory import Fault


@asynccontextmanager
async def following(api: Served, target: str, accept: str = "*/*") -> AsyncIterator[asyncio.StreamReader]:
    """The stream behind its head, chunks taken apart by `item`."""
    async with api.connected() as (reader, writer):
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        assert b"chunked" in head
        yield reader


async def chunk(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        size = int(await reader.readline(), 16)
        return (await reader.readexactly(size + 2))[:-2]


async def item(reader: asyncio.StreamReader) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await chunk(reader))
    return found


def shown_pass(**over: Any) -> str:
    said = {
        "issuer": "cloud",
        "rental": "r1",
        "audience": "m1",
        "exp": T0 + 3600,
        "nbf": T0 - 3600,
        "cti": b"\x01" * 8,
        "asset": "car1",
    }
    return sign_pass(KEY, Pass(**{**said, **over}))


KEY = make_key("k1")


def trust_key(api: Served) -> None:
    api.machine.desk.keys.ring = KeyRing.parse({"keys": [public_jwk(KEY)]})


async def test_the_prompt_follows_a_pick_up(api: Served) -> None:
    trust_key(api)
    await api.machine.book()
    async with following(api, "/v1/terminals/front/prompt") as prompts:
        assert (await item(prompts))["code"] == "idle"
        said = await api.call("POST", "/v1/terminals/front/code", {"text": shown_pass()})
        assert said.status == 200
        assert said.json["prompt"]["code"] == "open_door"
        assert (await item(prompts))["params"] == {"bay": "bay-1"}
        api.machine.sense("bay-1", door=True)
        assert (await item(prompts))["code"] == "take_and_close"


async def test_the_prompt_says_when_the_machine_is_unavailable(api: Served) -> None:
    async with following(api, "/v1/terminals/front/prompt") as prompts:
        first = await item(prompts)
        assert (first["code"], first["support_ref"][:3]) == ("idle", "+86")
        api.machine.seams.store.fault = Fault(StoreErrorKind.READONLY)
        await api.call("POST", "/v1/availability", {"in_service": True, "reason": "x"})
        assert (await item(prompts))["code"] == "unavailable"


async def test_server_sent_events_for_browsers(api: Served) -> None:
    async with following(api, "/v1/terminals/front/prompt", "text/event-stream") as prompts:
        event, data, *end = (await chunk(prompts)).split(b"\n")
        assert event == b"event: prompt"
        assert json.loads(data.removeprefix(b"data: "))["code"] == "idle"
        assert end == [b"", b""]


async def test_a_screen_that_leaves_is_forgotten(api: Served) -> None:
    async with following(api, "/v1/terminals/front/prompt") as prompts:
        await item(prompts)
        assert api.machine.watched == 1
    async with asyncio.timeout(5):
        while api.machine.watched:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "over", [{"audience": "elsewhere"}, {"exp": T0 - 7200, "nbf": T0 - 9000}, {"nbf": T0 + 7200, "exp": T0 + 9000}]
)
async def test_a_refusal_is_told_by_its_public_code(api: Served, over: dict[str, Any]) -> None:
    trust_key(api)
    said = await api.call("POST", "/v1/terminals/front/code", {"text": shown_pass(**over)})
    assert said.status == 409
    assert said.json["reason"] in ("other_machine", "too_late", "too_early")
    assert said.json["prompt"]["code"] == said.json["reason"]


@pytest.mark.parametrize("text", ["hello", "A" * 5000, "\u20ac", shown_pass(issuer="x") + "0"])
async def test_what_is_no_genuine_pass_has_one_code(api: Served, text: str) -> None:
    """Unreadable, forged, of an unknown key: nothing tells which."""
    said = await api.call("POST", "/v1/terminals/front/code", {"text": text})
    assert (said.status, said.json["reason"], said.json["detail"]) == (409, "refused", "refused: refused")
    assert text.encode()[:20] not in said.body


async def test_a_pin_is_never_echoed(api: Served) -> None:
    for body in ({"digits": "1234567890123"}, {"digits": "12a4"}, {"digits": 987654}, {"digits": ""}):
        said = await api.call("POST", "/v1/terminals/front/pin", body)
        assert said.status == 422
        assert b"12a4" not in said.body
        assert b"987654" not in said.body
    said = await api.call("POST", "/v1/terminals/front/pin", {"digits": "2468"})
    assert said.status == 409
    assert b"2468" not in said.body


async def test_keys_of_a_screen(api: Served) -> None:
    assert (await api.call("POST", "/v1/terminals/front/return")).status == 200
    visit = api.machine.mailbox.world.visit("front")
    assert visit is not None
    assert visit.return_until_mono > 0
    assert (await api.call("POST", "/v1/terminals/front/leave")).status == 200
    assert (await api.call("POST", "/v1/terminals/front/confirm")).status == 409
    assert (await api.call("POST", "/v1/terminals/front/close", {"bay": "bay-1"})).status == 409
    assert (await api.call("POST", "/v1/terminals/front/close", {"bay": "bay-9"})).status == 404
    assert (await api.call("POST", "/v1/terminals/back/return")).status == 404
    assert (await api.call("POST", "/v1/terminals/front/return", {"now": 1})).status == 422


async def test_watching_tells_records_and_alarms(api: Served) -> None:
    async with following(api, "/v1/watch") as news:
        first = await item(news)
        assert (first["type"], first["alarms"], first["state"]) == ("alarms", [], "serving")
        await api.call("POST", "/v1/bays/bay-2/unlock", {"reason": "look"})
        record = await item(news)
        assert (record["kind"], record["subject"]) == ("bay.unlock_authorised", "bay-2")
        assert record["data"]["reason"] == "look"
        api.machine.sensing.devices["locks"] = DeviceStatus("locks", False, "cable")
        api.machine.mailbox.post(e.DeviceChanged("locks", False, "cable"))
        assert (await item(news))["kind"] == "device.down"
        alarms = await item(news)
        assert [row["name"] for row in alarms["alarms"]] == ["locks"]
