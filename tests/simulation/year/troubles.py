"""What goes wrong, and when it is over: each kind of trouble as one function of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.year import people
from tests.simulation.year.cloud import EPOCH_UTC
from tests.simulation.year.machine import LATENCY_S
from tests.simulation.year.people import Holder
from tests.simulation.year.plan import HOUR, Trouble
from tests.simulation.year.plant import Bay
from vendingd.journal.api import AFTER_COMMIT, BEFORE_SYNC, BEFORE_WRITE, StoreErrorKind
from vendingd.journal.memory import Fault

if TYPE_CHECKING:
    from tests.simulation.year.run import Run

Start = Callable[["Run", Trouble], None]
KINDS: dict[str, Start] = {}
POWER = {"power_cut", "long_power_cut", "crash_at", "boots_in_1970"}


def kind(start: Start) -> Start:
    KINDS[start.__name__] = start
    return start


def begin(run: Run, trouble: Trouble) -> None:
    if trouble.kind in POWER and run.machine.loop is None:
        return  # it is off already
    run.counts[trouble.kind] = run.counts.get(trouble.kind, 0) + 1
    run.note(f"trouble {trouble.n}: {trouble.kind} for {trouble.lasts_s:.0f} s")
    run.laws.troubled(trouble.kind, trouble.lasts_s)
    KINDS[trouble.kind](run, trouble)


def over(run: Run, trouble: Trouble, end: Callable[[], None]) -> None:
    def ended() -> None:
        if not run.healed:
            run.note(f"trouble {trouble.n}: {trouble.kind} is over")
            end()

    run.heal.append(end)
    run.line.after(trouble.lasts_s, ended)


def bay(run: Run, t: Trouble) -> Bay:
    return run.plant.bays[f"bay-{t.about['bay']}"]


# ---------------------------------------------------------------- power
@kind
def power_cut(run: Run, t: Trouble) -> None:
    run.off_for(t.lasts_s)
    run.machine.cut()


@kind
def long_power_cut(run: Run, t: Trouble) -> None:
    power_cut(run, t)


@kind
def crash_at(run: Run, t: Trouble) -> None:
    run.off_for(t.lasts_s)
    run.machine.cut_after(t.about["n"])


@kind
def crash_label(run: Run, t: Trouble) -> None:
    run.off_for(t.lasts_s)
    label = [BEFORE_WRITE, BEFORE_SYNC, AFTER_COMMIT][t.about["n"] % 3]
    run.machine.cut_label = (label, 1 + t.about["n"] % 7)


@kind
def crash_opening(run: Run, t: Trouble) -> None:
    """Within the first callbacks after the next opening is authorised: before its pulse, at it, or just after."""

    def cut() -> None:
        run.off_for(t.lasts_s)
        run.machine.cut_after(1 + t.about["n"] % 40)

    run.at_authorised.append(cut)


@kind
def boots_in_1970(run: Run, t: Trouble) -> None:
    """No clock of its own: after a power cut it begins in 1970, until its servers are heard."""
    power_cut(run, t)
    run.machine.synchronised = False
    run.machine.clock_error_s = -EPOCH_UTC - run.line.t

    def end() -> None:
        run.machine.clock_error_s = 0.0
        run.line.after(1.0, lambda: setattr(run.machine, "synchronised", True))

    run.heal.append(end)
    run.line.after(t.lasts_s + 200 * t.about["x"], end)


# ---------------------------------------------------------------- disk
def _disk(error: StoreErrorKind, *, durable: bool = False) -> Start:
    def start(run: Run, t: Trouble) -> None:
        run.machine.set_fault(Fault(error, durable))
        over(run, t, lambda: run.machine.set_fault(None))

    return start


KINDS["disk_full"] = _disk(StoreErrorKind.FULL)
KINDS["disk_readonly"] = _disk(StoreErrorKind.READONLY)
KINDS["disk_io"] = _disk(StoreErrorKind.IO)
KINDS["disk_io_durable"] = _disk(StoreErrorKind.IO, durable=True)


def _latency(most: float) -> Start:
    def start(run: Run, t: Trouble) -> None:
        run.machine.latency_s = (most / 10, most)

        def end() -> None:
            run.machine.latency_s = LATENCY_S

        over(run, t, end)

    return start


KINDS["disk_slow"] = _latency(2.0)
KINDS["disk_stalls"] = _latency(25.0)


# ---------------------------------------------------------------- wires
def _port(run: Run, t: Trouble) -> str:
    names = sorted(run.plant.ports)
    return names[t.about["n"] % len(names)]


def _bus(run: Run, t: Trouble) -> str:
    return "bus" if "bus" in run.plant.ports else _port(run, t)


def _unplug(name: Callable[[Run, Trouble], str]) -> Start:
    def start(run: Run, t: Trouble) -> None:
        port = run.plant.ports[name(run, t)]
        port.unplug()
        over(run, t, port.plug)

    return start


KINDS["unplug"] = _unplug(_port)
KINDS["unplug_bus"] = _unplug(_bus)


@kind
def unplug_writing(run: Run, t: Trouble) -> None:
    """A plug comes out while the bytes of an unlock leave: nobody knows whether it was heard."""
    port = run.plant.ports[_bus(run, t)]
    run.at_authorised.append(lambda: setattr(port, "tears", t.about["x"]))

    def end() -> None:
        port.tears = None
        port.plug()

    over(run, t, end)


def _faulty(name: Callable[[Run, Trouble], str], **what: float) -> Start:
    def start(run: Run, t: Trouble) -> None:
        port = run.plant.ports[name(run, t)]
        port.faulty(**what)
        over(run, t, port.faulty)

    return start


KINDS["noise"] = _faulty(_port, drop=0.2, corrupt=0.2)
KINDS["noise_bus"] = _faulty(_bus, drop=0.1, corrupt=0.1)
KINDS["late_bus"] = _faulty(_bus, late_s=0.4)
KINDS["repeat"] = _faulty(_bus, repeat=0.3)


@kind
def echo(run: Run, t: Trouble) -> None:
    port = run.plant.ports[_bus(run, t)]
    port.echo = True

    def end() -> None:
        port.echo = False

    over(run, t, end)


# ---------------------------------------------------------------- sensors and bolts
@kind
def silent(run: Run, t: Trouble) -> None:
    place, sense = bay(run, t), ["presence", "door", "tag"][t.about["n"] % 3]
    run.plant.freeze(place, sense, None)
    over(run, t, lambda: run.plant.thaw(place))


@kind
def stuck(run: Run, t: Trouble) -> None:
    place, sense = bay(run, t), ["presence", "door", "bolt"][t.about["n"] % 3]
    run.plant.freeze(place, sense, t.about["x"] < 0.5)
    over(run, t, lambda: run.plant.thaw(place))


@kind
def bounce(run: Run, t: Trouble) -> None:
    """A contact chatters for a moment, faster than anything real moves."""
    place = bay(run, t)
    sense = "door" if t.about["n"] % 2 else "presence"
    truth = run.plant.says(place, sense)
    for n in range(8):
        run.line.after(0.004 * n, lambda n=n: run.plant.freeze(place, sense, bool(truth) ^ bool(n % 2)))  # type: ignore[misc]
    run.line.after(0.04, lambda: run.plant.thaw(place))


@kind
def jam(run: Run, t: Trouble) -> None:
    place = bay(run, t)
    place.jammed = True

    def end() -> None:
        place.jammed = False

    over(run, t, end)


@kind
def sticky(run: Run, t: Trouble) -> None:
    place = bay(run, t)
    place.sticky_s = 2.0 + 25 * t.about["x"]

    def end() -> None:
        place.sticky_s = 0.0

    over(run, t, end)


@kind
def forced(run: Run, t: Trouble) -> None:
    people.start(run, people_thief(run, bay(run, t), t.about["x"] < 0.5))


def people_thief(run: Run, place: Bay, takes: bool) -> people.Person:
    if run.plant.open(place, "thief", force=True):
        yield 3.0
        if takes and (asset := run.plant.take(place, "thief")) is not None:
            run.gone.add(asset)
        yield 2.0
        run.plant.close(place, "thief")


@kind
def open_for_long(run: Run, t: Trouble) -> None:
    """A technician opens a bay and is called away."""
    people.start(run, staff_opens(run, bay(run, t), t.lasts_s))


def staff_opens(run: Run, place: Bay, lasts_s: float) -> people.Person:
    from fsm import events as e

    run.machine.ask(e.TechnicianUnlock(place.id, "li", "to clean"))
    yield 2.0
    if not place.bolted and run.plant.open(place, "li"):
        yield lasts_s
        run.plant.close(place, "li")


# ---------------------------------------------------------------- clocks
def _clock(wrong: Callable[[Run, Trouble], float], *, synchronised: bool) -> Start:
    def start(run: Run, t: Trouble) -> None:
        run.machine.synchronised = synchronised
        # The kernel says that it has lost its servers before its clock is far off.
        run.line.after(0.0 if synchronised else 6.0, jump(run, t))

        def end() -> None:
            run.machine.clock_error_s = 0.0
            run.line.after(1.0, lambda: setattr(run.machine, "synchronised", True))

        over(run, t, end)

    def jump(run: Run, t: Trouble) -> Callable[[], None]:
        until = run.line.t + t.lasts_s

        def jumps() -> None:
            if not run.healed and run.line.t < until:
                run.machine.clock_error_s = wrong(run, t)

        return jumps

    return start


KINDS["clock_1970"] = _clock(lambda run, t: -1_800_000_000.0 - run.line.t, synchronised=False)
KINDS["clock_forward"] = _clock(lambda run, t: (1 + 12 * t.about["x"]) * HOUR, synchronised=False)
KINDS["clock_back"] = _clock(lambda run, t: -(1 + 12 * t.about["x"]) * HOUR, synchronised=False)
KINDS["clock_off"] = _clock(lambda run, t: 40 * t.about["x"] - 20, synchronised=True)
KINDS["leap_second"] = _clock(lambda run, t: -1.0, synchronised=True)
KINDS["unsynchronised"] = _clock(lambda run, t: 0.0, synchronised=False)


@kind
def clock_drift(run: Run, t: Trouble) -> None:
    """A crystal that is off by up to 400 ppm, ten times what is usual, until its servers are heard again."""
    began, rate = run.line.t, (800 * t.about["x"] - 400) * 1e-6
    run.machine.drift_s = lambda: (run.line.t - began) * rate

    def end() -> None:
        run.machine.drift_s = float

    over(run, t, end)


# ---------------------------------------------------------------- cloud
def _cloud(**what: float | bool) -> Start:
    def start(run: Run, t: Trouble) -> None:
        for name, value in what.items():
            setattr(run.cloud.faults, name, value)

        def end() -> None:
            for name, value in what.items():
                setattr(run.cloud.faults, name, type(value)())

        over(run, t, end)

    return start


KINDS["cloud_down"] = _cloud(down=True)
KINDS["cloud_hours"] = _cloud(down=True)
KINDS["cloud_weeks"] = _cloud(down=True)
KINDS["cloud_slow"] = _cloud(slow_s=20.0)
KINDS["lost_answers"] = _cloud(lose_answers=0.5)
KINDS["twice"] = _cloud(twice=0.5)
KINDS["reorder"] = _cloud(reorder=0.5)
KINDS["nonsense"] = _cloud(nonsense=0.5)
KINDS["errors"] = _cloud(errors=0.6)


@kind
def forget_cursor(run: Run, t: Trouble) -> None:
    run.cloud.forget_cursor()


@kind
def lose_ledger(run: Run, t: Trouble) -> None:
    """The cloud's own idea of what is over is gone; a snapshot then brings back what ended long ago."""
    run.cloud.ledger.rentals.clear()
    run.cloud.forget_cursor()


# ---------------------------------------------------------------- people
@kind
def forged(run: Run, t: Trouble) -> None:
    """Another key's signature under what is booked and not yet taken."""
    for holder in _coming(run):
        run.plant.scan("side", run.cloud.sign(holder.wire, forged=True))


@kind
def other_machines(run: Run, t: Trouble) -> None:
    """A genuine pass, for another machine."""
    for holder in _coming(run):
        run.plant.scan("side", run.cloud.sign(holder.wire, audience="tower-2"))


def _coming(run: Run) -> list[Holder]:
    """Whoever has a booking here that would open now, were they to show their pass without a PIN."""
    t, taken = run.line.t, run.laws.taken
    fit = (
        h for h in run.holders.values() if h.c.at - 30 < t < h.c.at + 800 and h.c.rental not in taken and not h.c.pin
    )
    return list(fit)[-1:]


@kind
def rubbish(run: Run, t: Trouble) -> None:
    for n in range(5):
        run.line.after(1.5 * n, lambda n=n: run.plant.scan("side", "nonsense" * (n + 1)))  # type: ignore[misc]


@kind
def others_pass(run: Run, t: Trouble) -> None:
    """Somebody shows a copy of a pass that has served, or serves now."""
    known = [h for h in run.holders.values() if h.c.rental in run.laws.taken]
    if known and run.standing.get("side") is None:
        holder = known[t.about["n"] % len(known)]
        run.laws.presented("side", holder.c.rental, holder)
        run.plant.scan("side", holder.text)


@kind
def two_buttons(run: Run, t: Trouble) -> None:
    """The same pass at both terminals in the same instant, with rubbish from the keypad."""
    known = list(run.holders.values())
    if known:
        holder = known[t.about["n"] % len(known)]
        free = [terminal for terminal in ("front", "side") if run.standing.get(terminal) is None]
        for terminal in free:
            run.laws.presented(terminal, holder.c.rental, holder)
            run.plant.scan(terminal, holder.text)
        run.plant.keys("front", "A12#*#")


@kind
def remote_unlock(run: Run, t: Trouble) -> None:
    """An operator opens a bay from afar; the command may arrive long after it was given."""
    run.laws.remote(bay(run, t).id)
    run.cloud.instruct("command.unlock", bay=bay(run, t).id, reason="asked by telephone")


@kind
def unlock_long_ago(run: Run, t: Trouble) -> None:
    """The same, with nobody to hear it for longer than such a command is obeyed."""
    remote_unlock(run, t)
    run.cloud.faults.down = True

    def end() -> None:
        run.cloud.faults.down = False

    run.heal.append(end)
    run.line.after(70 + 200 * t.about["x"], end)
