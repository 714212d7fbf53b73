"""Asks a box as its users' machines do: NTP, DNS by UDP and TCP, HTTP and HTTPS. Standard library, none of the box's code."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import secrets
import socket
import ssl
import struct
import subprocess
import time
from typing import Any

#: Seconds between 1900 and 1970 (RFC 5905, section 6).
NTP_EPOCH_S = 2_208_988_800
HERE = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class NtpReply:
    """What a client reads in a reply; times in Unix seconds."""

    leap: int
    stratum: int
    reference: bytes
    transmit_s: float


def ntp(port: int, within_s: float = 5) -> NtpReply | None:
    """One question; None without a valid reply in time."""
    origin = secrets.token_bytes(8)
    request = struct.pack("!BBbb", 4 << 3 | 3, 0, 6, -20) + bytes(36) + origin
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(within_s)
        line.connect((HERE, port))
        try:
            line.send(request)
            reply = line.recv(1024)
        except OSError:
            return None
    if len(reply) < 48 or reply[24:32] != origin or reply[0] & 7 != 4:
        return None
    seconds, fraction = struct.unpack("!II", reply[40:48])
    return NtpReply(reply[0] >> 6, reply[1], reply[12:16], seconds - NTP_EPOCH_S + fraction / 2**32)


@dataclasses.dataclass(frozen=True)
class DnsReply:
    """Code of the answer (RFC 1035, 4.1.1) and how many records it has."""

    code: int
    answers: int
    authoritative: bool


def dns(port: int, name: str, kind: int, *, tcp: bool = False, within_s: float = 5) -> DnsReply | None:
    """One question of class IN; None without a reply in time."""
    number = secrets.randbelow(65536)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split("."))
    question = struct.pack("!HHHHHH", number, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as line:
            line.settimeout(within_s)
            line.connect((HERE, port))
            if tcp:
                line.sendall(struct.pack("!H", len(question)) + question)
                (length,) = struct.unpack("!H", _exactly(line, 2))
                reply = _exactly(line, length)
            else:
                line.send(question)
                reply = line.recv(4096)
    except OSError:
        return None
    if len(reply) < 12:
        return None
    seen, flags, _, answers = struct.unpack("!HHHH", reply[:8])
    return DnsReply(flags & 15, answers, bool(flags & 0x400)) if seen == number else None


@dataclasses.dataclass(frozen=True)
class WebReply:
    """Status, heads (small letters) and body."""

    status: int
    heads: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def web(
    port: int,
    path: str,
    *,
    tls: bool = False,
    method: str = "GET",
    body: Any = None,
    heads: dict[str, str] | None = None,
    within_s: float = 20,
) -> WebReply | None:
    """One request; None when nobody answers in time. The certificate is the box's own: it is not judged."""
    connection: http.client.HTTPConnection
    if tls:
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(HERE, port, timeout=within_s, context=trusting)
    else:
        connection = http.client.HTTPConnection(HERE, port, timeout=within_s)
    # As the browser of somebody who typed the box's name says it: the forwarded port is not the box's.
    sent = {"Host": "timeball.local", "Sec-Fetch-Site": "same-origin"} | (heads or {})
    data = None
    if body is not None:
        data = json.dumps(body)
        sent["Content-Type"] = "application/json"
    try:
        connection.request(method, path, data, sent)
        reply = connection.getresponse()
        return WebReply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def fingerprint(port: int, within_s: float = 20) -> str:
    """SHA-256 of the certificate that is shown, as the console prints it."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((HERE, port), timeout=within_s) as line,
        trusting.wrap_socket(line) as sealed,
    ):
        certificate = sealed.getpeercert(binary_form=True) or b""
    return ":".join(f"{byte:02X}" for byte in hashlib.sha256(certificate).digest())


def validity(port: int, within_s: float = 20) -> tuple[float, float]:
    """Until when and from when the certificate that is shown holds, in Unix seconds; judged by nobody."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((HERE, port), timeout=within_s) as line,
        trusting.wrap_socket(line) as sealed,
    ):
        certificate = ssl.DER_cert_to_PEM_cert(sealed.getpeercert(binary_form=True) or b"")
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-startdate"], input=certificate, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    ends, begins = (ssl.cert_time_to_seconds(each.partition("=")[2]) for each in told.splitlines())
    return float(ends), float(begins)


def now_s() -> float:
    """The time of this machine, to compare a box's with."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def _exactly(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            raise ConnectionError("closed in the middle of a message")
        data += more
    return data
