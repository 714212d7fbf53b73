"""Real clients ask us: dig, kdig, drill, delv and dnspython, over UDP and TCP, with all the options they know."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator

import dns.message
import dns.query
import dns.resolver
import pytest

from tests.dataplane.dns_stub import V4, V6, ZONE, OverSockets, plain_stub
from tests.support.programs import need

ADDRESS = re.compile(r"\b192\.0\.2\.\d+\b|\b2001:db8::[0-9a-f]+\b")


@pytest.fixture
def server() -> Iterator[OverSockets]:
    server = OverSockets(plain_stub())
    yield server
    server.close()


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [need(program), *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    for complaint in (
        "WARNING: Message parser reports malformed",
        ";; WARNING: reply",
        "extra bytes",
        "FORMERR",
        "Warning: ID mismatch",
    ):
        assert complaint not in text, text
    return text


def dig(server: OverSockets, *arguments: str) -> str:
    return run(
        "dig", "@127.0.0.1", "-p", str(server.address[1]), "+norec", "+tries=1", "+time=10", *arguments
    )


def kdig(server: OverSockets, *arguments: str) -> str:
    return run(
        "kdig", "@127.0.0.1", "-p", str(server.address[1]), "+norec", "+retry=0", "+time=10", *arguments
    )


@pytest.mark.parametrize(
    "extra",
    [
        (),
        ("+tcp",),
        ("+noedns",),
        ("+dnssec", "+nsid", "+subnet=192.0.2.0/24", "+expire", "+keepalive", "+padding=128"),
    ],
)
def test_dig_is_content(server: OverSockets, extra: tuple[str, ...]) -> None:
    text = dig(server, f"0.{ZONE}", "A", *extra)
    assert "status: NOERROR" in text
    assert "flags: qr aa; QUERY: 1, ANSWER: 4, AUTHORITY: 0" in text
    assert len(set(ADDRESS.findall(text)) & set(V4)) == 4
    if "+nsid" in extra:
        assert '("ball-1")' in text
        assert "CLIENT-SUBNET: 192.0.2.0/24/0" in text
        assert "(good)" in text


def test_dig_sees_soa_ns_nodata_nxdomain_and_refused(server: OverSockets) -> None:
    assert "AUTHORITY: 1" in dig(server, f"0.{ZONE}", "DS")
    assert "status: NXDOMAIN" in dig(server, f"x.{ZONE}", "A")
    refused = dig(server, "example.net", "A")
    assert "status: REFUSED" in refused
    assert "EDE: 20 (Not Authoritative)" in refused
    assert "ns2.pool.example.org. 3600" in dig(server, ZONE, "NS").replace("\t", " ")
    assert '"RFC8482" ""' in dig(server, ZONE, "ANY")
    assert "BADVERS" in dig(server, ZONE, "+edns=1", "+noednsnegotiation")


def test_dig_goes_over_to_tcp_for_what_is_too_big(server: OverSockets) -> None:
    text = dig(server, f"huge.{ZONE}", "TXT")
    assert ";; Truncated, retrying in TCP mode." in text
    assert text.count("yyy") > 100


def test_kdig_is_content(server: OverSockets) -> None:
    for extra in ((), ("+tcp",), ("+edns", "+nsid", "+dnssec"), ("+tcp", "+keepopen")):
        text = kdig(server, f"3.{ZONE}", "AAAA", *extra)
        assert "status: NOERROR" in text
        assert len(set(ADDRESS.findall(text)) & set(V6)) == 4
    assert "ball-1" in kdig(server, ZONE, "+nsid")


def test_drill_is_content(server: OverSockets) -> None:
    for extra in ((), ("-t",), ("-D",), ("-b", "512")):
        text = run("drill", "-p", str(server.address[1]), *extra, f"1.{ZONE}", "@127.0.0.1", "A")
        assert "rcode: NOERROR" in text
        assert len(set(ADDRESS.findall(text)) & set(V4)) == 4


def test_delv_is_content(server: OverSockets) -> None:
    """It asks with DO and CD; the zone is unsigned, so it is told not to validate."""
    text = run("delv", "@127.0.0.1", "-p", str(server.address[1]), "-i", f"2.{ZONE}", "A")
    assert len(set(ADDRESS.findall(text)) & set(V4)) == 4


def test_dnspython_resolves_through_us(server: OverSockets) -> None:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [server.address[0]], server.address[1]
    assert len(set(resolver.resolve(ZONE, "A"))) == 4
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve(f"x.{ZONE}", "A")
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve(ZONE, "DS")
    reply = dns.query.udp_with_fallback(
        dns.message.make_query(f"huge.{ZONE}", "TXT"), server.address[0], timeout=10, port=server.address[1]
    )
    assert reply[1], "it had to go over to TCP"
    assert reply[0].answer


def test_the_machines_own_resolver_library_is_not_disturbed(server: OverSockets) -> None:
    """Both address families asked at once from one socket, as C libraries do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(server.address)
        for rrtype in ("A", "AAAA"):
            client.send(dns.message.make_query(ZONE, rrtype).to_wire())
        kinds = {dns.message.from_wire(client.recv(512)).answer[0].rdtype.name for _ in range(2)}
    assert kinds == {"A", "AAAA"}
