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
class EraseSecrets:
    """The rental's keys are gone from its row; whoever caches something of it drops it."""

    rental: str


Effect = Unlock | CloseGate | CheckPin | EraseSecrets
