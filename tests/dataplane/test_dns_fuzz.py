"""135: a million damaged packets: no crash, no silence where there must be an answer, no reply longer than allowed."""

from __future__ import annotations

import contextlib
import random

import dns.message
import pytest

from appliance.dataplane.dns_edns import make_cookie
from appliance.dataplane.dns_reply import DROP
from appliance_dns.config import DnsConfig
from tests.dataplane.dns_stub import (
    COOKIE_SECRET,
    OnPaper,
    OverSockets,
    edns,
    framed,
    option,
    plain_stub,
    query,
    read_frame,
    stub,
)
from tests.support.mutation import mutated
from tests.support.programs import fuzz_packets


def seeds() -> list[bytes]:
    import dns.tsigkeyring

    signed = query("0")
    signed.use_tsig(dns.tsigkeyring.from_text({"nobody.": "c2VjcmV0IHNlY3JldCE="}))
    return [
        *(query(n, t).to_wire() for n in ("@", "0", "x", "big", "www", "b") for t in ("A", "AAAA", "NS", "TXT", "ANY", "SOA")),
        *(edns(n, "A").to_wire() for n in ("@", "3", "x")),
        edns("0", "A", option(3), option(8, b"\0\1\x18\0\xc0\0\2"), option(9), option(10, bytes(24)), option(11), option(12, bytes(30))).to_wire(),
        query("version.bind.", "TXT", rdclass="CH").to_wire(),
        query("@", "AXFR").to_wire(),
        query("@", "IXFR").to_wire(),
        signed.to_wire(),
    ]  # fmt: skip


def check(asker: OnPaper, message: bytes, transport: str) -> None:
    reply = asker.raw(message, transport)
    if len(message) < 12 or message[2] & 0x80:
        assert reply is None
        assert asker.outcome == DROP
        return
    assert reply is not None
    assert reply[:2] == message[:2]
    assert reply[2] & 0x80
    if transport == "udp":
        assert len(reply) <= 1232
        if not message[11] and not message[10]:
            assert len(reply) <= 512
    else:
        assert not reply[2] & 2
        assert len(reply) <= 65535
    with contextlib.suppress(dns.message.UnknownTSIGKey):
        dns.message.from_wire(reply, raise_on_truncation=False)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_135_mutated_packets_on_paper(transport: str) -> None:
    asker = OnPaper(plain_stub())
    for message in mutated(seeds(), 50_000, seed=1, longest=4000):
        check(asker, message, transport)


def flood(count: int, seed: int, plane: str) -> None:
    asker = OverSockets(plain_stub(), plane=plane)
    for sent, message in enumerate(mutated(seeds(), count, seed=seed)):
        asker.udp.send(message)
        if sent % 200 == 199:
            drain(asker)
    drain(asker)
    counted = asker.server.counters()
    assert not any(outcome == "error" for _, _, outcome in counted), counted
    assert sum(counted.values()) > count * 0.99
    asker.close()


def drain(asker: OverSockets) -> bool:
    """Read what has come until the answer to a question of our own; the socket's buffer is not endless."""
    last = b"\xfa\xce" + query("ns2").to_wire()[2:]
    asker.udp.send(last)
    while True:
        reply = asker.udp.recv(65535)
        assert len(reply) <= 1232
        if reply[:2] == last[:2] and reply[12 : len(last)] == last[12:]:
            return True


def test_135_mutated_packets_over_udp(plane: str) -> None:
    flood(20_000, 2, plane)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_135_a_million_mutated_packets_over_udp(plane: str) -> None:
    flood(fuzz_packets(), 3, plane)


def test_135_mutated_packets_over_tcp() -> None:
    """Damaged messages, and damaged framing: each connection may end, the next one is served."""
    asker = OverSockets(plain_stub())
    rng = random.Random(4)
    stream = asker.stream()
    for number, message in enumerate(mutated(seeds(), 1500, seed=4)):
        frame = framed(message)
        if rng.random() < 0.05:
            frame = rng.randbytes(2) + message
        try:
            stream.sendall(frame)
            if number % 20 == 0:
                raise ConnectionError
        except ConnectionError:
            stream.close()
            stream = asker.stream()
    stream.close()
    with asker.stream() as last:
        last.sendall(framed(query("0").to_wire()))
        assert read_frame(last) is not None
    assert not any(outcome == "error" for _, _, outcome in asker.server.counters())
    asker.close()


def test_135_nothing_longer_than_512_goes_to_who_has_not_shown_a_cookie() -> None:
    """By default: what is longer, and could be aimed at somebody else, goes over TCP or to a proven address."""
    asker = OnPaper(stub(largest_without_cookie=DnsConfig().largest_without_cookie))
    longest = 0
    for message in mutated(seeds(), 30_000, seed=5, longest=4000):
        reply = asker.raw(message)
        longest = max(longest, len(reply or b""))
    assert longest <= 512
    for name, length in (("exact", 1232), ("big", 1097)):
        asked = edns(name, "TXT").to_wire()
        truncated = asker.raw(asked)
        assert truncated is not None
        assert truncated[2] & 2
        assert len(truncated) == len(asked)
        cookie = make_cookie(b"12345678", asker.source, asker.now_ns // 10**9, COOKIE_SECRET)
        whole = asker.raw(edns(name, "TXT", option(10, cookie)).to_wire())
        assert whole is not None
        assert (len(whole) > 512) == (length + 28 <= 1232)
        forged = asker.raw(edns(name, "TXT", option(10, cookie[:-1] + b"\0")).to_wire())
        assert forged is not None
        assert forged[2] & 2
        assert len(asker.raw(asked, "tcp") or b"") > 1000
