"""Who has the asset now: the one place where custody is decided, live and in recovery alike.

`judge` looks at what the sensors say of a closed bay (or an open one past its deadline) and at what was granted.
It decides; the bay's table acts on it. Unknown means that an installed sensor does not answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fsm.model import Bay, BaySpec, Grant, Occupancy, Purpose, Sensed


class Word(StrEnum):
    """What became of the expected asset, and of the bay's contents."""

    TAKEN = "taken"
    NOT_TAKEN = "not_taken"
    CAME_BACK = "came_back"
    LEFT_EMPTY = "left_empty"
    UNSURE = "unsure"
    UNCHANGED = "unchanged"  # a technician's or nobody's opening changed nothing
    GONE = "gone"  # the asset believed inside is not, and no rental took it


@dataclass(frozen=True, slots=True)
class Verdict:
    word: Word
    inside: str | None  # the asset now believed inside
    occupancy: Occupancy
    found: str | None = None  # another known asset turned up here
    stranger: bool = False  # something unidentified is inside
    unsensed: bool = False  # no presence sensor said so
    wait_tag: bool = False  # occupied, the reader has not seen a tag yet: a little patience may tell


def judge(grant: Grant, bay: Bay, spec: BaySpec, sensed: Sensed, tagged: str | None) -> Verdict:
    """`tagged`: the directory's asset of the tag in the field, None for no tag or one nobody knows."""
    releasing = grant.purpose in (Purpose.RELEASE, Purpose.REOPEN)
    if not spec.presence:
        return _without_presence(grant, bay, spec, sensed, tagged)
    if sensed.presence is None:
        return Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN)
    if not sensed.presence:
        return _empty(grant, bay)
    # something is inside: which?
    if not spec.tag:
        if releasing and bay.asset != grant.asset:  # that one is known to be elsewhere by now
            return Verdict(Word.UNSURE, None, Occupancy.OCCUPIED, stranger=True)
        if releasing:
            return Verdict(Word.NOT_TAKEN, bay.asset, Occupancy.OCCUPIED)
        if grant.purpose is Purpose.RETURN and grant.asset is None:  # of a class, and nobody knows which it is
            return Verdict(Word.UNSURE, None, Occupancy.OCCUPIED, stranger=True)
        if grant.purpose is Purpose.RETURN:
            return Verdict(Word.CAME_BACK, grant.asset, Occupancy.OCCUPIED)
        if bay.asset is not None:
            return Verdict(Word.UNCHANGED, bay.asset, Occupancy.OCCUPIED)
        return Verdict(Word.UNCHANGED, None, Occupancy.OCCUPIED, stranger=True)
    if not sensed.tag_known:
        return Verdict(Word.UNSURE, bay.asset, Occupancy.OCCUPIED)
    return _tagged(grant, bay, sensed, tagged)


def _without_presence(grant: Grant, bay: Bay, spec: BaySpec, sensed: Sensed, tagged: str | None) -> Verdict:
    if spec.tag and sensed.tag_known and sensed.tag is not None:
        return _tagged(grant, bay, sensed, tagged)  # a tag in the field is a presence of its own
    if grant.purpose in (Purpose.RELEASE, Purpose.REOPEN):
        if grant.opened:
            return Verdict(Word.TAKEN, None, Occupancy.EMPTY, unsensed=True)
        return Verdict(Word.NOT_TAKEN, bay.asset, bay.occupancy, unsensed=True)
    if grant.purpose is Purpose.RETURN:
        if spec.tag and not sensed.tag_known:
            return Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN)
        if spec.tag:
            return Verdict(Word.LEFT_EMPTY, None, Occupancy.EMPTY, unsensed=True, wait_tag=True)
        if grant.opened:
            return Verdict(Word.CAME_BACK, grant.asset, Occupancy.OCCUPIED, unsensed=True)
        return Verdict(Word.LEFT_EMPTY, None, Occupancy.EMPTY, unsensed=True)
    if grant.purpose is Purpose.FORCED:
        return Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN)
    return Verdict(Word.UNCHANGED, bay.asset, bay.occupancy, unsensed=True)


def _empty(grant: Grant, bay: Bay) -> Verdict:
    if grant.purpose in (Purpose.RELEASE, Purpose.REOPEN):
        return Verdict(Word.TAKEN, None, Occupancy.EMPTY)
    if grant.purpose is Purpose.RETURN:
        return Verdict(Word.LEFT_EMPTY, None, Occupancy.EMPTY)
    if bay.asset is not None:
        return Verdict(Word.GONE, None, Occupancy.EMPTY)
    return Verdict(Word.UNCHANGED, None, Occupancy.EMPTY)


def _tagged(grant: Grant, bay: Bay, sensed: Sensed, tagged: str | None) -> Verdict:
    """Something with a tag reader's word on it is inside."""
    full = Occupancy.OCCUPIED
    if grant.purpose in (Purpose.RELEASE, Purpose.REOPEN):
        if tagged is None:
            return Verdict(Word.UNSURE, None, full, stranger=True, wait_tag=sensed.tag is None)
        if tagged == grant.asset:
            return Verdict(Word.NOT_TAKEN, tagged, full)
        return Verdict(Word.TAKEN, tagged, full, found=tagged)
    if grant.purpose is Purpose.RETURN:
        if tagged is None:
            return Verdict(Word.UNSURE, None, full, stranger=True, wait_tag=sensed.tag is None)
        if grant.asset is None or tagged == grant.asset:
            return Verdict(Word.CAME_BACK, tagged, full)
        return Verdict(Word.LEFT_EMPTY, tagged, full, found=tagged)
    if tagged is None:
        word = Word.UNCHANGED if bay.asset is None else Word.GONE
        return Verdict(word, None, full, stranger=True, wait_tag=sensed.tag is None)
    if tagged == bay.asset:
        return Verdict(Word.UNCHANGED, tagged, full)
    return Verdict(Word.UNCHANGED if bay.asset is None else Word.GONE, tagged, full, found=tagged)
