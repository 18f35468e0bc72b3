"""What the control socket can make the cloud do. ValueError is the caller's mistake."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any

from hw_sim.cloud import passes
from hw_sim.cloud.book import Book, Booking
from hw_sim.cloud.keys import b64url
from hw_sim.cloud.receipts import Receipts
from hw_sim.cloud.times import posix, rfc3339

Json = dict[str, Any]
_TIMES = ("window_from", "window_to", "due", "pass_exp")
_DAY_S = 86400.0


class Acts:
    """`seen` gives the machines that have called, `keys_changed` writes the published keys."""

    def __init__(
        self,
        book: Book,
        receipts: Receipts,
        issuer: str,
        seen: Callable[[], list[str]],
        keys_changed: Callable[[], None],
    ) -> None:
        self._book, self._receipts, self._issuer = book, receipts, issuer
        self._seen, self._keys_changed = seen, keys_changed
        self.names: Mapping[str, Callable[[Json], Json]] = {
            "put_reservation": self.put_reservation,
            "badge_key": self.badge_key,
            "cancel": self.cancel,
            "extend": self.extend,
            "purchase": self.purchase,
            "returned_elsewhere": self.returned_elsewhere,
            "unlock_attempts": self.unlock_attempts,
            "command": self.command,
            "directory": self.directory,
            "revoke": self.revoke,
            "rotate_key": self.rotate_key,
            "sign_pass": self.sign_pass,
            "anchor": self.anchor,
            "raw": self.raw,
        }

    def do(self, body: Mapping[str, Any]) -> Json:
        args = dict(body)
        name = args.pop("do", None)
        act = self.names.get(str(name))
        if act is None:
            raise ValueError(f"do: one of {', '.join(self.names)}, not {name!r}")
        out = act(args)
        if args:
            raise ValueError(f"{name}: {sorted(args)[0]} is not known (the act was done)")
        return out

    # ------------------------------------------------ reservations
    def put_reservation(self, args: Json) -> Json:
        """A new reservation, or with a known `rental` a changed one: what is not given stays."""
        now = time.time()
        rental = args.pop("rental", None) or self._book.new_rental_id()
        old = self._book.bookings.get(rental)
        put: Json = dict(old.put) if old else {"id": rental}
        if old is None:
            put |= {
                "window_from": rfc3339(now - 60),
                "window_to": rfc3339(now + 4 * 3600),
                "due": rfc3339(now + 3 * _DAY_S),
            }
        for name in _TIMES:
            if name in args:
                put[name] = rfc3339(posix(args.pop(name), now))
        for name in ("holder", "asset", "class", "demands", "face", "badges"):
            if name in args:
                put[name] = args.pop(name)
        if "badge" in args:  # as it is read; the wire has its hash
            put["badges"] = [self._book.badge(args.pop("badge"))]
        for name in [name for name, value in put.items() if value is None]:
            del put[name]
        pin = args.pop("pin", None)
        params = {k: args.pop(f"pin_{k}") for k in ("m", "t", "p") if f"pin_{k}" in args}
        if pin is not None:
            put["pin"] = self._book.verifier(str(pin), **params)
            put.setdefault("demands", ["pass+pin"])
        machine = args.pop("machine", old.machine if old else None)
        version = args.pop("version", None) or self._book.next_version(rental)
        self._book.bookings[rental] = Booking(put, version, machine, pin=pin or (old.pin if old else None))
        wire = dict(put)
        wire |= args.pop("override", {})
        for name in args.pop("omit", []):
            wire.pop(name, None)
        instruction = self._book.add({"kind": "reservation.put", "version": version, "rental": wire}, machine)
        return {"instruction": instruction, "rental": rental, "version": version, "put": wire}

    def _about(self, args: Json, kind: str, **more: Any) -> Json:
        """An instruction about a rental; the rental need not be one of this cloud's."""
        rental = args.pop("rental")
        booking = self._book.bookings.get(rental)
        version = args.pop("version", None) or self._book.next_version(rental)
        machine = args.pop("machine", booking.machine if booking else None)
        body = {"kind": kind, "rental": rental, "version": version, **more}
        return {"instruction": self._book.add(body, machine), "rental": rental, "version": version}

    def _mark(self, args: Json, state: str) -> None:
        booking = self._book.bookings.get(_needed(args, "rental"))
        if booking is not None:
            booking.state = state

    def cancel(self, args: Json) -> Json:
        self._mark(args, "cancelled")
        return self._about(args, "reservation.cancel")

    def extend(self, args: Json) -> Json:
        due = rfc3339(posix(_take(args, "due")))
        booking = self._book.bookings.get(_needed(args, "rental"))
        if booking is not None:
            booking.put["due"] = due
        return self._about(args, "rental.extend", due=due)

    def purchase(self, args: Json) -> Json:
        self._mark(args, "purchased")
        return self._about(args, "rental.purchased")

    def returned_elsewhere(self, args: Json) -> Json:
        self._mark(args, "returned_elsewhere")
        return self._about(args, "rental.returned_elsewhere", **{"machine": _take(args, "at")})

    def unlock_attempts(self, args: Json) -> Json:
        body = {"kind": "rental.attempts_reset", "rental": _take(args, "rental")}
        return {"instruction": self._book.add(body, args.pop("machine", None))}

    # ------------------------------------------------ commands, directory, keys
    def command(self, args: Json) -> Json:
        """kind unlock {bay, reason, age_s, no_age} or availability {bay?, in_service, reason}."""
        kind, machine = _take(args, "kind"), args.pop("machine", None)
        body: Json = {"kind": f"command.{kind}", "reason": args.pop("reason", "asked by the operator")}
        if "bay" in args:
            body["bay"] = args.pop("bay")
        if kind == "unlock":
            age = None if args.pop("no_age", False) else float(args.pop("age_s", 0.0))
            return {"instruction": self._book.add(body, machine, age)}
        if kind == "availability":
            return {"instruction": self._book.add(body | {"in_service": _take(args, "in_service")}, machine)}
        raise ValueError("kind: unlock or availability")

    def directory(self, args: Json) -> Json:
        """put: assets {id, class, tags, rental?, authorisers?} and remove: ids, either or both.

        `authorisers` are badges as they are read; the wire has their hashes.
        """
        machine, ids = args.pop("machine", None), []
        if put := args.pop("put", []):
            for asset in put:
                if "authorisers" in asset:
                    asset["authorisers"] = [self._book.badge(one) for one in asset["authorisers"]]
            self._book.put_assets(put)
            assets = [self._book.directory[a["id"]] for a in put]
            ids.append(self._book.add({"kind": "directory.put", "assets": assets}, machine))
        if remove := args.pop("remove", []):
            self._book.remove_assets(remove)
            ids.append(self._book.add({"kind": "directory.remove", "assets": remove}, machine))
        if not ids:
            raise ValueError("directory: put or remove is expected")
        return {"instructions": ids}

    def revoke(self, args: Json) -> Json:
        rentals = args.pop("rentals", None) or [_take(args, "rental")]
        self._book.revoked.extend(r for r in rentals if r not in self._book.revoked)
        body = {"kind": "passes.revoke", "rentals": rentals}
        return {"instruction": self._book.add(body, args.pop("machine", None))}

    def rotate_key(self, args: Json) -> Json:
        """A new signing key {alg, not_before, retire: true}; `publish` false keeps it from the machines."""
        ring = self._book.keyring
        before = rfc3339(posix(args.pop("not_before"))) if "not_before" in args else None
        old, new = ring.current, ring.add(args.pop("alg", "EdDSA"), before)
        old.retired = bool(args.pop("retire", True))
        out: Json = {"kid": new.kid, "retired": old.kid if old.retired else None}
        if args.pop("publish", True):
            body = {"kind": "keys.put", "keys": [old.jwk(), new.jwk()]}
            out["instruction"] = self._book.add(body, args.pop("machine", None))
        self._keys_changed()
        return out

    # ------------------------------------------------ passes, anchors
    def badge_key(self, args: Json) -> Json:
        """The site's key for badges, by which `badge` and `authorisers` are hashed: 32 bytes in base64."""
        self._book.badge_key = base64.b64decode(_take(args, "key"), validate=True)
        if len(self._book.badge_key) != 32:
            raise ValueError("key: 32 bytes are expected")
        return {}

    def sign_pass(self, args: Json) -> Json:
        """The pass of a reservation, or of one that only it names. Any claim can be given; null omits it.

        forge: "signature" (one bit flipped), "key" (another key under the same kid), "kid" (a kid of nobody).
        """
        now = time.time()
        rental = _take(args, "rental")
        booking = self._book.bookings.get(rental)
        put: Json = booking.put if booking else {}
        machine = args.pop("machine", None) or (booking.machine if booking else None)
        claims: Json = {
            "iss": self._issuer,
            "sub": rental,
            "aud": args.pop("aud") if "aud" in args else machine or self._only_machine(),
            "exp": int(posix(put.get("pass_exp", put.get("window_to", 4 * 3600)), now)),
            "nbf": int(posix(put.get("window_from", -60), now)),
            "iat": int(now),
            "cti": self._book.random.randbytes(8),
            "due": int(posix(put["due"], now)) if "due" in put else None,
        }
        claims |= {name: put.get(name) for name in ("asset", "class", "demands", "holder")}
        for name in ("exp", "nbf", "iat", "due"):
            if name in args:
                value = args.pop(name)
                claims[name] = None if value is None else int(posix(value, now))
        for name in ("iss", "sub", "asset", "class", "demands", "holder"):
            if name in args:
                claims[name] = args.pop(name)
        ring, forge = self._book.keyring, args.pop("forge", None)
        if forge not in (None, "signature", "key", "kid"):
            raise ValueError("forge: signature, key or kid")
        key = ring.by_kid(args.pop("kid")) if "kid" in args else ring.current
        kid = "nobody" if forge == "kid" else key.kid
        signer = ring.rogue(key.alg) if forge == "key" else key
        cose = passes.sign(claims, signer, kid=kid, tagged=args.pop("tagged", True))
        shown = {k: v.hex() if isinstance(v, bytes) else v for k, v in claims.items() if v is not None}
        return {"pass": passes.text(cose, tamper=forge == "signature"), "kid": kid, "claims": shown}

    def _only_machine(self) -> str:
        seen = self._seen()
        if len(seen) != 1:
            raise ValueError(f"machine: {len(seen)} machines have called, say which one the pass is for")
        return seen[0]

    def anchor(self, args: Json) -> Json:
        """Signs the last record that the cloud has of a machine (it needs recordhash)."""
        machine = args.pop("machine", None) or self._only_machine()
        head = self._receipts.heads.get(machine)
        if head is None:
            raise ValueError("anchor: no record with a hash has come yet")
        key = self._book.keyring.current
        signed = key.sign(f"vendingd-anchor/{machine}/{head.epoch}/{head.seq}/{head.hash}".encode())
        body = {"epoch": head.epoch, "seq": head.seq, "hash": head.hash}
        body |= {"kind": "journal.anchor", "kid": key.kid, "signature": b64url(signed)}
        return {"instruction": self._book.add(body, machine), **body}

    def raw(self, args: Json) -> Json:
        """Any JSON object as an instruction, to see what the machine makes of it."""
        body = _take(args, "instruction")
        if not isinstance(body, dict):
            raise ValueError("instruction: an object is expected")
        return {"instruction": self._book.add(body, args.pop("machine", None))}


def _needed(args: Json, name: str) -> str:
    if not isinstance(args.get(name), str):
        raise ValueError(f"{name}: is expected")
    return str(args[name])


def _take(args: Json, name: str) -> Any:
    if name not in args:
        raise ValueError(f"{name}: is expected")
    return args.pop(name)
