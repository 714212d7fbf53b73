"""Clients of plugins trust what the machine trusts, though nothing of that is read at the start."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT = """
import asyncio, ssl, sys
from appliance.host.late_trust import import_aiohttp
import_aiohttp()
import aiohttp

async def main():
    async with aiohttp.ClientSession() as http, http.get(sys.argv[1], ssl=sys.argv[2] == "checked") as answer:
        print(await answer.text())

try:
    asyncio.run(main())
except aiohttp.ClientConnectorCertificateError:
    print("not trusted")
assert "load_default_certs" in vars(ssl.SSLContext) and "set_default_verify_paths" not in vars(ssl.SSLContext)
"""


def own_certificate(folder, name):
    """A certificate for localhost that nobody else signed, with its key; the path of both in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.mark.parametrize(
    ("trusted", "how", "told"),
    [
        ("served", "checked", "hello"),
        ("another", "checked", "not trusted"),
        ("another", "unchecked", "hello"),
    ],
)
async def test_a_client_checks_certificates_as_without_it(tmp_path, trusted, how, told):
    paths = {name: own_certificate(tmp_path, name) for name in ("served", "another")}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths["served"])

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        address = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        environment = {
            **os.environ,
            "SSL_CERT_FILE": str(paths[trusted]),
            "SSL_CERT_DIR": str(tmp_path / "none"),
        }
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", CLIENT, address, how], env=environment, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
    assert (done.stdout, done.returncode) == (f"{told}\n", 0), done.stderr
