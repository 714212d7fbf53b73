"""Real clients take the time from us: chronyd, ntpdig, ntpdate, busybox, OpenNTPD and systemd-timesyncd.

Server and client live in network namespaces of the test, on port 123. No client can move this machine's clock: each runs
without CAP_SYS_TIME, and chronyd and busybox are told not to as well. Those that insist on setting it fail at that very
point, after they have accepted our reply, and say so in their log.

Debian builds busybox without its NTP client; `make peers` builds that from Debian's source.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose, ntp_decide
from appliance.dataplane.interface import Action, Endpoint, NtpPolicy, NtpServer, Reason
from appliance.dataplane.python_ntp import PythonNtpServer
from appliance.wire.ntp import client_request, parse_header
from appliance_ntp.config import NtpConfig
from appliance_ntp.policy import limit_of
from tests.support.native import need_native
from tests.support.netns import Namespace, network
from tests.support.programs import need
from tests.support.wait import wait_until

CLOCK = SystemClock()
SERVER, SERVER6 = "10.77.0.1", "fd77::1"
LISTEN = [Endpoint("0.0.0.0", 123), Endpoint("::", 123)]


class Bed(NamedTuple):
    """A server with two addresses and a client, one cable apart."""

    server: NtpServer
    at_server: Namespace
    at_client: Namespace
    cable: str

    def replies(self) -> int:
        return self.server.counters().get((Reason.OK, Action.REPLY), 0)

    def refused(self) -> int:
        """Requests over the default limits."""
        return sum(n for (reason, _), n in self.server.counters().items() if reason is Reason.RATE)

    def ask(self, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a client to its end, without the right to set the clock."""
        program, *arguments = argv
        command = [*unable_to_set_the_clock(), need(program), *arguments]
        return self.at_client.run(*command, timeout_s=timeout_s, check=False)


@pytest.fixture
def bed(monkeypatch) -> Iterator[Bed]:
    # ntpdig asks once: on a loaded machine that one request may wait longer than we let it outside of tests
    monkeypatch.setattr(ntp_decide, "LATE_NS", 10 * 10**9)
    with network() as net:
        at_server, at_client = net.namespace(), net.namespace()
        cable, _ = net.link(
            at_server,
            at_client,
            [f"{SERVER}/24", "10.77.0.9/24", f"{SERVER6}/64"],
            ["10.77.0.2/24", "fd77::2/64"],
        )
        with at_server.entered():
            server = PythonNtpServer(
                LISTEN, synchronised(), NtpPolicy(limit=limit_of(NtpConfig())), CLOCK, clients=64
            )
        try:
            yield Bed(server, at_server, at_client, cable)
        finally:
            server.close()


def synchronised() -> ClockState:
    return ClockState(
        leap=0, stratum=2, refid=b"\xc6\x33\x64\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="test",
    )  # fmt: skip


def unable_to_set_the_clock() -> list[str]:
    """In front of a command: it runs without the capability, even as root."""
    return [need("setpriv"), "--bounding-set=-sys_time"]


@contextmanager
def daemon(bed: Bed, folder: Path, *argv: str, before: str = "true", as_user: bool = False) -> Iterator[Path]:
    """A client that runs until the end of the block; yields the file with all that it says.

    Users that the packages would have made exist for it alone, and what it writes under /run and /var/lib goes nowhere.
    """
    for name, lines in (("passwd", "ntpd:x:64123:64123::/run/empty:/bin/false"), ("group", "ntpd:x:64123:")):
        (folder / name).write_text(Path("/etc", name).read_text() + lines + "\n")
    private = (
        f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group"
        f' && mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mkdir /run/empty && {before} && exec "$@"'
    )
    said = folder / "said"
    user = ["--reuid=64123", "--clear-groups"] if as_user else []
    command = [*unable_to_set_the_clock(), *user, *argv]
    with said.open("wb") as log:
        bed.at_client.start("sh", "-c", private, "sh", *command, stdout=log, stderr=subprocess.STDOUT)
        yield said


def wait_for_words(said: Path, words: str, what: str) -> re.Match[str]:
    try:
        return wait_until(lambda: re.search(words, said.read_text()), what, timeout_s=60)
    except AssertionError as e:
        e.add_note(f"it said:\n{said.read_text()}")
        raise


@pytest.mark.parametrize("address", [SERVER, SERVER6])
def test_ntpdig(bed, address):
    done = bed.ask("ntpdig", "-t", "10", "-j", address)
    told = json.loads(done.stdout)
    assert (told["ip"], told["stratum"], told["leap"], told["adjusted"]) == (address, 2, "no-leap", False)
    assert abs(told["offset"]) < 1
    assert not bed.refused()


def test_ntpdate(bed):
    done = bed.ask("ntpdate", "-q", SERVER)
    assert done.returncode == 0, done
    assert re.search(rf"{SERVER} s2 no-leap", done.stdout), done
    assert not bed.refused()


@pytest.mark.parametrize("options", ["", "version 3", "xleave", "minpoll -6"])
def test_chronyd_once(bed, options):
    """Also a client that would like interleaved mode: it is answered in basic mode."""
    address = SERVER6 if options else SERVER
    done = bed.ask(
        "chronyd", "-Q", "-t", "40", "-f", "/dev/null", f"server {address} iburst maxsamples 4 {options}"
    )
    assert done.returncode == 0, done
    offset_s = float(
        re.search(r"System clock wrong by (\S+) seconds \(ignored\)", done.stderr + done.stdout)[1]
    )
    assert abs(offset_s) < 1
    assert bed.replies() >= 1


def test_chronyd_as_a_daemon(bed, tmp_path):
    """It selects us, from an address of ours that is not the first one, and for IPv6 too."""
    config = tmp_path / "chrony.conf"
    config.write_text(
        f"server 10.77.0.9 iburst minpoll -2 maxpoll 0\nserver {SERVER6} iburst minpoll -2 maxpoll 0\n"
        f"port 0\ncmdport 0\nbindcmdaddress /run/chrony/chronyd.sock\npidfile /run/chronyd.pid\n"
    )
    command = [need("chronyd"), "-x", "-d", "-u", "root", "-f", str(config)]
    with daemon(bed, tmp_path, *command, before="mkdir -m 700 /run/chrony") as said:
        selected = wait_for_words(said, r"Selected source (\S+)", "chronyd to select us")
        assert selected[1] in ("10.77.0.9", SERVER6)
        traffic = bed.server.traffic()
        assert traffic[4, 3, 4] >= 1
        assert traffic[4, 3, 6] >= 1


@pytest.mark.parametrize("plane", ["python", "native"])
def test_chronyd_with_iburst_is_within_the_default_limits(bed, tmp_path, plane):
    """Its whole burst is answered, over both families, by either plane."""
    bed.server.close()
    if plane == "native":
        need_native()
    policy = NtpPolicy(limit=limit_of(NtpConfig()))
    with bed.at_server.entered():
        server = choose(plane).serve_ntp(LISTEN, synchronised(), policy, clients=64)
    bed = bed._replace(server=server)
    config = tmp_path / "chrony.conf"
    config.write_text(
        f"server {SERVER} iburst\nserver {SERVER6} iburst\n"
        f"port 0\ncmdport 0\nbindcmdaddress /run/chrony/chronyd.sock\npidfile /run/chronyd.pid\n"
    )
    command = [need("chronyd"), "-x", "-d", "-u", "root", "-f", str(config)]
    try:
        with daemon(bed, tmp_path, *command, before="mkdir -m 700 /run/chrony") as said:
            wait_for_words(said, r"Selected source (\S+)", "chronyd to select us")
            wait_until(lambda: bed.replies() >= 8, "two bursts of four to be answered", timeout_s=60)
            assert not bed.refused()
            known = {str(client.network): client for client in server.clients()}
            assert known.keys() == {"10.77.0.2/32", "fd77::/64"}
            assert all(client.packets == client.replies >= 4 for client in known.values())
    finally:
        server.close()


def test_busybox(bed, tmp_path):
    command = [need("busybox-ntpd"), "ntpd", "-w", "-n", "-d", "-d", "-p", SERVER]
    with daemon(bed, tmp_path, *command) as said:
        reply = wait_for_words(
            said, r"reply from 10\.77\.0\.1: offset:(\S+) .* strat:2 ", "busybox to take a reply"
        )
        assert abs(float(reply[1])) < 1
        assert not bed.refused()


def test_openntpd(bed, tmp_path):
    config = tmp_path / "ntpd.conf"
    config.write_text(f"server {SERVER}\n")
    command = [need("openntpd"), "-d", "-v", "-v", "-s", "-f", str(config)]
    folders = "mkdir -p /var/lib/openntpd/run /var/lib/openntpd/db"
    with daemon(bed, tmp_path, *command, before=folders) as said:
        wait_for_words(said, r"reply from 10\.77\.0\.1: offset -?0\.\d+ delay", "OpenNTPD to take a reply")
        wait_for_words(
            said, r"settimeofday: Operation not permitted", "OpenNTPD to try to set the clock by it"
        )
        assert not bed.refused()


def test_timesyncd(bed, tmp_path):
    config = tmp_path / "timesyncd.conf"
    config.write_text(f"[Time]\nNTP={SERVER}\nFallbackNTP=\n")
    environment = ["env", "SYSTEMD_LOG_LEVEL=debug", "SYSTEMD_LOG_TARGET=console"]
    command = [*environment, need("systemd-timesyncd")]
    before = f"mount -t tmpfs none /etc/systemd && cp {config} /etc/systemd/"
    # as root it would want to keep the right to set the clock, which it does not have
    with daemon(bed, tmp_path, *command, before=before, as_user=True) as said:
        wait_for_words(said, r"stratum\s*: 2", "timesyncd to read a reply")
        wait_for_words(said, r"Contacted time server 10\.77\.0\.1:123", "timesyncd to accept it")
        wait_for_words(said, r"Initial clock synchronization", "timesyncd to be content")
        assert not bed.refused()


def test_nobody_believes_an_unsynchronised_server(bed):
    bed.server.set_clock(ClockState.unsynchronised("test"))
    done = bed.ask("chronyd", "-Q", "-t", "8", "-f", "/dev/null", f"server {SERVER} iburst maxsamples 4")
    assert done.returncode != 0, done
    assert "wrong by" not in done.stdout + done.stderr
    assert bed.server.counters()[Reason.UNSYNCHRONISED, Action.REPLY] >= 1


def test_a_network_that_goes_down_and_comes_back(bed):
    """The same sockets answer again: nothing needs to be bound anew."""
    assert bed.ask("ntpdig", "-t", "10", "-j", SERVER).returncode == 0
    bed.at_server.run("ip", "link", "set", bed.cable, "down")
    bed.at_server.run("ip", "link", "set", bed.cable, "up")
    wait_until(
        lambda: bed.ask("ntpdig", "-t", "1", "-j", SERVER).returncode == 0,
        "replies after the network is back",
    )
    assert bed.server.failure() is None


def test_replies_come_from_the_address_that_was_asked_through_a_wildcard(bed):
    with bed.at_client.entered():
        sockets = {
            address: socket.socket(family, socket.SOCK_DGRAM)
            for address, family in (
                (SERVER, socket.AF_INET),
                ("10.77.0.9", socket.AF_INET),
                (SERVER6, socket.AF_INET6),
            )
        }
    for address, sock in sockets.items():
        with sock:
            sock.settimeout(10)
            sock.sendto(client_request(1), (address, 123))
            reply, source = sock.recvfrom(100)
            assert source[0] == address
            assert parse_header(reply).mode == 4
