"""The same stories where locks hang on boards of a serial bus, and what that bus does to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.stand import HEAD, Stand, fast

Make = Callable[..., Stand]

DESK = """
[devices.scanner]
driver = "line-scanner"
port = "scanner"
baud = 115200
[[terminals]]
id = "front"
codes = ["scanner"]
"""

# a board that tells of the door; nothing says what is inside
BARE_8A = (
    HEAD
    + DESK
    + """
[devices.board]
driver = "lock-8a"
port = "bus"
[[bays]]
n = [1, 3]
id = "bay-{{n}}"
fits = ["car"]
lock = "board:{{n}}"
"""
)

PRESENCE = """
[devices.presence]
driver = "gpio-input"
sense = "presence"
pins = [16, 17, 18]
"""

CU48 = (
    HEAD
    + DESK
    + PRESENCE
    + """
[devices.board]
driver = "kerong-cu48"
port = "bus"
[[bays]]
n = [1, 3]
id = "bay-{{n}}"
fits = ["car"]
lock = "board:{{n}}"
presence = "presence:{{n}}"
"""
)

# doors that are seen by themselves, so that only unlocking needs the bus
OWN_DOORS = (
    HEAD
    + DESK
    + PRESENCE
    + """
[devices.board]
driver = "lock-8a"
port = "bus"
[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [7, 8, 9]
[[bays]]
n = [1, 3]
id = "bay-{{n}}"
fits = ["car"]
lock = "board:{{n}}"
door = "doors:{{n}}"
presence = "presence:{{n}}"
"""
)

SITES = {"8a": BARE_8A, "cu48": CU48}


def opened_by_board(m: Stand) -> list[int]:
    """Channels of the unlock frames that the boards understood; nothing ever opens everything."""
    assert m.motions("opened_all") == []
    return [x["channel"] for x in m.motions("unlock_frame")]


@pytest.mark.parametrize("board", ["8a", "cu48"])
def test_pick_up_and_return(make: Make, board: str) -> None:
    m = make(site=SITES[board])
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    unsensed = m.received("rental.on_trip", "r1")[0]["data"].get("unsensed")
    assert unsensed is (True if board == "8a" else None)
    m.show(text)
    bay = m.authorised("return")
    m.bring_back("r1", "car-1", bay)
    assert opened_by_board(m) == [1, int(bay.removeprefix("bay-"))]
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised")) and m.alarms(bay) == []


def test_an_unlock_behind_an_unplugged_adapter_never_fires(make: Make) -> None:
    m = make(site=OWN_DOORS)
    one, two = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.plant.fault("link_unplugged", device="board")
    m.show(one)
    m.heard("rental.not_opened", "r1", why="not_sent")
    m.shown("bay_stuck")
    m.heard("bay.alarm_raised", "bay-1", alarm="unlock_failed")
    m.plant.fault("link_unplugged", device="board", on=False)
    m.until(lambda: m.api.get("/v1/status")["devices_down"] == [], "the board is back")
    m.pick_up("r2", "bay-2", two)
    assert opened_by_board(m) == [2] and m.bay("bay-1")["bolt"] == "locked"
    m.pick_up("r1", "bay-1", one)  # rental and pass are as they were
    m.heard("bay.alarm_cleared", "bay-1", alarm="unlock_failed")
    assert opened_by_board(m) == [2, 1] and m.pulses() == 2


def test_an_unlock_that_waits_for_the_bus_goes_down_with_it(make: Make) -> None:
    """The bus is in the middle of a long wait for an answer when the pass is shown, and then it is pulled."""
    site = OWN_DOORS.replace('port = "bus"', 'port = "bus"\nreply_timeout_ms = 3000')
    m = make(site=site, timing=fast(open_timeout_s=8))
    text = m.book("r1", "car-1")
    m.plant.fault("feedback_lost", device="board")
    asked = m.plant.get("/state")["lines"]["board"]["bytes_in"]

    def silent() -> bool:
        line = m.plant.get("/state")["lines"]["board"]
        return bool(line["bytes_in"] >= asked + 5)

    m.until(silent, "a question that will not be answered")
    m.show(text)
    m.authorised("release")
    m.plant.fault("link_unplugged", device="board")
    m.heard("rental.not_opened", "r1", why="not_sent")
    m.plant.fault("feedback_lost", device="board", on=False)
    m.plant.fault("link_unplugged", device="board", on=False)
    m.until(lambda: m.api.get("/v1/status")["devices_down"] == [], "the board is back")
    assert m.pulses() == 0
    m.pick_up("r1", "bay-1", text)
    assert opened_by_board(m) == [1]


@pytest.mark.long
def test_a_board_that_falls_silent(make: Make) -> None:
    """Before a pick-up it refuses; during one nobody can tell what happened, and a technician does."""
    m = make(site=CU48, timing=fast(open_timeout_s=5))  # a board may be deaf for two seconds after its pulse
    text = m.book("r1", "car-1")
    m.plant.fault("feedback_lost", device="board")
    m.until(lambda: m.api.get("/v1/bays/bay-1")["sensed"]["door"] is None, "the door is not seen any more")
    m.show(text)
    m.shown("wait")
    assert m.received("bay.unlock_authorised") == []
    m.plant.fault("feedback_lost", device="board", on=False)
    m.until(lambda: m.api.get("/v1/bays/bay-1")["sensed"]["door"] == "closed", "the door is seen again")

    m.show(text)
    m.unlocked("bay-1")
    m.plant.fault("feedback_lost", device="board")
    incident = m.incident("unsure_release", "bay-1")
    m.shown("call_support")
    assert m.received("rental.on_trip") == []
    m.plant.fault("feedback_lost", device="board", on=False)
    m.until(lambda: m.api.get("/v1/bays/bay-1")["sensed"]["door"] == "closed", "the door is seen again")
    m.technician("/bays/bay-1/contents", asset="car-1")
    m.technician(f"/incidents/{incident}/resolve", outcome="ready")
    m.heard("rental.resolved", "r1", outcome="ready")
    m.pick_up("r1", "bay-1", text)
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised"))


# two buses, three bays on each: one for each thing that may be wrong with the bytes
BOTH = (
    HEAD
    + DESK
    + """
[devices.a]
driver = "lock-8a"
port = "bus-a"
[devices.b]
driver = "kerong-cu48"
port = "bus-b"
[[bays]]
n = [1, 3]
id = "a{{n}}"
fits = ["car"]
lock = "a:{{n}}"
[[bays]]
n = [1, 3]
id = "b{{n}}"
fits = ["car"]
lock = "b:{{n}}"
"""
)
NOISE: dict[str, tuple[str, dict[str, int]]] = {
    "a1": ("echo", {}),
    "a2": ("byte_dropped", {"n": 40}),
    "a3": ("byte_corrupted", {"n": 40}),
    "b1": ("reply_late", {"ms": 150}),
    "b2": ("reply_repeated", {"times": 2}),
    "b3": ("byte_dropped", {"n": 40}),
}
SIX_CARS = "".join(f'[[assets]]\nid = "car-{bay}"\nclass = "car"\nbay = "{bay}"\n' for bay in NOISE)


@pytest.mark.long
def test_noise_on_the_bus_opens_nothing_else(make: Make) -> None:
    """Whatever happens to bytes: each authorisation opens its own bay at most once, and no other one."""
    cars: list[dict[str, object]] = [{"id": f"car-{bay}", "class": "car", "tags": []} for bay in NOISE]
    times = fast(open_timeout_s=2, lapse_s=1, farewell_s=0.2, settle_s=0.3)
    m = make(site=BOTH, scenario=SIX_CARS, directory=cars, timing=times)
    for bay, (name, options) in NOISE.items():
        m.book(f"r-{bay}", f"car-{bay}")
        m.plant.fault(name, device=bay[0], **options)
        until_unlocked(m, f"r-{bay}", bay)
        m.open(bay)
        m.plant.act("take", bay=bay)
        m.close(bay)
        m.heard("rental.on_trip", f"r-{bay}", asset=f"car-{bay}")
        m.plant.fault(name, device=bay[0], on=False)
    assert opened_by_board(m) == [int(x["bay"][1]) for x in m.motions("pulse_on")]
    for bay in NOISE:
        authorised = m.received("bay.unlock_authorised", bay)
        assert 1 == m.pulses(bay) <= len(authorised)
    assert m.received("incident.opened") == []


def until_unlocked(m: Stand, rental: str, bay: str) -> None:
    """Show the pass again until the bay is free: a command may have been lost on the way."""
    while m.pulses(bay) == 0:
        before = len(m.received("rental.not_opened", rental))
        m.show(m.sign(rental))

        def decided(before: int = before) -> bool:
            lost = len(m.received("rental.not_opened", rental)) > before
            return lost or m.pulses(bay) > 0 or m.prompt()["code"] == "wait"

        m.until(decided, f"{bay} is unlocked or not")
