"""From the JSON of one instruction to its typed value, or to `Malformed` with the member that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vendingd.cloud.fields import (
    FieldError,
    Fields,
    base64url,
    flag,
    ident,
    matching,
    printable,
    seconds,
    text,
    utc,
    whole,
)
from vendingd.cloud.instructions import (
    Anchor,
    AttemptsReset,
    CancelReservation,
    CommandAvailability,
    CommandUnlock,
    DirectoryAsset,
    DirectoryPut,
    DirectoryRemove,
    Extend,
    FaceTemplate,
    Instruction,
    Jwk,
    KeysPut,
    Malformed,
    PassesRevoke,
    PinVerifier,
    Purchased,
    PutReservation,
    ReturnedElsewhere,
)

FACTORS = frozenset({"pass", "pin", "face", "live-face", "badge", "authoriser"})
FACE_BYTES = 16 * 1024  # of a template as JSON

_version = whole(1, 2**53 - 1)
_kid = matching(r"[^\x00-\x1f]{1,64}", "a key id of 1 to 64 characters")
_tag = matching(r"([0-9A-Fa-f]{2}){2,32}", "a tag of 2 to 32 bytes in hex")
_badge = matching(r"[A-Za-z0-9_-]{43}", "a badge's hash of 32 bytes in base64url without padding")
_hash = matching(r"[0-9a-f]{64}", "a SHA-256 in lower-case hex")
_epoch = matching(r"[A-Za-z0-9_-]{1,64}", "an epoch's name")


def parse(raw: bytes | msgspec.Raw, fallback_id: str) -> Instruction:
    """One instruction of a feed. Never raises for what is in it.

    `fallback_id` names it in its outcome where it has no readable id of its own.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return Malformed(fallback_id, "instruction: is no JSON")
    return from_value(value, fallback_id)


def from_value(value: object, fallback_id: str) -> Instruction:
    ident_, kind = fallback_id, ""
    try:
        fields = Fields(value)
        ident_ = fields.take("id", ident)
        kind = fields.take("kind", text)
        reader = _READERS.get(kind)
        if reader is None:
            return Malformed(ident_, f"kind: {printable(kind)!r} is not known here", printable(kind))
        instruction = reader(ident_, fields)
        fields.done()
    except FieldError as error:
        return Malformed(ident_, str(error), printable(kind))
    return instruction


def _put_reservation(id_: str, fields: Fields) -> PutReservation:
    version = fields.take("version", _version)
    rental = fields.take("rental", lambda v: Fields(v, "rental"))
    name = rental.take("id", ident)
    holder, asset = rental.maybe("holder", ident), rental.maybe("asset", ident)
    asset_class = rental.maybe("class", ident)
    if asset is None and asset_class is None:
        raise rental.fail("asset", "is missing, and so is class: one of them is expected")
    if asset is not None and asset_class is not None:
        raise rental.fail("asset", "stands beside class: one of them is expected")
    window_from, window_to = rental.take("window_from", utc), rental.take("window_to", utc)
    due = rental.take("due", utc)
    if window_to <= window_from:
        raise rental.fail("window_to", "is not after window_from")
    if due <= window_from:
        raise rental.fail("due", "is not after window_from")
    demands = rental.items("demands", _combination, 16) if rental.has("demands") else None
    pin = rental.maybe("pin", _pin)
    face = rental.maybe("face", _face)
    badges = rental.items("badges", _badge, 8) if rental.has("badges") else ()
    if demands is not None and pin is None and all("pin" in d.split("+") for d in demands):
        raise rental.fail("pin", "is missing, and demands ask for it in every alternative")
    pass_exp = rental.maybe("pass_exp", utc)
    rental.done()
    return PutReservation(
        id=id_,
        version=version,
        rental=name,
        window_from=window_from,
        window_to=window_to,
        due=due,
        holder=holder,
        asset=asset,
        asset_class=asset_class,
        demands=demands,
        pin=pin,
        face=face,
        badges=badges,
        pass_exp=pass_exp,
    )


def _combination(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("factors joined by + are expected")
    factors = value.split("+")
    for factor in factors:
        if factor not in FACTORS:
            raise ValueError(f"{printable(factor, 20)!r} is no factor that is known here")
    if len(set(factors)) != len(factors):
        raise ValueError("a factor is given twice")
    return value


def _pin(value: Any) -> PinVerifier:
    fields = Fields(value, "rental.pin")
    fields.take("alg", matching("argon2id", "argon2id"))
    salt, digest = fields.take("salt", base64url(8, 64)), fields.take("hash", base64url(16, 64))
    # bounds of what one check may cost the machine, and of what a stolen verifier is worth
    m, t, p = (fields.take(k, whole(*r)) for k, r in (("m", (7168, 262144)), ("t", (1, 16)), ("p", (1, 8))))
    if not 35840 <= m * t <= 1048576:
        raise fields.fail("m", "times t is not from 35840 to 1048576")
    fields.done()
    return PinVerifier(salt, digest, m, t, p)


def _face(value: Any) -> FaceTemplate:
    """Its members are the device's to judge; which device that is, its format says."""
    fields = Fields(value, "rental.face")
    fmt = fields.take("fmt", matching(r"[a-z0-9][a-z0-9-]{0,63}", "a template's format"))
    text = msgspec.json.encode(value).decode()
    if len(text) > FACE_BYTES:
        raise fields.fail("fmt", f"is of a template of more than {FACE_BYTES} bytes")
    return FaceTemplate(fmt, text)


def _cancel(id_: str, fields: Fields) -> CancelReservation:
    return CancelReservation(id_, fields.take("rental", ident), fields.take("version", _version))


def _extend(id_: str, fields: Fields) -> Extend:
    return Extend(id_, fields.take("rental", ident), fields.take("version", _version), fields.take("due", utc))


def _purchased(id_: str, fields: Fields) -> Purchased:
    return Purchased(id_, fields.take("rental", ident), fields.take("version", _version))


def _returned_elsewhere(id_: str, fields: Fields) -> ReturnedElsewhere:
    return ReturnedElsewhere(
        id_, fields.take("rental", ident), fields.take("version", _version), fields.take("machine", ident)
    )


def _attempts_reset(id_: str, fields: Fields) -> AttemptsReset:
    return AttemptsReset(id_, fields.take("rental", ident))


def _unlock(id_: str, fields: Fields) -> CommandUnlock:
    # a missing age is no malformed command but a stale one: so says the machine's own rule
    return CommandUnlock(id_, fields.take("bay", ident), fields.take("reason", text), fields.maybe("age_s", seconds))


def _availability(id_: str, fields: Fields) -> CommandAvailability:
    return CommandAvailability(
        id_, fields.maybe("bay", ident), fields.take("in_service", flag), fields.take("reason", text)
    )


def _directory_put(id_: str, fields: Fields) -> DirectoryPut:
    assets: list[DirectoryAsset] = []
    names: set[str] = set()
    tags: set[str] = set()
    for n, value in enumerate(fields.array("assets", 1000)):
        entry = Fields(value, f"assets[{n}]")
        asset = DirectoryAsset(
            entry.take("id", ident),
            entry.take("class", ident),
            entry.items("tags", lambda v: _tag(v).upper(), 32, least=0),
            entry.maybe("rental", ident),
            entry.items("authorisers", _badge, 64) if entry.has("authorisers") else (),
        )
        entry.done()
        if asset.id in names:
            raise entry.fail("id", "is given twice")
        if tags & set(asset.tags):
            raise entry.fail("tags", "a tag is given to two assets")
        names.add(asset.id)
        tags.update(asset.tags)
        assets.append(asset)
    return DirectoryPut(id_, tuple(assets))


def _directory_remove(id_: str, fields: Fields) -> DirectoryRemove:
    return DirectoryRemove(id_, fields.items("assets", ident, 1000))


def _keys_put(id_: str, fields: Fields) -> KeysPut:
    keys: dict[str, Jwk] = {}
    for n, value in enumerate(fields.array("keys", 64)):
        key = _jwk(value, f"keys[{n}]")
        if key.kid in keys:
            raise FieldError(f"keys[{n}].kid: is given twice")
        keys[key.kid] = key
    return KeysPut(id_, tuple(keys.values()))


def _jwk(value: object, path: str) -> Jwk:
    fields = Fields(value, path)
    coordinate = base64url(32, 32)
    kid, kty, crv = fields.take("kid", _kid), fields.take("kty", text), fields.take("crv", text)
    x, y = fields.take("x", coordinate), None
    if (kty, crv) == ("EC", "P-256"):
        y = fields.take("y", coordinate)
    elif (kty, crv) != ("OKP", "Ed25519"):
        raise fields.fail("crv", "only OKP with Ed25519 and EC with P-256 are known here")
    retired, not_before = fields.maybe("retired", flag), fields.maybe("not_before", utc)
    fields.done()
    as_it_came = msgspec.json.encode(value).decode()
    return Jwk(kid, kty, crv, x, y, bool(retired), not_before, as_it_came)


def _revoke(id_: str, fields: Fields) -> PassesRevoke:
    return PassesRevoke(id_, fields.items("rentals", ident, 1000))


def _anchor(id_: str, fields: Fields) -> Anchor:
    return Anchor(
        id_,
        fields.take("epoch", _epoch),
        fields.take("seq", whole(1, 2**31 - 1)),
        fields.take("hash", _hash),
        fields.take("kid", _kid),
        fields.take("signature", base64url(64, 64)),
    )


_READERS: Mapping[str, Callable[[str, Fields], Instruction]] = {
    "reservation.put": _put_reservation,
    "reservation.cancel": _cancel,
    "rental.extend": _extend,
    "rental.purchased": _purchased,
    "rental.returned_elsewhere": _returned_elsewhere,
    "rental.attempts_reset": _attempts_reset,
    "command.unlock": _unlock,
    "command.availability": _availability,
    "directory.put": _directory_put,
    "directory.remove": _directory_remove,
    "keys.put": _keys_put,
    "passes.revoke": _revoke,
    "journal.anchor": _anchor,
}
