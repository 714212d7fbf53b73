"""Real clients with keys, and in interleaved mode: chronyd, ntpdig and NTPsec, against both data planes.

As in `test_ntp_clients`, server and client live in network namespaces of the test, and no client can set a clock.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from appliance.api.model import ClockState
from appliance.core.clock import SystemClock
from appliance.dataplane import choose, ntp_decide
from appliance.dataplane.interface import Action, Endpoint, Mark, NtpPolicy, NtpServer, Reason
from appliance.wire.ntp_mac import MacType
from appliance_ntp.keys_file import parse_keys
from tests.support.native import need_native
from tests.support.netns import Namespace, network
from tests.support.programs import need
from tests.support.wait import wait_until

CLOCK = SystemClock()
SERVER = "10.78.0.1"
PATIENCE_S = 60.0


def digits(kind: MacType) -> str:
    return bytes(range(1, 1 + (kind.key_bytes or 20))).hex()


#: What the service and chronyd read, word for word.
KEYS = "".join(f"{n} {kind.label} HEX:{digits(kind)}\n" for n, kind in enumerate(MacType, 1))
NUMBER = {kind: number for number, kind in enumerate(MacType, 1)}
WRONG = KEYS.replace("HEX:0102", "HEX:ffff")
#: The same for NTPsec, which has other names and takes 40 and more digits for hexadecimal ones.
NTPSEC_NAMES = {MacType.AES128: "AES", MacType.AES256: "AES-256"}
NTPSEC = "".join(
    f"{n} {NTPSEC_NAMES.get(kind, kind.label)} {digits(kind)}\n" for n, kind in enumerate(MacType, 1)
)


class Bed(NamedTuple):
    """A server with keys and a client, one cable apart."""

    server: NtpServer
    at_client: Namespace
    folder: Path

    def keys(self, text: str) -> Path:
        path = self.folder / "keys"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def start(self, *argv: str) -> Path:
        """Start a client; the file with all that it says."""
        said = self.folder / "said"
        command = [need("setpriv"), "--bounding-set=-sys_time", *argv]
        with said.open("wb") as log:
            self.at_client.start(*command, stdout=log, stderr=subprocess.STDOUT)
        return said

    def chronyd(self, options: str, keys: str = KEYS) -> Chronyd:
        """A chronyd that asks us four times a second."""
        run = self.folder / "run"
        run.mkdir(mode=0o700)
        config = self.folder / "chrony.conf"
        config.write_text(
            f"server {SERVER} {options} minpoll -2 maxpoll -2\nkeyfile {self.keys(keys)}\nport 0\ncmdport 0\n"
            f"bindcmdaddress {run}/socket\npidfile {run}/pid\n"
        )
        self.start(need("chronyd"), "-x", "-d", "-u", "root", "-f", str(config))
        wait_until((run / "socket").exists, "chronyd's socket", PATIENCE_S)
        return Chronyd(self, str(run / "socket"))


class Chronyd(NamedTuple):
    """A running chronyd."""

    bed: Bed
    socket: str

    def report(self) -> dict[str, str]:
        """What `chronyc ntpdata` says about us."""
        done = self.bed.at_client.run(need("chronyc"), "-h", self.socket, "ntpdata", SERVER, check=False)
        return dict(re.findall(r"^([^:\n]+?) *: (.*)$", done.stdout, re.MULTILINE))

    def tests_passed(self) -> bool:
        """Whether a reply was accepted: the digits of "NTP tests", of which the last four are about the source itself."""
        return self.report().get("NTP tests", "").startswith("111 111")


@pytest.fixture(params=["python", "native"])
def bed(request, monkeypatch, tmp_path) -> Iterator[Bed]:
    if request.param == "native":
        need_native()
    # on a loaded machine a request may wait longer than we let it outside of tests
    monkeypatch.setattr(ntp_decide, "LATE_NS", 10 * 10**9)
    state = ClockState(
        leap=0, stratum=2, refid=b"\xc6\x33\x64\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="test",
    )  # fmt: skip
    with network() as net:
        at_server, at_client = net.namespace(), net.namespace()
        net.link(at_server, at_client, [f"{SERVER}/24"], ["10.78.0.2/24"])
        with at_server.entered():
            server = choose(request.param).serve_ntp([Endpoint("0.0.0.0", 123)], state, NtpPolicy())
        server.set_keys(parse_keys(KEYS.encode(), "keys").keys)
        try:
            yield Bed(server, at_client, tmp_path)
        finally:
            server.close()


def marks(bed: Bed, mark: Mark) -> int:
    return bed.server.marks().get(mark, 0)


@pytest.mark.parametrize(
    ("kind", "version"), [*((kind, 4) for kind in MacType), (MacType.SHA512, 3), (MacType.AES128, 3)],
    ids=lambda value: getattr(value, "label", f"v{value}"),
)  # fmt: skip
def test_chronyd_believes_us_with_a_key_of_each_type(bed, kind, version):
    chronyd = bed.chronyd(f"key {NUMBER[kind]} version {version}")
    wait_until(chronyd.tests_passed, "chronyd to accept a reply", PATIENCE_S)
    assert chronyd.report()["Authenticated"] == "Yes"
    wait_until(lambda: marks(bed, Mark.AUTHENTICATED) >= 1, "the replies to be counted")


def test_chronyd_with_a_wrong_key_never_gets_time(bed):
    chronyd = bed.chronyd(f"key {NUMBER[MacType.AES128]}", WRONG)
    wait_until(lambda: marks(bed, Mark.WRONG_MAC) >= 5, "requests with a wrong MAC", PATIENCE_S)
    assert not chronyd.tests_passed()
    assert bed.server.counters().get((Reason.OK, Action.REPLY), 0) == 0
    # The right file, and it is believed: nothing but the key was wrong.
    bed.server.set_keys(parse_keys(WRONG.encode(), "keys").keys)
    wait_until(chronyd.tests_passed, "chronyd to accept a reply", PATIENCE_S)


@pytest.mark.parametrize("options", ["xleave", f"xleave key {NUMBER[MacType.AES128]}"])
def test_chronyd_in_interleaved_mode(bed, options):
    """It learns when our replies really left, by the kernel's word."""
    chronyd = bed.chronyd(options)
    wait_until(
        lambda: chronyd.tests_passed() and chronyd.report().get("Interleaved") == "Yes",
        "chronyd in interleaved mode",
        PATIENCE_S,
    )
    wait_until(lambda: marks(bed, Mark.STAMPED) >= 2, "the kernel's times", PATIENCE_S)
    wait_until(lambda: marks(bed, Mark.INTERLEAVED) >= 1, "the replies to be counted")
    assert chronyd.report()["Authenticated"] == ("Yes" if "key" in options else "No")


@pytest.mark.parametrize("kind", [MacType.AES128, MacType.SHA1, MacType.MD5], ids=lambda kind: kind.label)
def test_ntpdig_believes_us_with_a_key(bed, kind):
    """It sends the longer digests in full in version 4, which nobody answers: chronyd does not either."""
    ask = ["ntpdig", "-t", "10", "-j", "-a", str(NUMBER[kind]), "-k", str(bed.keys(NTPSEC)), SERVER]
    done = bed.at_client.run(need("ntpdig"), *ask[1:], timeout_s=60, check=False)
    told = json.loads(done.stdout)
    assert (told["ip"], told["stratum"], told["leap"]) == (SERVER, 2, "no-leap"), done
    wait_until(lambda: marks(bed, Mark.AUTHENTICATED) == 1, "the reply to be counted")


def test_ntpdig_with_a_wrong_key_never_gets_time(bed):
    keys = bed.keys(NTPSEC.replace("0102", "ffff"))
    number = str(NUMBER[MacType.AES128])
    done = bed.at_client.run(
        need("ntpdig"), "-t", "1", "-j", "-a", number, "-k", str(keys), SERVER, timeout_s=60, check=False
    )
    assert "stratum" not in done.stdout, done
    assert marks(bed, Mark.WRONG_MAC) >= 1
    assert marks(bed, Mark.AUTHENTICATED) == 0


@pytest.mark.parametrize(
    "kind", [MacType.AES128, MacType.AES256, MacType.SHA1, MacType.SHA256, MacType.SHA512, MacType.MD5],
    ids=lambda kind: kind.label,
)  # fmt: skip
def test_ntpsec_believes_us_with_a_key(bed, kind):
    """Its statistics say of each reply whether it was authenticated."""
    number = NUMBER[kind]
    config = bed.folder / "ntp.conf"
    config.write_text(
        f"server {SERVER} key {number} minpoll 0 maxpoll 0 iburst\nkeys {bed.keys(NTPSEC)}\ntrustedkey {number}\n"
        f"disable ntp\nstatsdir {bed.folder}/\nfilegen peerstats file peerstats type none enable\n"
        f"driftfile {bed.folder}/drift\nlogfile {bed.folder}/log\n"
    )
    said = bed.start(need("ntpd"), "-n", "-N", "-c", str(config))
    stats = bed.folder / "peerstats"

    def believed() -> bool:
        rows = [line.split() for line in stats.read_text().splitlines()] if stats.exists() else []
        # configured, to be authenticated, authenticated, reachable
        return any(len(row) > 3 and int(row[3], 16) >> 12 == 0xF for row in rows)

    try:
        wait_until(believed, "NTPsec to accept a reply", PATIENCE_S)
    except AssertionError as e:
        log = bed.folder / "log"
        e.add_note(f"it said:\n{said.read_text()}\n{log.read_text() if log.exists() else ''}")
        e.add_note(f"{bed.server.marks()} {bed.server.counters()}")
        raise
    wait_until(lambda: marks(bed, Mark.AUTHENTICATED) >= 1, "the replies to be counted")
