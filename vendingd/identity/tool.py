"""Making keys and passes, for a cloud's developers and for tests. The daemon never signs and does not
import this.

    python -m vendingd.identity.tool key --kid west-2030 --out west-2030.private.json
    python -m vendingd.identity.tool public west-2030.private.json > keys.json
    python -m vendingd.identity.tool sign west-2030.private.json --issuer https://rent.example \\
        --rental r-1 --audience tower-01 --class car --valid-s 3600
    python -m vendingd.identity.tool pin < pin.txt
    python -m vendingd.identity.tool badge-key --out badge.key
    echo nfc:04112233 | python -m vendingd.identity.tool badge badge.key
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import pwd
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from vendingd.identity import base45, cose
from vendingd.identity.badges import KEY_BYTES, BadgeKey
from vendingd.identity.cwt import Pass, claims_of
from vendingd.identity.keys import Algorithm
from vendingd.identity.pin import make_verifier
from vendingd.identity.policy import parse_demands

Jwk = dict[str, Any]
DAEMON = "vendingd"  # user of the unit


def make_key(kid: str, algorithm: Algorithm = Algorithm.EDDSA) -> Jwk:
    """A new private key as JWK; `public_jwk` gives the part for machines."""
    if algorithm is Algorithm.EDDSA:
        key = ed25519.Ed25519PrivateKey.generate()
        return {
            "kid": kid,
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": algorithm.jose,
            "x": _b64(key.public_key().public_bytes_raw()),
            "d": _b64(key.private_bytes_raw()),
        }
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    point = numbers.public_numbers
    return {
        "kid": kid,
        "kty": "EC",
        "crv": "P-256",
        "alg": algorithm.jose,
        "x": _b64(point.x.to_bytes(32, "big")),
        "y": _b64(point.y.to_bytes(32, "big")),
        "d": _b64(numbers.private_value.to_bytes(32, "big")),
    }


def public_jwk(private: Mapping[str, Any]) -> Jwk:
    """The public part of a JWK."""
    return {member: value for member, value in private.items() if member not in ("d", "key_ops")}


def signer(private: Mapping[str, Any]) -> tuple[Algorithm, Callable[[bytes], bytes]]:
    """The algorithm of a private JWK and a function that makes its raw signatures of 64 bytes."""
    secret = _unb64(private["d"])
    if private["kty"] == "OKP":
        return Algorithm.EDDSA, ed25519.Ed25519PrivateKey.from_private_bytes(secret).sign
    key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return Algorithm.ES256, sign


def sign_pass(private: Mapping[str, Any], claims: Pass | Mapping[int, Any]) -> str:
    """The QR text of a pass."""
    import cbor2

    algorithm, sign = signer(private)
    payload = cbor2.dumps(dict(claims_of(claims) if isinstance(claims, Pass) else claims), canonical=True)
    kid = str(private["kid"]).encode()
    return base45.encode(cose.sign1(payload, sign, protected={1: algorithm.cose, 4: kid}))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vendingd.identity.tool", description="Make keys, passes, PIN verifiers and hashes of badges."
    )
    act = parser.add_subparsers(dest="act", required=True)
    key = act.add_parser("key", help="make a private key")
    key.add_argument("--kid", required=True)
    key.add_argument("--alg", choices=[a.jose for a in Algorithm], default=Algorithm.EDDSA.jose)
    key.add_argument("--out", type=Path, required=True, help="a new file, readable by its owner alone")
    public = act.add_parser("public", help="print the JWK set that machines are given")
    public.add_argument("key", type=Path, nargs="+")
    sign = act.add_parser("sign", help="print a pass")
    sign.add_argument("key", type=Path)
    for name in ("issuer", "rental", "audience"):
        sign.add_argument(f"--{name}", required=True)
    sign.add_argument("--asset")
    sign.add_argument("--class", dest="asset_class")
    sign.add_argument("--demand", action="append", help='alternatives such as "pass+pin"; may be repeated')
    sign.add_argument("--holder")
    sign.add_argument("--due-s", type=float, help="due so many seconds from now")
    sign.add_argument("--valid-s", type=float, default=3600.0, help="valid for so many seconds from now")
    act.add_parser("pin", help="print the verifier of the PIN on standard input")
    made = act.add_parser("badge-key", help="make a site's key for badges")
    made.add_argument("--out", type=Path, required=True, help="a new file, readable by its owner alone")
    hashed = act.add_parser("badge", help="print the hash of the badge on standard input, such as nfc:04112233")
    hashed.add_argument("key", type=Path, help="file of the site's key for badges")
    return parser


def _private(path: Path, text: str, owner: tuple[int, int] | None = None) -> int:
    """Put a secret into a new file, its owner's alone. Returns the exit code, 1 where it cannot be made."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{path} is there already, and may be the only copy of a key: move it away, or name another\n")
        return 1
    except OSError as why:
        sys.stderr.write(f"{path} cannot be written: {why.strerror}\n")
        return 1
    with os.fdopen(fd, "w") as file:
        if owner is not None:
            os.fchown(fd, *owner)
        file.write(text + "\n")
    return 0


def _daemon() -> tuple[int, int] | None:
    """User and group who have to read what root makes; None where that is whoever makes it."""
    if os.geteuid() != 0:
        return None
    try:
        known = pwd.getpwnam(DAEMON)
    except KeyError:  # a machine without the service
        return None
    return known.pw_uid, known.pw_gid


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit code; the private key goes to a file, never to the terminal."""
    args = _parser().parse_args(argv)
    if args.act == "key":
        return _private(
            args.out, json.dumps(make_key(args.kid, next(a for a in Algorithm if a.jose == args.alg)), indent=1)
        )
    elif args.act == "public":
        keys = [public_jwk(json.loads(path.read_text())) for path in args.key]
        sys.stdout.write(json.dumps({"keys": keys}, indent=1) + "\n")
    elif args.act == "sign":
        now = time.time()
        said = Pass(
            issuer=args.issuer,
            rental=args.rental,
            audience=args.audience,
            exp=now + args.valid_s,
            nbf=now,
            iat=now,
            cti=secrets.token_bytes(8),
            asset=args.asset,
            asset_class=args.asset_class,
            demands=parse_demands(args.demand) if args.demand else None,
            due=now + args.due_s if args.due_s is not None else None,
            holder=args.holder,
        )
        sys.stdout.write(sign_pass(json.loads(args.key.read_text()), said) + "\n")
    elif args.act == "badge-key":
        return _private(args.out, base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode(), _daemon())
    elif args.act == "badge":
        sys.stdout.write(BadgeKey.load(args.key).hash(sys.stdin.readline().strip()) + "\n")
    else:
        sys.stdout.write(json.dumps(make_verifier(sys.stdin.readline().strip())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
