"""Against Debian's chronyd, which runs as a child of the test on loopback and never touches the system clock (`-x`)."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from appliance.testing import running
from appliance_clock.chrony import Command, parse_tracking
from appliance_clock.chrony_link import ChronyLink, ChronyUnreachable, Door
from appliance_clock.chrony_survey import survey
from tests.support.programs import free_port, need, need_root
from tests.support.wait import wait_for, wait_until

_sequence = itertools.count(0xFEDC_0000)


class Chronyd:
    """One chronyd with its own folder, command port and Unix socket."""

    def __init__(self, folder: Path, *lines: str) -> None:
        need_root()  # chronyd starts as root only
        # As Debian has it: chronyd's own user, in a folder that nobody else enters.
        shutil.chown(folder, "_chrony", "_chrony")
        folder.chmod(0o750)
        self.folder = folder
        self.port = free_port(tcp=False)
        self.socket_path = folder / "chronyd.sock"
        self.config = folder / "chrony.conf"
        self.config.write_text(
            "\n".join(
                [
                    *lines,
                    f"cmdport {self.port}",
                    "bindcmdaddress 127.0.0.1",
                    f"bindcmdaddress {self.socket_path}",
                    f"pidfile {folder / 'chronyd.pid'}",
                    "",
                ]
            )
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [need("chronyd"), "-x", "-d", "-f", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self.tracking, "chronyd to answer chronyc")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            (self.folder / "chronyd.pid").unlink(missing_ok=True)

    def chronyc(self, *command: str) -> list[list[str]]:
        done = subprocess.run(
            [need("chronyc"), "-n", "-h", str(self.socket_path), "-c", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        return [line.split(",") for line in done.stdout.splitlines()] if done.returncode == 0 else []

    def tracking(self) -> list[str] | None:
        rows = self.chronyc("tracking")
        return rows[0] if rows and len(rows[0]) > 10 else None

    def link(self, **door) -> ChronyLink:
        where = Door(**{"port": self.port, "socket_path": str(self.socket_path), **door})
        return ChronyLink(where, sequence=lambda: next(_sequence), timeout_s=2.0)


@pytest.fixture
def folders():
    """Folders with short names: the path of a Unix socket holds 107 characters."""
    made = []

    def folder() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="tbc")))
        return made[-1]

    yield folder
    for path in made:
        shutil.rmtree(path)


@pytest.fixture
def chronyd(folders):
    """Start chronyds; all are ended with the test."""
    started = []

    def start(*lines: str) -> Chronyd:
        started.append(Chronyd(folders(), *lines))
        return started[-1]

    yield start
    for daemon in started:
        daemon.kill()


@pytest.fixture
def chain(chronyd):
    """A chronyd that follows another one over NTP on loopback: (reference, follower)."""
    ntp = free_port(tcp=False)
    reference = chronyd(f"port {ntp}", "bindaddress 127.0.0.1", "allow 127.0.0.1", "local stratum 4")
    follower = chronyd("port 0", f"server 127.0.0.1 port {ntp} iburst minpoll -2 maxpoll 0")
    wait_until(lambda: follower.tracking()[2] == "5", "the follower to be synchronised")
    return reference, follower


@pytest.mark.parametrize("way", ["udp", "unix"])
async def test_tracking_is_what_chronyc_prints(chain, way):
    """Field by field; between two updates of chronyd, so that both saw the same one."""
    _, follower = chain
    link = follower.link(**({"socket_path": ""} if way == "udp" else {"port": free_port(tcp=False)}))
    try:

        async def same():
            before = follower.tracking()
            ours = parse_tracking(await link.ask(Command.TRACKING))
            return (ours, before) if follower.tracking()[3] == before[3] else None

        ours, printed = await wait_for(same, "two chronyc runs without an update between them")
        assert link.transport == way
    finally:
        link.close()
    assert ours.refid.hex().upper() == printed[0]
    assert ours.source == printed[1] == "127.0.0.1"
    assert ours.stratum == int(printed[2]) == 5
    assert ours.reference_ns / 1e9 == pytest.approx(float(printed[3]), abs=2e-9 * 1e3)
    # chronyc prints the correction with its sign turned, and nine digits after the point
    for mine, index in (
        (ours.last_offset_s, 5),
        (ours.rms_offset_s, 6),
        (ours.root_delay_s, 10),
    ):
        assert mine == pytest.approx(float(printed[index]), abs=1e-9)
    for mine, index in ((ours.frequency_ppm, 7), (ours.residual_ppm, 8), (ours.skew_ppm, 9)):
        assert mine == pytest.approx(float(printed[index]), abs=1e-3)
    assert ours.root_dispersion_s == pytest.approx(float(printed[11]), rel=0.2, abs=1e-4)
    assert ours.update_interval_s == pytest.approx(float(printed[12]), abs=0.1)
    assert printed[13] == "Normal"
    assert ours.leap == 0


async def test_sources_are_what_chronyc_prints(chain):
    _, follower = chain
    link = follower.link()
    try:
        report = await survey(link)
        (source,) = report["sources"]
        (printed,) = follower.chronyc("sources")
        assert source["address"] == source["name"] == printed[2]
        assert (source["state"], source["mode"]) == ("selected", "server")
        assert source["stratum"] == int(printed[3]) == 4
        assert -2 <= source["poll"] <= 0
        assert source["reach"]
        assert abs(source["offset_s"]) < 0.1
        assert source["samples"] >= 1
        activity = report["activity"]
        assert (activity["online"] + activity["burst_online"], activity["offline"]) == (1, 0)
    finally:
        link.close()


async def test_server_counters_come_over_the_unix_socket_and_are_withheld_on_the_port(chain):
    reference, _ = chain
    port, unix = reference.link(socket_path=""), reference.link(port=free_port(tcp=False))
    try:
        withheld = (await survey(port))["withheld"]
        assert "Unix socket" in withheld["server_stats"]
        stats = (await survey(unix))["server_stats"]
        printed = [int(value) for value in reference.chronyc("serverstats")[0]]
        assert 0 < stats["ntp_hits"] <= printed[0]
        assert stats["ntp_drops"] == printed[1] == 0
    finally:
        port.close()
        unix.close()
    assert not list(reference.folder.glob("timeball.*")), "our end of the Unix socket is removed"


async def test_nobody_there_is_said_with_everything_that_was_tried(folders):
    missing = folders() / "chronyd.sock"
    link = ChronyLink(
        Door(port=free_port(tcp=False), socket_path=str(missing)),
        sequence=lambda: next(_sequence),
        timeout_s=0.2,
    )
    with pytest.raises(ChronyUnreachable, match=r"UDP 127\.0\.0\.1:\d+: .*; .*chronyd\.sock: "):
        await link.ask(Command.TRACKING)
    link.close()
    assert not list(missing.parent.iterdir())


async def test_the_plugin_follows_chronyd_through_its_death_and_return(chronyd, tmp_path, caplog):
    """Synchronised; killed: it ages, then says so; back: synchronised again. One line in the log for each."""
    daemon = chronyd("port 0", "local stratum 3")
    config = {
        "plugins": {
            "clock": {
                "source": "chrony", "chrony_address": f"127.0.0.1:{daemon.port}", "chrony_socket": "",
                "poll_interval_s": 0.05, "stale_after_s": 0.5, "give_up_after_s": 3.0,
            }
        }
    }  # fmt: skip
    caplog.set_level("INFO", logger="timeball.clock")
    async with running(["clock"], config, state_dir=tmp_path) as app:

        async def clock():
            return await app.get("/api/v1/clock")

        async def synchronised():
            now = await clock()
            return now if now["synchronised"] else None

        good = await wait_for(synchronised, "the clock to be synchronised")
        assert (good["source"], good["stratum"], good["refid"]) == ("chrony", 3, "7f7f0101")
        assert good["root_distance_s"] < 0.01

        daemon.kill()

        async def unattended():
            now = await clock()
            return now if now["synchronised"] and "unattended" in now["why"] else None

        aging = await wait_for(unattended, "the state to age", interval_s=0.01)
        assert aging["dispersion_rate"] >= 14.9e-6

        async def lost():
            now = await clock()
            return now if not now["synchronised"] else None

        gone = await wait_for(lost, "the clock to be given up")
        assert (gone["leap"], gone["stratum"]) == (3, 0)

        await wait_for(lambda: "not synchronised" in caplog.text, "the loss to be logged")

        daemon.start()
        assert (await wait_for(synchronised, "the clock to be synchronised again"))["stratum"] == 3
        await wait_for(lambda: caplog.text.count(" synchronised, stratum") == 2, "the return to be logged")
    told = [record.getMessage() for record in caplog.records if "ynchronised" in record.getMessage()]
    assert [line.startswith("not") for line in told][-3:] == [False, True, False]
    assert len(told) <= 4, told  # one more when the first poll came before chronyd was ready


async def test_an_unsynchronised_chronyd_is_not_time(chronyd, tmp_path):
    daemon = chronyd("port 0")
    config = {"plugins": {"clock": {"chrony_address": f"127.0.0.1:{daemon.port}", "chrony_socket": ""}}}
    async with running(["clock"], config, state_dir=tmp_path) as app:
        await app.until_running("clock")
        clock = await app.get("/api/v1/clock")
        assert not clock["synchronised"]
        assert clock["source"] == "chrony"
        assert "not synchronised" in clock["why"]
        assert json.dumps(clock)


async def test_reference_clocks_that_wait_for_a_receiver_are_marked_and_not_advised_about(
    chronyd, folders, tmp_path
) -> None:
    """They are in the configuration that we ship, on every box."""
    from tests.support.tree import ROOT

    place = folders()
    shipped = (
        (ROOT / "packaging" / "chrony" / "timeball.conf")
        .read_text()
        .replace("/run/chrony.timeball-", f"{place}/")
    )
    daemon = chronyd(*shipped.splitlines())
    config = {"plugins": {"clock": {"source": "chrony", "chrony_address": f"127.0.0.1:{daemon.port}"}}}
    async with running(["clock"], config, state_dir=tmp_path) as app:
        await app.until_running("clock")
        told = await app.get("/api/v1/clock")
        assert [(s["address"], s["idle"]) for s in told["chrony"]["sources"]] == [
            ("GPS", True),
            ("PPS", True),
        ]
        assert told["better"][0].startswith("chronyd has no sources")
        assert not any("GPS" in line or "PPS" in line for line in told["better"])
