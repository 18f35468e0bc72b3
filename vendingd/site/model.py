"""The site file's tables as models: keys, types, bounds, defaults. What they mean together is `load`'s.

The tables of devices are their drivers' options (`drivers.registry`). Values are taken strictly: TOML has
types, so "400" is no number. Descriptions go into the JSON Schema, the reference and the errors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NAME = r"[A-Za-z][A-Za-z0-9_-]*"
NAME_ONLY = re.compile(NAME)
N = r"\{n(?::0[1-9])?\}"  # replaced in tables that have n

DeviceName = Annotated[str, Field(pattern=rf"^{NAME}$", max_length=64)]
AssetClass = Annotated[str, Field(pattern=rf"^(?:[A-Za-z0-9_.-]|{N})+$", max_length=64)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
IdTemplate = Annotated[str, Field(pattern=rf"^(?:[A-Za-z0-9]|{N})(?:[A-Za-z0-9_.-]|{N})*$", max_length=64)]
Ref = Annotated[str, Field(pattern=rf"^[A-Za-z](?:[A-Za-z0-9_-]|{N})*(?::(?:[0-9]{{1,5}}|{N}))?$", max_length=80)]


class Table(BaseModel):
    """Base of the tables: an unknown key stops the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


# ---------------------------------------------------------------- the machine
class Clock(Table):
    """When the machine's own idea of the time is believed."""

    trust: Literal["kernel", "rtc", "assume"] = Field(
        default="kernel",
        description="kernel: once the kernel says that it is synchronised, and on for sixty days; rtc: also after a "
        "start with a plausible clock chip; assume: always, for containers and tests. See docs/trusted-time.md.",
    )


class Support(Table):
    """What customers are told where the machine cannot help them."""

    reference: str = Field(
        default="", max_length=200, description="Telephone number or address that customers are told."
    )


class Cloud(Table):
    """The operator's cloud. The directory of assets comes from it alone: without it nothing new can be stocked."""

    url: str = Field(
        description="Base address; https, or plain http to loopback only.", examples=["https://cloud.example"]
    )
    certificate: Path | None = Field(default=None, description="PEM file of this machine's certificate.")
    key: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    ca: Path | None = Field(default=None, description="PEM file of the authorities to trust; left out: the system's.")
    poll_wait_s: float = Field(
        default=25.0, ge=1, le=300, description="How long the cloud may hold a poll of the feed, seconds."
    )

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str) -> str:
        from vendingd.cloud.transport import checked_url

        try:
            return checked_url(url)
        except ValueError as no:
            raise ValueError(str(no).removeprefix("cloud: ")) from None

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if self.url.startswith("https:"):
            if self.certificate is None or self.key is None:
                raise ValueError("https wants certificate and key, by which the cloud knows this machine: add both")
        elif self.certificate or self.key or self.ca:
            raise ValueError("certificates are given but url is plain http: write https://")
        return self


class Identity(Table):
    """Whose passes are accepted."""

    keys: Path | None = Field(
        default=None, description="JWKS file of the pass issuers' public keys that are trusted from the first start."
    )
    issuer: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Issuer that every pass must name; left out: any with a known key.",
    )
    badge_key: Path | None = Field(
        default=None,
        description="File with the site's key for badges: 32 bytes in base64, readable by the daemon alone. Badges are "
        "known by their hash under it, to this machine and to the cloud.",
    )


class Policies(Table):
    """What a person must show at least."""

    least: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='By asset class ("*": the rest), alternatives of combinations of factors such as "pass+pin".',
        examples=[{"car": ["pass+pin", "pass+live-face"]}],
    )


class Pin(Table):
    """How PINs are judged."""

    timeout_s: float = Field(
        default=10.0, ge=1, le=60, description="A key derivation that takes longer counts as not judged, seconds."
    )


class Sensing(Table):
    """How levels become facts: a level counts once it has held for so long."""

    contact_ms: int = Field(default=30, ge=0, le=2000, description="Doors, bolts, buttons, e-stop and housing, ms.")
    occupancy_ms: int = Field(
        default=1500,
        ge=0,
        le=30_000,
        description="Presence sensors: a place counts as occupied or empty after this, ms.",
    )


class Timing(Table):
    """Every duration and limit of the rules."""

    claim_s: float = Field(
        default=120.0, ge=1, le=3000, description="A claim ends, the pass unspent, after this, seconds."
    )
    open_timeout_s: float = Field(
        default=15.0, ge=0.5, le=600, description="An unlocked door not opened by then is not opened, seconds."
    )
    warn_open_s: float = Field(
        default=60.0, ge=0.5, le=3000, description="The customer is asked to close the door after this, seconds."
    )
    held_open_s: float = Field(
        default=120.0, ge=0.5, le=3000, description="An open door is an alarm (held_open) after this, seconds."
    )
    settle_s: float = Field(
        default=2.0, ge=0, le=60, description="After the door closed, what is inside counts after this, seconds."
    )
    identify_s: float = Field(
        default=3.0, ge=0, le=60, description="A tag inside is waited for this long after settling, seconds."
    )
    lapse_s: float = Field(
        default=60.0,
        ge=0,
        le=3000,
        description="Where there is no bolt sensor, a late opening still belongs to its rental, seconds.",
    )
    reopen_s: float = Field(
        default=300.0, ge=0, le=3000, description="After a return its holder may open the bay again, seconds."
    )
    return_ask_s: float = Field(
        default=30.0, ge=1, le=600, description="A tag starts a return so long after the return key, seconds."
    )
    farewell_s: float = Field(
        default=10.0, ge=0.1, le=120, description="The last word to a customer stays on the screen, seconds."
    )
    choose_s: float = Field(
        default=60.0, ge=1, le=600, description="A choice not made by then ends the visit, seconds."
    )
    slow_max_s: float = Field(
        default=30.0, ge=0, le=30, description="A terminal is slowed by failures by this at most, seconds."
    )
    pass_leeway_s: float = Field(
        default=60.0, ge=0, le=600, description="A pass's window is widened by this at both ends, seconds."
    )
    command_age_s: float = Field(
        default=60.0, ge=1, le=600, description="A remote command older than this is stale, seconds."
    )
    unlock_life_s: float = Field(
        default=5.0,
        ge=0.1,
        le=30,
        description="An unlock that has not left by then after its commit never does, seconds.",
    )
    erase_after_due_s: float = Field(
        default=7 * 86400.0,
        ge=0,
        le=366 * 86400,
        description="PIN verifiers and templates are erased no later than this after the due time, seconds.",
    )
    face_s: float = Field(
        default=15.0, ge=3, le=60, description="A face that was not compared by then is not judged, seconds."
    )
    max_attempts: int = Field(default=5, ge=1, le=100, description="Wrong tries after which a rental is locked out.")
    max_face_attempts: int = Field(
        default=3, ge=1, le=10, description="Tries of a face after which another factor is asked for."
    )
    max_openings: int = Field(
        default=4, ge=1, le=100, description="The opening without taking that is an incident, counted from one."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn_open_s > self.held_open_s:
            raise ValueError(
                f"warn_open_s ({self.warn_open_s:g}) is over held_open_s ({self.held_open_s:g}): warn before the alarm"
            )
        return self


class Gpio(Table):
    """Where GPIO lines are."""

    factory: str = Field(
        default="lgpio", min_length=1, description="Pin factory, any entry point of gpiozero_pin_factories."
    )
    chip: int = Field(
        default=0, ge=0, le=255, description="Number of the gpiochip (gpiodetect lists them); for lgpio only."
    )


class Api(Table):
    """The local socket, for vendingctl and screens."""

    group: str = Field(
        default="vendingd-tech",
        pattern=r"^([a-z_][a-z0-9_-]{0,31})?$",
        description="Unix group of technicians; empty: only root and the daemon's own user.",
    )
    kiosk_group: str = Field(
        default="vendingd-kiosk",
        pattern=r"^([a-z_][a-z0-9_-]{0,31})?$",
        description="Unix group of the screen's user, which may do what a customer may; empty: none.",
    )


class Journal(Table):
    """The records on the machine's own disk."""

    keep_days: float = Field(
        default=400.0,
        ge=0,
        le=36500,
        description="Records younger than this stay on the machine, even where the cloud has signed that it holds "
        "them, days.",
    )


class Input(Table):
    """One input of the whole machine."""

    input: Annotated[str, Field(pattern=rf"^{NAME}(?::[0-9]{{1,5}})?$")] = Field(
        description="device:channel; `:1` may be left out.", examples=["estop:1"]
    )


# ---------------------------------------------------------------- places
class Repeated(Table):
    """A table that may stand for many."""

    n: tuple[Annotated[int, Field(ge=0, le=99_999)], Annotated[int, Field(ge=0, le=99_999)]] | None = Field(
        default=None,
        description="[first, last]: the table is repeated for each n, {n} (or {n:02}) replaced in its strings.",
        examples=[[1, 8]],
    )

    @model_validator(mode="after")
    def _n_fits(self) -> Self:
        if self.n is not None and not 0 <= self.n[1] - self.n[0] < 10_000:
            raise ValueError(f"n = [{self.n[0]}, {self.n[1]}]: want [first, last], first not over last, at most 10000")
        if self.n is None and (left := next((text for text in _strings(self) if "{n" in text), None)):
            raise ValueError(f"{left!r} has {{n}}, but the table has no n: add n = [first, last]")
        return self


def _strings(table: Table) -> list[str]:
    found: list[str] = []
    for name in type(table).model_fields:
        value: Any = getattr(table, name)
        found += [value] if isinstance(value, str) else value if isinstance(value, tuple) and name != "n" else []
    return found


class BayTable(Repeated):
    """A place for one asset, behind a door of its own."""

    id: IdTemplate = Field(description="Name of the bay, on labels and in every record.", examples=["bay-{n}"])
    fits: tuple[AssetClass, ...] = Field(
        min_length=1, description="Asset classes that it can hold.", examples=[["car"]]
    )
    lock: Ref = Field(description="device:channel that unlocks it; `:1` may be left out.", examples=["locks:{n}"])
    door: Ref | None = Field(
        default=None, description="Door sensor; left out: the lock's feedback, if it senses the door."
    )
    bolt: Ref | None = Field(
        default=None, description="Bolt sensor; left out: the lock's feedback, if it senses the bolt."
    )
    presence: Ref | None = Field(default=None, description="Sensor of whether something is inside.")
    tag: Ref | None = Field(default=None, description="Reader of the tag of the asset inside.")
    gate: bool = Field(default=False, description="The lock is the operator of a powered gate.")


class TerminalTable(Repeated):
    """Where a person stands: readers, keypad, screen."""

    id: IdTemplate = Field(description="Name of the terminal.", examples=["front"])
    codes: tuple[Ref, ...] = Field(
        default=(), description="Devices that read codes: scanners, cameras.", examples=[["scanner"]]
    )
    keypad: Ref | None = Field(default=None, description="Keypad, for PINs and choices (device:channel).")
    return_key: Ref | None = Field(default=None, description="Button that starts a return (device:channel).")
    tag: Ref | None = Field(default=None, description="Tag reader for returns by the asset's own tag (device:channel).")
    badge: Ref | None = Field(
        default=None, description="Reader of badges, cards and wristbands (device:channel); wants [identity] badge_key."
    )
    face: Ref | None = Field(default=None, description="Device that looks at who stands here and compares faces.")
    screen: bool = Field(
        default=True, description="A screen serves it through the local API, and can send codes and digits."
    )


class Device(BaseModel):
    """One device: `driver`, and the options of that driver."""

    model_config = ConfigDict(extra="allow", frozen=True)

    driver: str = Field(description="Name of the driver.")


# ---------------------------------------------------------------- the file
class Head(Table):
    """Everything but devices and places."""

    version: Literal[1] = Field(alias="schema", description="Version of this format: 1.")
    machine: Id = Field(description="Name of the machine, as the cloud and passes know it.")
    site: Id = Field(description="Name of the site, the audience of passes for a named asset.")
    clock: Clock = Field(default_factory=Clock)
    support: Support = Field(default_factory=Support)
    cloud: Cloud | None = None
    identity: Identity = Field(default_factory=Identity)
    policy: Policies = Field(default_factory=Policies)
    pin: Pin = Field(default_factory=Pin)
    timing: Timing = Field(default_factory=Timing)
    sensing: Sensing = Field(default_factory=Sensing)
    gpio: Gpio | None = None
    api: Api = Field(default_factory=Api)
    journal: Journal = Field(default_factory=Journal)
    estop: Input | None = None
    tamper: Input | None = None
