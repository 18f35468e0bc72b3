"""GPIO lines: which gpiozero pin factory a site uses, and one claimed line.

Owns the choice of the factory (any entry point of gpiozero's group `gpiozero_pin_factories`), its renewal
after it was lost, and the rules of calling it. Must not know what a line is for.

gpiozero's global factory is never used: a second factory in the process would silently take other lines.
Facts of gpiozero 2.0.1 and lgpio 0.2.2, read in their sources: callbacks come from a foreign thread, which an
exception ends for all lines; `Pin.when_changed` holds its handler weakly; `lgpio` makes a FIFO `.lgd-nfyN` in
the working directory while it is imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.metadata
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

from drivers.ports import OptionsError, WireLost

GROUP = "gpiozero_pin_factories"

# A Pi revision that gpiozero knows (Compute Module 3). Only its shape is used: the header is replaced by the
# chip's lines, so no line has the fixed pull resistor that a Pi has at GPIO 2 and 3.
_SOME_REVISION = 0xA020A0

# Errors that are one line's and leave the others well: gpiozero's classes, and the text of lgpio's only class.
_OF_ONE_LINE = ("PinInvalid", "PinFixedPull", "GPIOPinInUse", "PinBusy", "GPIO busy")

Pull = Literal["up", "down", "floating"]


class LineUnusable(WireLost):
    """One line cannot be used as asked (held by somebody, of no such number, pulled otherwise); others can."""


@contextlib.contextmanager
def wire_errors(what: str) -> Iterator[None]:
    """Turn whatever a pin factory raises into WireLost; keep the body to single calls of the factory."""
    try:
        yield
    except WireLost:
        raise
    except Exception as exc:
        # gpiozero, lgpio, RPi.GPIO and pigpio share no base class below Exception
        text = f"{type(exc).__name__}: {exc}"
        lost = LineUnusable if any(word in text for word in _OF_ONE_LINE) else WireLost
        raise lost(f"{what}: {text}") from exc


# ---------------------------------------------------------------- lgpio
@contextlib.contextmanager
def _private_directory() -> Iterator[None]:
    """Be in an empty directory of our own, gone afterwards; the daemon's own may be read-only."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="vendingd-lgpio-") as path:
        os.chdir(path)
        try:
            yield
        finally:
            os.chdir(before)


def import_lgpio() -> Any:
    """Import lgpio without leaving its FIFO behind; both ends are open by then, so the name may go.

    Raises OptionsError where lgpio is not installed.
    """
    if "lgpio" in sys.modules:
        return sys.modules["lgpio"]
    try:
        with _private_directory():
            return importlib.import_module("lgpio")
    except ImportError as exc:
        raise OptionsError(
            "the pin factory 'lgpio' needs the package lgpio: install vendingd[lgpio], "
            f"or Debian's python3-lgpio ({exc})"
        ) from exc


def chip_board(lines: int) -> Any:
    """A gpiozero board on which GPIO n is line n, for n in 0..lines-1."""
    from gpiozero.pins import HeaderInfo, PinInfo
    from gpiozero.pins.pi import PiBoardInfo

    pins = {
        n + 1: PinInfo(
            number=n + 1,
            name=f"GPIO{n}",
            names=frozenset({n, str(n), f"GPIO{n}"}),
            pull="",
            row=n + 1,
            col=1,
            interfaces=frozenset({"gpio"}),
        )
        for n in range(lines)
    }
    header = HeaderInfo(name="CHIP", rows=lines, columns=1, pins=pins)
    return PiBoardInfo.from_revision(_SOME_REVISION)._replace(headers={"CHIP": header})


@functools.cache
def chip_factory_class() -> Any:
    """The class of a pin factory for any chip of any board: takes `chip`, never asks which Pi this is."""
    lgpio = import_lgpio()
    from gpiozero.pins.lgpio import LGPIOFactory

    class ChipFactory(LGPIOFactory):  # type: ignore[misc]  # gpiozero is untyped
        """LGPIOFactory that does not guess: the site names the chip, GPIO n is its line n."""

        _board: Any = None

        def _get_revision(self) -> int:
            return _SOME_REVISION

        def _get_board_info(self) -> Any:
            if self._board is None:
                _, lines, _, _ = lgpio.gpio_get_chip_info(self._handle)
                self._board = chip_board(lines)
            return self._board

    return ChipFactory


# ---------------------------------------------------------------- the site's factory
def factory_names() -> tuple[str, ...]:
    """Every pin factory that is installed, in order."""
    return tuple(sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)}))


class PinSource:
    """The site's pin factory, made at first use and anew after it was lost: what `Surroundings.pins` is.

    factory: the name of an entry point; "lgpio" is our own on the gpiochip `chip`, the others know no chip.
    """

    def __init__(self, factory: str = "lgpio", chip: int = 0) -> None:
        self._name = factory
        self._chip = chip
        self._factory: Any = None
        self._users: list[Callable[[str], None]] = []
        self._making = threading.Lock()

    def on_lost(self, tell: Callable[[str], None]) -> None:
        """Call `tell(detail)` whenever a factory is discarded: all lines claimed from it are dead then."""
        self._users.append(tell)

    def check(self) -> None:
        """Find and import the factory without opening anything. Raises OptionsError saying what to do."""
        self._maker()

    def __call__(self) -> Any:
        """The factory. Raises WireLost where it cannot be opened now, OptionsError where it never can.

        Opening may block for a second (a factory of another machine's lines), so call it in a thread.
        """
        with self._making:
            if self._factory is None:
                make = self._maker()
                what = f"pin factory {self._name!r}"
                if self._name == "lgpio":
                    what = f"GPIO chip {self._chip}: does /dev/gpiochip{self._chip} exist, may this user open it"
                with wire_errors(what):
                    self._factory = make()
            return self._factory

    def discard(self, factory: object, detail: str) -> None:
        """Say that this factory has failed; the next call makes another. Without effect for an older one."""
        if factory is not None and factory is self._factory:
            self.close()
            for tell in self._users:
                tell(detail)

    def close(self) -> None:
        """Close the factory; its lines are undriven afterwards. Idempotent."""
        factory, self._factory = self._factory, None
        if factory is not None:
            with contextlib.suppress(WireLost), wire_errors("closing"):
                factory.close()

    def _maker(self) -> Callable[[], Any]:
        if self._name == "lgpio":
            return functools.partial(chip_factory_class(), chip=self._chip)
        for point in importlib.metadata.entry_points(group=GROUP):
            if point.name == self._name:
                try:
                    made: Callable[[], Any] = point.load()
                except ImportError as exc:
                    raise OptionsError(f"pin factory {self._name!r} cannot be loaded: {exc}") from exc
                return made
        known = ", ".join(factory_names()) or "none"
        raise OptionsError(f"no pin factory {self._name!r} is installed (there are: {known})")


# ---------------------------------------------------------------- one line
class Line:
    """One claimed GPIO line, undriven when made and after `close`. Levels are the wire's: True is high.

    Every method is called on the loop's thread and raises WireLost when the line cannot be reached.
    """

    def __init__(self, factory: Any, number: int) -> None:
        from gpiozero import GPIODevice

        self.number = number
        self._loop = asyncio.get_running_loop()
        self._changed: Callable[[int, bool], None] | None = None
        with wire_errors(f"GPIO {number}"):
            self._device = GPIODevice(number, pin_factory=factory)

    @property
    def closed(self) -> bool:
        return self._device is None

    def release(self, pull: Pull) -> None:
        """Stop driving the line; it is an input with that pull resistor."""
        with wire_errors(f"GPIO {self.number}"):
            self._pin().input_with_pull(pull)

    def drive(self, high: bool) -> None:
        """Drive the line. A fresh output may be low for an instant before it is high."""
        with wire_errors(f"GPIO {self.number}"):
            pin = self._pin()
            if pin.function != "output":
                pin.output_with_state(high)
            else:
                pin.state = high

    def high(self) -> bool:
        """The level as it is now."""
        with wire_errors(f"GPIO {self.number}"):
            return bool(self._pin().state)

    def listen(self, changed: Callable[[int, bool], None]) -> None:
        """Call `changed(number, high)` on the loop at every edge; gpiozero's debounce would drop some."""
        self._changed = changed
        with wire_errors(f"GPIO {self.number}"):
            pin = self._pin()
            pin.bounce = None
            pin.edges = "both"
            pin.when_changed = self._edge

    def close(self) -> None:
        """Stop listening and leave the line undriven. Idempotent, never raises."""
        device, self._device, self._changed = self._device, None, None
        if device is None:
            return
        with contextlib.suppress(WireLost), wire_errors("closing"):
            device.pin.when_changed = None
        with contextlib.suppress(WireLost), wire_errors("closing"):
            device.pin.function = "input"
        try:
            with wire_errors("closing"):
                device.close()
        except WireLost:
            # gpiozero closes again on garbage collection; that must not meet the broken factory
            device._pin = None

    def _pin(self) -> Any:
        if self._device is None:
            raise WireLost(f"GPIO {self.number} is closed")
        return self._device.pin

    def _edge(self, _ticks: object, state: object) -> None:
        """From the factory's thread: it must never see an exception, and only tells the loop."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._deliver, bool(state))

    def _deliver(self, high: bool) -> None:
        if self._changed is not None:
            self._changed(self.number, high)
