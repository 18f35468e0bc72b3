"""What every factor beside the pass looks like to the rest: the place where faces and badges attach.

A factor is enrolled by something that the reservation brings (a PIN's verifier, a face's template), kept
sealed in the rental's row, and verified by something that the person presents. Which factors are asked for
is `fsm.policy`'s; what a finding does to a visit, and the counting of attempts, is the domain's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar


class Finding(StrEnum):
    VERIFIED = "verified"
    WRONG = "wrong"  # compared, and not the same: an attempt
    UNAVAILABLE = "unavailable"  # nothing was compared: no attempt, another factor or a technician is needed


class Liveness(StrEnum):
    """How a face is known to be a living one; belongs into the record of the verification."""

    NONE = "none"
    CHALLENGE = "challenge"
    HARDWARE = "hardware"


@dataclass(frozen=True, slots=True)
class FactorResult:
    """`detail` is for technicians, `hint` a code that the screen turns into a word ("come closer"), `why` one for the
    record. Nothing secret.
    """

    finding: Finding
    detail: str = ""
    hint: str = ""
    liveness: Liveness = Liveness.NONE
    why: str = ""


Presented_contra = TypeVar("Presented_contra", contravariant=True)


class FactorVerifier(Protocol[Presented_contra]):
    """One kind of factor. `Presented_contra` is what a person gives: digits for a PIN, frames for a face."""

    @property
    def factor(self) -> str:
        """The factor's word in policies, one of `fsm.policy.KNOWN`."""
        ...

    def enrol(self, rental: str, wire: object) -> str:
        """Judge what the reservation brought (decoded JSON) and seal it for the rental's row.

        Raises ValueError naming the defective member: the reservation is then answered `malformed`.
        """
        ...

    async def verify(self, rental: str, enrolled: str, presented: Presented_contra) -> FactorResult:
        """Compare. Raises only on cancellation; whatever keeps it from comparing is UNAVAILABLE."""
        ...
