"""The composition root: makes every part, connects them, and sees them through one life of the process.

Everything that differs between a machine and a simulation is a seam, handed in by `main` (or by a test). There is no
`if simulated` here or below.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drivers.ports import (
    BadgeRead,
    Clock,
    CodeRead,
    Device,
    DeviceStatus,
    DigitsEntered,
    Gate,
    HttpTransport,
    KeyPressed,
    LevelRead,
    Lock,
    Random,
    Report,
    Sampling,
    Sense,
    SerialOpener,
    Surroundings,
    TagRead,
    Workers,
)
from fsm.events import JournalRestored, Tick
from fsm.model import Aggregate, Visit
from fsm.world import Key, Record
from vendingd.anchors import Anchors
from vendingd.attending import Attending
from vendingd.bridge import Bridge
from vendingd.desk import Desk, Keys, check_face, check_pin
from vendingd.identity.face import FaceFactor
from vendingd.identity.pin import PinFactor
from vendingd.identity.seal import Sealer
from vendingd.journal.api import Committed, Loaded, Store, StoreError, StoreErrorKind
from vendingd.journal.errors import RECOVERY
from vendingd.kernel.codec import StateError
from vendingd.kernel.executor import Executor
from vendingd.kernel.mailbox import Mailbox
from vendingd.kernel.time import TrustedTime
from vendingd.kernel.timers import Timers
from vendingd.lights import Lights
from vendingd.notify import Notifier
from vendingd.recovery import Recovery
from vendingd.sensing import Debounce, Sensing
from vendingd.site.resolved import Site
from vendingd.wiring import attention, looking, terminals, wiring, with_faces

_log = logging.getLogger(__name__)
REOPEN_FIRST_S, REOPEN_MOST_S = 0.5, 30.0
STOP_EFFECTS_S = 2.0  # a pulse is at most 1 s; what hangs longer is left to its expiry


@dataclass(frozen=True, slots=True)
class Seams:
    """What a simulation replaces."""

    clock: Clock
    random: Random
    store: Store
    workers: Workers
    serial: SerialOpener
    pins: Callable[[], Any]
    transport: HttpTransport | None  # None: a machine without a cloud
    token_bytes: Callable[[int], bytes]
    boot: str
    synchronised: Callable[[], bool]
    device_key: bytes
    probe: Callable[[str], None] = lambda label: None  # labelled points of effects, see Executor


class Fatal(Exception):
    """A defect: the process ends, its manager starts it again, recovery decides."""


class App:
    """One life of the daemon. `run` serves until `stop` is called or something fatal happened."""

    def __init__(self, site: Site, keys: Keys, seams: Seams, notifier: Notifier) -> None:
        self.site = site
        self.seams = seams
        self.notifier = notifier
        self.layout = site.layout()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._ended.add_done_callback(lambda f: f.cancelled() or f.exception())
        self._tasks: set[asyncio.Task[Any]] = set()
        self._effects: set[asyncio.Task[Any]] = set()
        self._watchers: list[Callable[[Sequence[Record]], None]] = []
        self.time = TrustedTime(
            seams.clock,
            site.trust,
            seams.boot,
            lambda: self.mailbox.floor_utc,
            seams.synchronised,
            vouched=lambda: self.mailbox.vouched,
        )
        self.devices: dict[str, Device] = self._make_devices()
        sealer = Sealer(seams.device_key, token_bytes=seams.token_bytes)
        self.pins = PinFactor(sealer, seams.workers, timeout_s=site.pin.timeout_s)
        eyes = looking(site, self.devices)
        self.layout = replace(with_faces(self.layout, eyes), seal=sealer.device)
        self.faces = FaceFactor(sealer, eyes, timeout_s=self.layout.timing.face_s)
        self.executor = Executor(
            clock=seams.clock,
            locks=self._role(Lock),
            gates=self._role(Gate),
            check_pin=lambda effect: check_pin(self.pins, effect),
            check_face=lambda effect, hint: check_face(self.faces, effect, hint),
            forget_face=self.faces.forget,
            life_s=self.layout.timing.unlock_life_s,
            spawn=self._spawn_effect,
            probe=seams.probe,
        )
        self.mailbox = Mailbox(
            layout=self.layout,
            store=seams.store,
            clock=seams.clock,
            now=self.time.now,
            performer=self.executor,
            on_published=self._published,
            on_committed=self._committed,
            on_failure=self._journal_failed,
            on_turn=notifier.alive,
            offline=lambda: not self.online,
            fatal=self.fatal,
        )
        self.executor.connect(self.mailbox.post)
        self.timers = Timers(seams.clock, self.time.now, self.mailbox.post)
        self.sensing = Sensing(
            wiring(site),
            Debounce(site.sensing.contact_ms / 1000, site.sensing.occupancy_ms / 1000),
            level=self.mailbox.level,
            post=self.mailbox.post,
            on_bay=self._bay_heard,
        )
        self.recovery = Recovery(self.layout.bays, answered=self.sensing.answered, post=self.mailbox.post)
        self.desk = Desk(terminals(site), keys, self.mailbox, seams.clock, self.time.now)
        anchors = Anchors(
            machine=self.layout.machine,
            store=seams.store,
            keys=lambda: self.desk.keys.ring,
            now=self.time.now,
            keep_days=site.journal.keep_days,
            spawn=self.spawn,
            on_failure=self._journal_failed,
        )
        self.bridge = Bridge(
            mailbox=self.mailbox,
            store=seams.store,
            clock=seams.clock,
            pins=self.pins,
            faces=self.faces,
            anchors=anchors,
        )
        self.cloud = self._make_cloud()
        self.cloud_alarms: dict[str, str] = {}
        self.bridge.alarm = self._cloud_alarm
        self.attending = Attending(attention(site), self.devices)
        self.lights = Lights(site, self.devices, self.spawn)
        self._reopen_s = REOPEN_FIRST_S
        self._reopening: asyncio.Task[Any] | None = None
        self._announced = asyncio.Event()  # the manager knows that we are ready
        self.journal_error: StoreError | None = None
        self._restoring = asyncio.Lock()
        self._begun: str | None = None  # the epoch that was begun since the journal was opened
        self.last_seq = 0  # of the journal, as far as committed
        self.strangers: list[str] = []  # bays that the journal knows and the site file does not

    # ------------------------------------------------ parts
    def _make_devices(self) -> dict[str, Device]:
        around = Surroundings(
            clock=self.seams.clock,
            random=self.seams.random,
            workers=self.seams.workers,
            serial=self.seams.serial,
            pins=self.seams.pins,
            spawn=lambda coro, name="driver": self.spawn(coro, name),
        )
        return {d.name: d.driver.make(d.name, d.options, around) for d in self.site.devices.values()}

    def _role(self, role: type[Any]) -> Mapping[str, tuple[Any, int]]:
        wanted = {}
        for bay in self.site.bays.values():
            made = self.devices[bay.lock.device]
            if isinstance(made, role):
                wanted[bay.id] = (made, bay.lock.number)
        return wanted

    def _make_cloud(self) -> Any:
        if self.seams.transport is None:
            return None
        from vendingd.cloud.client import CloudClient

        # Cursor and outbox are known once the journal is open: the client is made then.
        return CloudClient

    def _start_cloud(self, loaded: Loaded) -> None:
        assert self.seams.transport is not None
        self.cloud = self.cloud(
            machine=self.layout.machine,
            transport=self.seams.transport,
            outbox=self.bridge,
            deliver=self.bridge.deliver,
            clock=self.seams.clock,
            random=self.seams.random,
            on_status=lambda status: self._tell_status(),
            alarm=self._cloud_alarm,
            cursor=self.mailbox.world.machine.cursor,
            acked=loaded.acked,
            last=loaded.next_seq - 1,
            poll_wait_s=int(self.site.cloud.poll_wait_s) if self.site.cloud is not None else 25,
            check_head=self.bridge.holds_head,
        )
        self.bridge.on_committed = self.cloud.committed
        self.spawn(self._serve_cloud(), "cloud")

    async def _serve_cloud(self) -> None:
        """Customers first: what the client loads would hold up the start."""
        await self._announced.wait()
        await self.cloud.run()

    @property
    def online(self) -> bool:
        status = getattr(self.cloud, "status", None)
        return bool(status is not None and getattr(status, "online", False))

    def _cloud_alarm(self, name: str, detail: str) -> None:
        from vendingd.cloud.uplink import ALARM_JOURNAL

        if detail:
            news = name not in self.cloud_alarms
            self.cloud_alarms[name] = detail
            _log.error("cloud: %s: %s", name, detail)
            if name == ALARM_JOURNAL and news:  # restored from an older copy, and nobody said so
                self.spawn(self._restored_unsaid(f"seen by the cloud: {detail}"), "new epoch")
        else:
            self.cloud_alarms.pop(name, None)
        self._tell_status()

    async def journal_restored(self, why: str) -> str:
        """Give what follows a new epoch, so that no name of a record is used twice; returns it. Raises StoreError.

        A journal is put in place while nobody has it open: the cloud's word and a technician's are about the same
        restore, and the second to come finds the epoch begun. Both are journalled.
        """
        async with self._restoring:
            if self._begun is None:
                try:
                    self._begun = await self.seams.store.new_epoch(why)
                except StoreError as error:
                    self._journal_failed(error)
                    raise
                self.bridge.epoch_begun(self._begun)
            epoch = self._begun
        self.mailbox.post(JournalRestored(epoch, why))
        return epoch

    async def _restored_unsaid(self, why: str) -> None:
        """However long the journal is away meanwhile: the cloud says it once."""
        while True:
            try:
                await self.journal_restored(why)
                return
            except StoreError as error:
                _log.warning("the journal's new epoch waits: %s", error)
            await self.seams.clock.sleep_until(self.seams.clock.monotonic() + REOPEN_FIRST_S)

    # ------------------------------------------------ tasks
    def spawn(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task whose death is fatal."""
        task = self._loop.create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            why = task.exception()
            assert why is not None
            self.fatal(why)

    def _spawn_effect(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = self.spawn(coro, name)
        self._effects.add(task)
        task.add_done_callback(self._effects.discard)
        return task

    def fatal(self, why: BaseException) -> None:
        if not self._ended.done():
            _log.critical("fatal: %s: %s", type(why).__name__, why, exc_info=why)
            self._ended.set_exception(Fatal(f"{type(why).__name__}: {why}"))

    def stop(self) -> None:
        """End in order."""
        if not self._ended.done():
            self._ended.set_result(None)

    # ------------------------------------------------ life
    async def run(self, ready: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Serve. `ready` is awaited once people can be told something (the API opens). Raises Fatal."""
        for device in self.devices.values():
            self.spawn(device.run(self._report), f"device {device.name}")
        self.spawn(self._tick(), "tick")
        loaded = await self._open()
        if loaded is not None:
            await self._load(loaded, first=True)
        await ready()
        self.notifier.ready()
        self._tell_status()
        self._announced.set()
        await self._ended

    async def _open(self) -> Loaded | None:
        """The journal, or None where it must be tried again: the machine then says why it is unavailable."""
        try:
            return await self.seams.store.open()
        except StoreError as why:
            if why.kind is StoreErrorKind.LOCKED:
                raise  # another daemon runs: two must not
            self._journal_failed(why)
            return None

    async def _load(self, loaded: Loaded, *, first: bool) -> bool:
        """False where this version cannot read what is stored: it is tried again then, as after any other error."""
        try:
            self.strangers = self.mailbox.load(loaded) if first else self.mailbox.reopened(loaded)
        except StateError as why:
            self._journal_failed(StoreError(StoreErrorKind.CORRUPT, f"{why}. {RECOVERY}"))
            return False
        for bay in self.strangers:
            _log.error("bay %s is in the journal and not in the site file; what it holds is kept there", bay)
        self.journal_error = None
        self._begun = None
        self._keys_changed()
        self.last_seq = loaded.next_seq - 1
        self.bridge.load(self.mailbox.world, self.last_seq, loaded.epochs)
        self.timers.load(self.mailbox.world)
        self.recovery.begin()
        self.sensing.replay()
        self.recovery.look()
        if self.seams.transport is not None and isinstance(self.cloud, type):
            self._start_cloud(loaded)
        self.mailbox.serve()
        self._tell_status()
        return True

    def _journal_failed(self, why: StoreError) -> None:
        if str(why) != str(self.journal_error):  # once, however often it is tried
            _log.critical("%s; the machine is unavailable", why)
        self.journal_error = why
        self.mailbox.suspend(str(why))
        self._tell_status()
        if self._reopening is None or self._reopening.done():
            self._reopening = self.spawn(self._reopen(), "reopen the journal")

    async def _reopen(self) -> None:
        """Until it holds again: reload, sample every level, recover."""
        while True:
            pause, self._reopen_s = self._reopen_s, min(self._reopen_s * 2, REOPEN_MOST_S)
            await self.seams.clock.sleep_until(self.seams.clock.monotonic() + pause)
            try:
                loaded = await self.seams.store.open()
            except StoreError as why:
                self.journal_error = why
                self.mailbox.suspend(str(why))
                self._tell_status()
                continue
            await self.sample()
            if await self._load(loaded, first=False):
                _log.warning("the journal holds again; everything was sensed anew")
                return

    async def sample(self) -> None:
        """Read every level of every device afresh, a few seconds at most."""
        waiting = [d.sample() for d in self.devices.values() if isinstance(d, Sampling)]
        try:
            async with asyncio.timeout(5.0):
                await asyncio.gather(*waiting)
        except TimeoutError:
            _log.warning("not every sensor answered in time")

    async def _tick(self) -> None:
        """An unjournalled event through the mailbox feeds the watchdog."""
        every = min(5.0, (self.notifier.watchdog_s or 20.0) / 3)
        while True:
            await self.seams.clock.sleep_until(self.seams.clock.monotonic() + every)
            self.mailbox.post(Tick())

    async def shutdown(self) -> None:
        """What was stepped is journalled, nothing is energised, nothing runs on."""
        self.notifier.stopping()
        self.mailbox.unavailable = "stopping"
        self.recovery.stop()
        self.timers.stop()
        self.executor.look_away()
        if self._effects:
            await asyncio.wait(tuple(self._effects), timeout=STOP_EFFECTS_S)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.sensing.stop()
        if self.journal_error is None:
            await self.mailbox.settle()
        await self.seams.store.close()

    def _bay_heard(self, bay: str) -> None:
        self.recovery.bay_heard(bay)

    # ------------------------------------------------ reports of devices
    def _report(self, report: Report) -> None:
        match report:
            case LevelRead():
                if report.sense is Sense.BUTTON:
                    self.desk.button(report)
                else:
                    self.sensing.level(report)
            case TagRead():
                if not self.sensing.tag(report):
                    self.desk.tag(report)
            case CodeRead():
                self.desk.code(report)
            case BadgeRead():
                self.desk.badge(report)
            case DigitsEntered():
                self.desk.digits(report)
            case KeyPressed():
                self.desk.key(report)
            case DeviceStatus():
                self.sensing.status(report)

    # ------------------------------------------------ what became true
    def watch(self, watcher: Callable[[Sequence[Record]], None]) -> Callable[[], None]:
        """Call `watcher` after each publication; returns how to end it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _published(self, changes: Mapping[Key, Aggregate | None], records: Sequence[Record]) -> None:
        self.timers.changed(changes)
        self.bridge.published(changes)
        if any(kind == "key" for kind, _ in changes):
            self._keys_changed()
        self.attending.follow(changes)
        for (kind, key), new in changes.items():
            if kind == "visit" and isinstance(new, Visit):
                self.lights.follow(key, new)
        for watcher in tuple(self._watchers):
            watcher(records)

    def _committed(self, committed: Committed) -> None:
        self._reopen_s = REOPEN_FIRST_S  # a full disk opens well, too: only a commit shows that it holds
        self.last_seq = max(self.last_seq, committed.last_seq)
        self.bridge.committed(committed)

    def _keys_changed(self) -> None:
        self.desk.keys.delivered({k: row.jwk for k, row in self.mailbox.world.of["key"].items()})

    # ------------------------------------------------ for the manager, and for whoever watches
    def _tell_status(self) -> None:
        for watcher in tuple(self._watchers):
            watcher(())
        if self.mailbox.unavailable is not None:
            self.notifier.status(f"unavailable: {self.mailbox.unavailable}")
            return
        where = "no cloud" if self.seams.transport is None else "online" if self.online else "offline"
        self.notifier.status(f"serving {len(self.layout.bays)} bays, {where}")


def state_path(state_dir: Path) -> Path:
    """Where the journal lives."""
    return state_dir / "journal.db"
