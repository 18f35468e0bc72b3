"""What is to be done once a step is durable. Data only; the executor turns each into exactly one outcome event."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unlock:
    """One pulse to one bay's lock under one grant; expires (`unlock_life_s` after the commit)."""

    bay: str
    grant: str


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Ask a powered gate's operator to close."""

    bay: str


@dataclass(frozen=True, slots=True)
class CheckPin:
    """Compare digits with a sealed verifier, in a worker."""

    terminal: str
    visit: int
    rental: str
    sealed: str = field(repr=False)
    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckFace:
    """Compare who stands at a terminal with a sealed template, from now on; `look` counts within the visit."""

    terminal: str
    visit: int
    look: int
    rental: str
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StopFace:
    """Whoever was looked at is gone, or served: the camera looks away. Nothing is told."""

    terminal: str
    visit: int
    look: int


@dataclass(frozen=True, slots=True)
class EraseSecrets:
    """The rental's keys are gone from its row; whoever keeps something of it drops it.

    `face` is the sealed template, where a device itself may keep what it speaks of.
    """

    rental: str
    face: str | None = field(default=None, repr=False)


Effect = Unlock | CloseGate | CheckPin | CheckFace | StopFace | EraseSecrets
