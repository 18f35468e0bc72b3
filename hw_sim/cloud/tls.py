"""A certificate authority for tests: its own certificate, one for the server, one for a machine."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hw_sim.cloud.keys import p256_key


def make(directory: Path, random: Random, machine: str) -> ssl.SSLContext:
    """Write ca.pem, server.pem/.key, machine.pem/.key and stranger.pem/.key (of another authority).

    Returns the server's context, which demands a certificate of ca.pem's authority.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca = _Authority("vendingd simulated cloud CA", random)
    other = _Authority("Somebody else's CA", random)
    (directory / "ca.pem").write_bytes(ca.pem())
    (directory / "other-ca.pem").write_bytes(other.pem())
    ca.issue(directory, "server", "localhost", random, server=True)
    ca.issue(directory, "machine", machine, random, server=False)
    other.issue(directory, "stranger", machine, random, server=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    context.load_verify_locations(directory / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class _Authority:
    def __init__(self, name: str, random: Random) -> None:
        self._key = p256_key(random)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = _builder(self._name, self._name, self._key.public_key(), random)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        own = own.add_extension(usage, critical=True)
        own = own.add_extension(self._subject_id(self._key.public_key()), critical=False)
        self._certificate = own.sign(self._key, hashes.SHA256())

    @staticmethod
    def _subject_id(key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier.from_public_key(key)

    def pem(self) -> bytes:
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, directory: Path, file: str, name: str, random: Random, *, server: bool) -> None:
        key = p256_key(random)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key(), random)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        if server:
            names: list[x509.GeneralName] = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        (directory / f"{file}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        secret = directory / f"{file}.key"
        secret.touch(mode=0o600)
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, random: Random
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(random.getrandbits(128) | 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
    )
