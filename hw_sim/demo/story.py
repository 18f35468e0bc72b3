"""The story: a day at the machine. Anna, Boris and Chen, a technician, a forger, and a network that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw_sim.demo.play import NotSeen, Play, Step
from hw_sim.demo.witness import Lane, Seen

ANNA, BORIS, CHEN, NOBODY = "r-anna", "r-boris", "r-chen", "r-forged"
PIN, WRONG_PIN = "4711", "1234"
REFUSED = 3  # vendingctl's exit code
BACK_ONLINE_S = 40.0  # the daemon asks again after pauses that double


class Story:
    """`breaks` is called before the first pick-up, to switch a fault on."""

    def __init__(self, play: Play, breaks: Callable[[], object] | None) -> None:
        self._play, self._breaks = play, breaks
        self._plant, self._cloud, self._daemon = play.stage.plant, play.stage.cloud, play.stage.daemon
        self._passes: dict[str, str] = {}

    def tell(self) -> None:
        """From the first delivery to the books. Raises NotSeen."""
        self._awake()
        self._directory()
        self._stocking()
        self._anna_books()
        self._anna_picks_up()
        self._boris_picks_up()
        self._network_fails()
        self._chen_picks_up()
        self._anna_returns()
        self._van_returns()
        self._forger()
        self._network_back()
        self._chen_buys()
        self._books()

    # ------------------------------------------------ before people come
    def _awake(self) -> None:
        began = self._play.stage.began
        with self._play.step("The daemon starts and senses what is there; nothing moves", began) as step:
            step.journal("machine.started")
            step.until(lambda: self._daemon.get("/v1/status")["bays"]["settling"] == 0, "every bay settled")
            step.until(self._play.witness.daemon_online, "the daemon reaching its cloud")
            step.never(Lane.COMMANDED, "unlock_frame")
            counts = self._daemon.get("/v1/status")["bays"]
            step.proves(f"{counts['total']} bays sensed: {counts['occupied']} occupied, {counts['empty']} empty")

    def _directory(self) -> None:
        with self._play.step("The operator tells the machine which cars there are") as step:
            assets = self._plant.get("/state")["assets"]
            step.ask("operator", f"directory of {len(assets)} assets with their tags")
            listed = [{"id": a["id"], "class": a["class"], "tags": [a["tag"]]} for a in assets]
            done = self._cloud.act("directory", put=listed)
            step.journal("instruction.outcome", done["instructions"][0], outcome="accepted")
            step.proves("the instruction got exactly one outcome")

    def _stocking(self) -> None:
        with self._play.step("A technician stocks the machine with vendingctl") as step:
            bays = self._plant.get("/state")["bays"]
            step.ask("technician", "vendingctl bays set BAY --asset ID or --empty")
            full, empty = (next(b for b in bays if bool(b["items"]) is there) for there in (True, False))
            step.ask("  set", f"{empty['id']} {full['items'][0]}")
            wrong = ["bays", "set", empty["id"], "--asset", full["items"][0], "--reason", "a slip"]
            self._play.vendingctl(*wrong, code=REFUSED)
            step.ask("  no", "its sensor says empty")
            for bay in bays:
                inside = ["--asset", bay["items"][0]] if bay["items"] else ["--empty"]
                step.ask("  set", f"{bay['id']} {bay['items'][0] if bay['items'] else 'empty'}")
                self._play.vendingctl("bays", "set", bay["id"], *inside, "--reason", "stocking")
                step.journal("bay.contents_set", bay["id"])
            step.never(Lane.COMMANDED, "pulse_on")
            step.proves(f"{len(bays)} bays; what a bay's own sensor contradicts is refused")

    # ------------------------------------------------ online
    def _anna_books(self) -> None:
        with self._play.step("Anna books a car in the app, Boris a van") as step:
            step.ask("Anna's app", "any car, from now, for three days")
            self._book(step, ANNA, **{"class": "car"})
            step.ask("Boris' app", "the van; it asks for pass and PIN")
            self._book(step, BORIS, **{"class": "van", "pin": PIN})
            for rental in (ANNA, BORIS):
                step.journal("rental.ready", rental)
            step.proves("both reservations are in the machine: from now on it can do without the cloud")

    def _book(self, step: Step, rental: str, **wanted: Any) -> None:
        self._cloud.act("put_reservation", rental=rental, window_from=-60, window_to=3600, **wanted)
        step.journal("rental.booked", rental)
        self._sign(rental)

    def _sign(self, rental: str, **claims: Any) -> str:
        signed = self._cloud.act("sign_pass", rental=rental, machine="demo-01", **claims)
        self._passes[rental] = str(signed["pass"])
        return self._passes[rental]

    def _anna_picks_up(self) -> None:
        if self._breaks is not None:
            self._breaks()
        with self._play.step("Anna shows her pass to the camera and takes the car that it opens for her") as step:
            self._show(step, "Anna", ANNA, via="camera")
            bay = step.journal("bay.unlock_authorised", purpose="release", rental=ANNA).where
            self._pick_up(step, "Anna", ANNA, bay)

    def _show(self, step: Step, who: str, rental: str, via: str) -> None:
        step.ask(who, f"shows the pass to the {via}")
        self._plant.act("show_code", terminal="front", text=self._passes[rental], via=via, seconds=1.5)

    def _pick_up(self, step: Step, who: str, rental: str, bay: str) -> None:
        step.opened_once(bay)
        step.see(Lane.SENSED, "bolt_released", bay)
        step.ask(who, f"opens {bay}, drives out, closes it")
        step.hand("open_door", bay=bay)
        step.screen("take_and_close")
        step.hand("take", bay=bay)
        step.hand("close_door", bay=bay)
        step.see(Lane.SENSED, "bolt_locked", bay)
        step.journal("bay.opened", bay)
        step.journal("rental.on_trip", rental)
        step.screen("enjoy")

    def _boris_picks_up(self) -> None:
        with self._play.step("Boris takes the van: a pass alone is not enough, nor is a wrong PIN") as step:
            self._show(step, "Boris", BORIS, via="scanner")
            step.screen("enter_pin")
            step.ask("Boris", "types a wrong PIN")
            self._plant.act("type", terminal="front", keys=f"{WRONG_PIN}#")
            step.journal("rental.pin_tried", BORIS)
            step.until(lambda: self._tries_left() == 4, "screen: a wrong PIN, 4 tries left")
            step.never(Lane.COMMANDED, "unlock_frame")
            step.ask("Boris", "types the right one")
            self._plant.act("type", terminal="front", keys=f"{PIN}#")
            opening = step.journal("bay.unlock_authorised", purpose="release", rental=BORIS)
            counted = step.journal("rental.pin_tried", BORIS, count=2)
            if counted.seq >= opening.seq:
                raise NotSeen("journalled: the second try before the opening that it earned")
            self._pick_up(step, "Boris", BORIS, opening.where)
            step.proves("both tries are in the journal, the second before the opening that it earned")

    def _tries_left(self) -> object:
        code, params = self._play.witness.screens["front"]
        return params.get("tries_left") if code == "enter_pin" and "because" in params else None

    # ------------------------------------------------ offline
    def _network_fails(self) -> None:
        with self._play.step("The network goes down. People keep coming") as step:
            step.ask("network", "every connection to the cloud breaks")
            self._play.online = False
            self._cloud.post("/faults", {"name": "down"})
            step.until(lambda: not self._play.witness.daemon_online(), "the daemon noticing that it is offline")
            step.proves("the daemon knows that it is offline, and goes on; its records wait in the journal")

    def _chen_picks_up(self) -> None:
        with self._play.step("Chen comes with a pass for a rental that this machine has never heard of") as step:
            self._sign(CHEN, **{"class": "car", "exp": 3600, "due": 3 * 86400})
            self._show(step, "Chen", CHEN, via="camera")
            step.journal("rental.booked", CHEN, source="pass")
            bay = step.journal("bay.unlock_authorised", purpose="release", rental=CHEN).where
            self._pick_up(step, "Chen", CHEN, bay)
            step.proves("the issuer's signature on the pass was enough, and the site demands no more for a car")

    def _anna_returns(self) -> None:
        with self._play.step("Anna brings her car back; her pass opens an empty bay") as step:
            self._show(step, "Anna", ANNA, via="scanner")
            bay = step.journal("bay.unlock_authorised", purpose="return", rental=ANNA).where
            self._bring_back(step, "Anna", ANNA, bay, "car-1")

    def _bring_back(self, step: Step, who: str, rental: str, bay: str, asset: str) -> None:
        step.opened_once(bay)
        step.ask(who, f"opens {bay}, puts {asset} in, closes it")
        step.hand("open_door", bay=bay)
        step.screen("put_and_close")
        step.hand("put", bay=bay, asset=asset)
        step.hand("close_door", bay=bay)
        step.see(Lane.SENSED, "tag_in_field")
        step.journal("rental.returned", rental, asset=asset, bay=bay)
        step.screen("thank_you")
        step.proves(f"{asset} was recognised by its own tag")

    def _van_returns(self) -> None:
        with self._play.step("A friend brings the van: no pass, only the return key and the van's own tag") as step:
            step.ask("friend", "presses the return key")
            self._plant.act("press_return", terminal="front")
            step.see(Lane.SENSED, "keys_typed", "pad")
            step.ask("friend", "holds the van's tag to the desk")
            self._plant.act("hold_tag", terminal="front", asset="van-1", seconds=1.0)
            bay = step.journal("bay.unlock_authorised", purpose="return", rental=BORIS).where
            self._bring_back(step, "friend", BORIS, bay, "van-1")

    def _forger(self) -> None:
        with self._play.step("Somebody shows a forged pass") as step:
            self._sign(NOBODY, **{"class": "car", "exp": 3600, "forge": "key"})
            self._show(step, "forger", NOBODY, via="scanner")
            refused = step.journal("credential.refused")
            step.screen("refused")
            step.never(Lane.COMMANDED, "unlock_frame")
            step.never(Lane.JOURNALLED, "bay.unlock_authorised")
            step.proves(f"refused ({refused.data['reason']}), and nothing moved; the screen gives no hint why")

    # ------------------------------------------------ online again
    def _network_back(self) -> None:
        witness = self._play.witness
        with self._play.step("The network comes back, and the cloud hears everything") as step:
            waiting = range(len(witness.post) + 1, witness.last_seq + 1)
            step.ask("network", f"is there again; {len(waiting)} records wait")
            self._cloud.post("/faults", {"name": "down", "on": False})
            step.until(lambda: not witness.waiting(), "cloud: every record that waited", BACK_ONLINE_S)
            self._play.online = True
            came = [seq for seq in witness.arrivals if seq in waiting]
            if came != list(waiting) or witness.gaps:
                raise NotSeen(f"cloud: {waiting} in order: {came}, gaps {witness.gaps}")
            first = witness.post[waiting[0]]
            witness.seen.append(Seen(Lane.CLOUD, first.at, "post", text=f"{waiting[0]}-{waiting[-1]}"))
            made = sum(witness.post[seq].offline for seq in came)
            again = sum(witness.post[seq].again for seq in came)
            twice = f", {again} came twice and were known by their ids" if again else ", each once"
            step.proves(f"records {waiting[0]} to {waiting[-1]} in order{twice}; {made} are marked as made offline")

    def _chen_buys(self) -> None:
        with self._play.step("Chen likes the car and buys it in the app") as step:
            step.ask("Chen's app", "buys the car")
            done = self._cloud.act("purchase", rental=CHEN)
            step.journal("rental.purchased", CHEN)
            step.journal("instruction.outcome", done["instruction"], outcome="accepted")
            step.proves("its rental is over, and the instruction got its one outcome")

    # ------------------------------------------------ the end
    def _books(self) -> None:
        witness = self._play.witness
        with self._play.step("The books are compared") as step:
            authorised = witness.count(lambda s: s.what == "bay.unlock_authorised" and s.lane is Lane.JOURNALLED)
            frames = witness.count(lambda s: s.what in ("unlock_frame", "opened_all"))
            pulses = witness.count(lambda s: s.what == "pulse_on")
            if not authorised == frames == pulses:
                counts = f"{authorised} authorised, {frames} frames, {pulses} pulses"
                raise NotSeen(f"one frame and one pulse for each authorisation: {counts}")
            step.proves(f"{authorised} openings authorised, {frames} unlock frames on the wire")
            step.all_received()
            if witness.arrivals != list(range(1, witness.last_seq + 1)):
                raise NotSeen(f"cloud: records 1 to {witness.last_seq} in order: {witness.arrivals}")
            step.proves(f"{witness.last_seq} records journalled, {len(witness.arrivals)} received in order")
            self._contents()
            step.proves("what the machine believes to be in each bay is what lies there")
            step.ask("technician", "vendingctl audit verify")
            self._play.vendingctl("audit", "verify")
            step.proves("the journal's chain of hashes holds")

    def _contents(self) -> None:
        """Raises NotSeen where belief and physics differ."""
        truth = {bay["id"]: bay["items"] for bay in self._plant.get("/state")["bays"]}
        belief = {bay["id"]: [bay["asset"]] if bay["asset"] else [] for bay in self._daemon.get("/v1/bays")["bays"]}
        if truth != belief:
            raise NotSeen(f"the same contents: there is {truth}, the machine believes {belief}")
