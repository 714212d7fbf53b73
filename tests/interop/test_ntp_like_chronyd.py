"""chronyd as a server and ours, asked the same things: who gets a reply with a MAC, and who one in interleaved mode."""

from __future__ import annotations

import itertools
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose, ntp_decide
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.wire.ntp import HEADER_BYTES, Header, pack_field, parse_header
from appliance.wire.ntp_mac import MacType, digester
from appliance_ntp.keys_file import parse_keys
from tests.support.native import need_native
from tests.support.programs import free_port, need, need_root
from tests.support.wait import wait_until

CLOCK = SystemClock()
SECRETS = {kind: bytes(range(1, 1 + (kind.key_bytes or 20))) for kind in MacType}
NUMBER = {kind: number for number, kind in enumerate(MacType, 1)}
KEYS = "".join(f"{NUMBER[kind]} {kind.label} HEX:{secret.hex()}\n" for kind, secret in SECRETS.items())
FIELD = pack_field(0xF5FF, bytes(24))
Asker = Callable[[bytes], bytes | None]


@pytest.fixture(scope="module")
def chronyd(tmp_path_factory) -> Iterator[int]:
    """A chronyd with the same keys; its port."""
    need_root()
    folder, port = tmp_path_factory.mktemp("chronyd"), free_port()
    keys = folder / "keys"
    keys.touch(mode=0o600)
    keys.write_text(KEYS)
    config = folder / "chrony.conf"
    config.write_text(
        f"local stratum 2\nport {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nkeyfile {keys}\ncmdport 0\n"
        f"bindcmdaddress {folder}/socket\npidfile {folder}/pid\n"
    )
    command = [
        need("setpriv"),
        "--bounding-set=-sys_time",
        need("chronyd"),
        "-x",
        "-d",
        "-u",
        "root",
        "-f",
        str(config),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port), "chronyd to answer")
            yield port
        finally:
            process.terminate()


def answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        try:
            sock.send(Header(transmit=1).pack())
            return bool(sock.recv(99))
        except OSError:
            return False


@pytest.fixture(params=["python", "native"])
def ours(request, monkeypatch) -> Iterator[int]:
    """The port of our service with these keys."""
    if request.param == "native":
        need_native()
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)
    state = ClockState(
        leap=0, stratum=2, refid=b"\x7f\x7f\x01\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="test",
    )  # fmt: skip
    server = choose(request.param).serve_ntp([Endpoint("127.0.0.1", 0)], state, NtpPolicy())
    server.set_keys(parse_keys(KEYS.encode(), "keys").keys)
    try:
        yield server.endpoints[0].port
    finally:
        server.close()


@pytest.fixture
def both(chronyd, ours) -> Iterator[tuple[Asker, Asker]]:
    """Ask chronyd, and ask us. Silence is known by the reply to the plain request that follows."""
    marks = itertools.count(0x7700_0000_0000_0000)

    def asker(sock: socket.socket, port: int) -> Asker:
        sock.settimeout(20)
        sock.connect(("127.0.0.1", port))

        def ask(packet: bytes) -> bytes | None:
            mark = next(marks)
            sock.send(packet)
            sock.send(Header(transmit=mark).pack())
            got = sock.recv(2048)
            if parse_header(got).origin == mark:
                return None
            assert parse_header(sock.recv(2048)).origin == mark
            return got

        return ask

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        yield asker(one, chronyd), asker(two, ours)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", list(MacType), ids=lambda kind: kind.label)
def test_the_same_macs_are_right(both, kind, version):
    """Whole digests, cut ones, wrong ones, other keys, fields in front: the same get a reply, and of the same length."""
    digest = digester(kind, SECRETS[kind])
    fields = (b"", FIELD) if version == 4 else (b"",)
    for tail, size, number, damage in itertools.product(
        fields, (16, 20, 32, 48, 64), (NUMBER[kind], 77), (0, 1)
    ):
        packet = Header(version=version, transmit=5).pack() + tail
        mac = bytearray(digest(packet)[:size])
        if len(mac) < size:
            continue
        mac[0] ^= damage
        asked = packet + number.to_bytes(4) + mac
        theirs, got = (ask(asked) for ask in both)
        assert (got and len(got)) == (theirs and len(theirs)), (tail, size, number, damage)
        for reply in (theirs, got):
            if reply:
                assert (
                    reply[HEADER_BYTES + 4 :] == digest(reply[:HEADER_BYTES])[: len(reply) - HEADER_BYTES - 4]
                )


#: By name: what each request has for origin, receive and transmit, where "rx" and "tx" are those of the reply before.
SEQUENCES = {
    "basic": [(0, 0, 1), (0, 0, 2), (0, 0, 3)],
    "as ntpd in basic mode": [(0, 0, 1), ("tx", 9, 2), ("tx", 9, 3), ("tx", 9, 4)],
    "interleaved": [(0, 0, 1), ("rx", 9, 2), ("rx", 19, 3), ("rx", 29, 4), ("rx", 39, 5)],
    "receive and transmit the same": [(0, 0, 1), ("rx", 9, 2), ("rx", 3, 3), ("rx", 29, 4), ("rx", 39, 5)],
    "replay": [(0, 0, 1), ("rx", 9, 2), ("rx", 19, 3), "again", "again", ("rx", 29, 4)],
    "an origin that nobody sent": [(0, 0, 1), ("rx", 9, 2), (0x1234_5677, 19, 3), ("rx", 29, 4)],
    "there and back": [(0, 0, 1), ("rx", 9, 2), ("rx", 19, 3), (0, 0, 4), ("rx", 29, 5), ("rx", 39, 6)],
}


@pytest.mark.parametrize(("version", "mode"), [(4, 3), (3, 3)])
@pytest.mark.parametrize("name", SEQUENCES)
def test_the_same_requests_get_interleaved_mode(both, name, version, mode):
    def kinds(ask: Asker) -> list[str]:
        """What each reply was: its origin says which time of the request it answers."""
        found, last, packet = [], Header(), b""
        for step in SEQUENCES[name]:
            if step != "again":
                origin, receive, transmit = step
                origin = {"rx": last.receive, "tx": last.transmit}.get(origin, origin)
                packet = Header(
                    version=version, mode=mode, origin=origin, receive=receive << 32, transmit=transmit << 32
                ).pack()
            asked, last = parse_header(packet), parse_header(ask(packet))
            found.append("basic" if last.origin == asked.transmit else "interleaved")
            assert last.origin in (asked.transmit, asked.receive)
            assert (last.receive & 1, last.transmit & 1) == (1, 0)
        return found

    theirs, ours = (kinds(ask) for ask in both)
    assert ours == theirs
    assert ("interleaved" in ours) == (version == 4 and "basic" not in name)
