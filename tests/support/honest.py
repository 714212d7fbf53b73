"""What honest clients send, made on the spot by their kind: whatever the inspector says of it is a false alarm."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

from appliance_inspector.judging.frames import Packet
from tests.support.attacks import START_NS, client_request, dns_packet, dns_query, ntp_packet, v4

SECOND = 10**9
ZONE = "pool.example.org"
NAMES = (ZONE, *(f"{n}.{ZONE}" for n in range(3)), f"ns1.{ZONE}")
A, SOA, TXT, AAAA, NS, HTTPS = 1, 6, 16, 28, 2, 65
CHAOS = 3


def in_order(packets: Iterable[Packet]) -> Iterator[Packet]:
    return iter(sorted(packets, key=lambda packet: packet.rx_ns))


def at(seconds: float) -> int:
    return START_NS + int(seconds * SECOND)


def asks(
    name: str, qtype: int, source: bytes, seconds: float, *, reason: str = "NOERROR", qclass: int = 1
) -> Packet:
    return dns_packet(dns_query(name, qtype, qclass), source, at(seconds), reason=reason)


def polling(
    dice: random.Random, source: bytes, begin_s: float, end_s: float, *, poll_s: float, burst: int = 0,
    port: Callable[[], int] | None = None, version: int = 4,
) -> Iterator[Packet]:  # fmt: skip
    """A client: a burst of requests 2 s apart at its start, then one after the other, as far apart as it likes."""
    port = port or (lambda: dice.randrange(1024, 65536))
    seconds, sent = begin_s, 0
    content = client_request(version, max(3, int(poll_s).bit_length() - 1))
    while seconds < end_s:
        yield ntp_packet(content, source, at(seconds), port=port())
        sent += 1
        seconds += 2 if sent < burst else poll_s * dice.uniform(0.95, 1.05)


def everyday(dice: random.Random, seconds: int = 1200, clients: int = 400) -> Iterator[Packet]:
    """Clients of a region that poll every 16 to 1024 s, and resolvers with a few mistakes in what they ask."""
    packets: list[Packet] = []
    for n in range(clients):
        source = bytes([10, dice.randrange(4), dice.randrange(40), 1 + n % 250])
        port = dice.choice((123, dice.randrange(1024, 65536)))
        packets += polling(
            dice, source, dice.uniform(0, seconds), seconds, poll_s=dice.choice((16, 64, 64, 256, 1024)), burst=8,
            port=lambda port=port: port, version=dice.choice((3, 4, 4, 4)),
        )  # fmt: skip
    typos = (f"4.{ZONE}", f"www.{ZONE}", f"_ntp._udp.{ZONE}", f"wpad.{ZONE}")
    for n in range(clients):
        for _ in range(seconds // 60):
            mistaken = dice.random() < 0.03
            packets.append(
                asks(
                    dice.choice(typos if mistaken else NAMES), dice.choice((A, AAAA, A, AAAA, TXT, HTTPS)),
                    bytes([192, 0, 2, n % 250]), dice.uniform(0, seconds), reason="NXDOMAIN" if mistaken else "NOERROR",
                )
            )  # fmt: skip
    return in_order(packets)


def power_is_back(dice: random.Random) -> Iterator[Packet]:
    """600 chronyds of one campus start within 20 s: initstepslew or iburst, a new port for each request."""
    packets: list[Packet] = []
    for n in range(600):
        source = bytes([10, 7, n // 250, 1 + n % 250])
        packets += polling(dice, source, dice.uniform(0, 20), 300, poll_s=64, burst=dice.choice((4, 8, 9)))
    return in_order(packets)


def ntpdate_by_cron(dice: random.Random) -> Iterator[Packet]:
    """400 machines run ntpdate in the first second of each hour: four requests from port 123."""
    packets = []
    for hour in range(3):
        for n in range(400):
            source = bytes([10, 8, n // 200, 1 + n % 200])
            begin_s = hour * 3600 + dice.uniform(0, 1)
            packets += [ntp_packet(client_request(), source, at(begin_s + 2 * k), port=123) for k in range(4)]
    return in_order(packets)


def nat(dice: random.Random) -> Iterator[Packet]:
    """200 clients of every version behind one address, whose power comes back. Port 123 becomes any below 512, as Linux maps it."""
    packets: list[Packet] = []
    source = v4("198.51.100.9")
    for _ in range(200):
        low = dice.random() < 0.3

        def port(low: bool = low) -> int:
            return dice.randrange(1, 512) if low else dice.randrange(1024, 65536)

        packets += polling(
            dice, source, dice.uniform(0, 30), 1200, poll_s=64, burst=8, port=port,
            version=dice.choice((1, 2, 3, 3, 4, 4, 4)),
        )  # fmt: skip
    return in_order(packets)


def six(dice: random.Random) -> Iterator[Packet]:
    """300 machines of one /48 with an IPv6 address of the day that changes, poll 64 s."""
    site = bytes.fromhex("20010db80007")
    packets: list[Packet] = []
    for _ in range(300):
        for half in (0, 600):
            packets += polling(
                dice, site + dice.randbytes(10), half + dice.uniform(0, 60), half + 600, poll_s=64
            )
    return in_order(packets)


def windows(dice: random.Random) -> Iterator[Packet]:
    """150 domain members: symmetric active, version 3, and requests that want a signature, which nobody gives them."""
    packets = []
    for n in range(150):
        source, begin_s = bytes([10, 9, 0, 1 + n]), dice.uniform(0, 900)
        for k in range(8):
            content = bytes([3 << 3 | 1]) + client_request()[1:]
            packets.append(ntp_packet(content, source, at(begin_s + 64 * k), port=123))
            signed = client_request(3) + dice.randbytes(4) + bytes(16)
            packets.append(ntp_packet(signed, source, at(begin_s + 64 * k + 1), port=123, reason="auth"))
    return in_order(packets)


def monitors(dice: random.Random) -> Iterator[Packet]:
    """Five scrapers of one network: time with four requests a minute, names every 10 s, which server it is every minute."""
    packets: list[Packet] = []
    for n in range(5):
        source, phase_s = bytes([10, 10, 0, 1 + n]), dice.uniform(0, 10)
        for minute in range(30):
            begin_s = 60 * minute + phase_s
            packets += [ntp_packet(client_request(), source, at(begin_s + 0.1 * k)) for k in range(4)]
            packets += [
                asks("id.server", TXT, source, begin_s + 5, reason="REFUSED", qclass=CHAOS),
                asks("hostname.bind", TXT, source, begin_s + 6, qclass=CHAOS),
            ]
            for k in range(6):
                packets += [asks(ZONE, qtype, source, begin_s + 10 * k) for qtype in (SOA, NS, A, AAAA)]
    return in_order(packets)


def resolvers(dice: random.Random) -> Iterator[Packet]:
    """40 resolvers that prefetch, ask for no more of a name than they must, and mix its case."""

    def mixed(name: str) -> str:
        return "".join(dice.choice((letter.lower(), letter.upper())) for letter in name)

    packets: list[Packet] = []
    for n in range(40):
        source = bytes([203, 0, 113, 1 + n])
        for name in NAMES:
            for qtype in (A, AAAA, HTTPS):
                seconds = dice.uniform(0, 150)
                while seconds < 1800:
                    packets += [
                        asks(mixed(name), qtype, source, seconds),
                        asks(mixed(ZONE), NS, source, seconds + 0.01),
                        asks(mixed(f"_.{ZONE}"), A, source, seconds + 0.02, reason="NXDOMAIN"),
                    ]
                    seconds += 150 * dice.uniform(0.9, 1.0)  # before its TTL is over
    return in_order(packets)


def search_list(dice: random.Random) -> Iterator[Packet]:
    """300 office machines whose search list has the zone: names of the house that are not there, again and again."""
    house = [f"{kind}{n:02}" for kind in ("printer-floor-", "fileserver-", "intranet-") for n in range(13)]
    packets = []
    for n in range(300):
        for _ in range(40):
            name = f"{dice.choice(house)}.{ZONE}"
            source = bytes([10, 11, n // 250, n % 250])
            packets.append(
                asks(name, dice.choice((A, AAAA)), source, dice.uniform(0, 1200), reason="NXDOMAIN")
            )
    return in_order(packets)


#: Every kind by its name.
HONEST: dict[str, Callable[[random.Random], Iterator[Packet]]] = {
    "clients and resolvers of every day": everyday,
    "600 chronyds start at once": power_is_back,
    "400 times ntpdate on the hour": ntpdate_by_cron,
    "200 clients behind one address": nat,
    "IPv6 addresses that change": six,
    "150 Windows domain members": windows,
    "five monitoring scrapers": monitors,
    "resolvers: prefetch, 0x20, minimal names": resolvers,
    "a search list with the zone": search_list,
}
