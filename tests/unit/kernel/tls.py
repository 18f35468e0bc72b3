"""A cloud on loopback whose certificate is as old, or as new, as a test wants it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vendingd.cloud.transport import AiohttpTransport, NoAnswer


def certificate(folder: Path, begin_s: float, end_s: float) -> Path:
    """Key and self-signed certificate of 127.0.0.1 in one file, valid from `begin_s` to `end_s` from now."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(seconds=begin_s))
        .not_valid_after(now + datetime.timedelta(seconds=end_s))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "cloud.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


async def answered(folder: Path, begin_s: float, end_s: float) -> str:
    """One request to a cloud with such a certificate: `answers`, or what the machine says of it."""
    file = certificate(folder, begin_s, end_s)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    transport = AiohttpTransport(f"https://127.0.0.1:{port}", certificate=file, key=file, ca=file)
    try:
        await transport.request("GET", "/", headers={}, body=None, timeout_s=20.0)
        return "answers"
    except NoAnswer as why:
        assert "clock" in str(why)
        return "not yet valid" if "not yet valid" in str(why) else "expired" if "expired" in str(why) else str(why)
    finally:
        await transport.close()
        server.close()
        await server.wait_closed()
