"""The service unit keeps the promises that operations.md makes."""

from __future__ import annotations

import configparser
import re
import subprocess
import tomllib

import pytest

from appliance_web.config import WebConfig
from tests.support.programs import need
from tests.support.tree import ROOT

UNITS = ROOT / "packaging" / "systemd"
UNIT = UNITS / "timeball.service"


@pytest.fixture
def service():
    # systemd allows a key twice; only its last value is looked at here
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(UNIT)
    return parser["Service"]


def test_wrong_configuration_is_not_tried_again(service) -> None:
    """`timeball run` finds what `timeball check` finds, and ends with 78; to check before would read everything twice."""
    assert service["RestartPreventExitStatus"] == "78"
    assert service["Restart"] == "on-failure"
    assert "ExecStartPre" not in service


@pytest.mark.parametrize("name", ["timeball.service", "timeball-early.service", "timeball-clock.service"])
def test_a_slow_card_is_no_reason_to_give_up(name) -> None:
    """An emulated Pi 3 takes a minute for what a PC does in a second."""
    found = re.search(r"^Timeout(?:Start)?Sec=(\d+)min$", (UNITS / name).read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= 3


def test_service_manager_hears_from_us_and_waits_long_enough(service) -> None:
    """READY and the watchdog are told; SIGTERM ends within 5 s, before the manager loses patience."""
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 10
    assert int(service["TimeoutStopSec"]) >= 6


#: systemd's own judgement in tenths, 0 (sealed) to 100 (open). Above the common limit only with the reason in the unit.
MOST = 16
BEYOND = {
    "timeball-arrive.service": 17,  # root that mounts
    "timeball-early.service": 24,  # root that mounts what is plugged in, and names the box
    "timeball-good.service": 25,  # root that mounts, and asks for time and pages on this machine
    "timeball-wifi@.service": 27,  # somebody else's program, with the rights that a network card asks for
    "timeball-ssh.service": 96,  # who signs in there may do everything
}


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_exposure_is_small(unit) -> None:
    limit = BEYOND.get(unit.name, MOST)
    judged = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=yes", f"--threshold={limit}", "--no-pager", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr


def test_systemd_understands_every_line_of_every_unit(tmp_path) -> None:
    """Every program is there; ImportCredential= came with systemd 254, and Debian 13 has 257."""
    for path in UNITS.iterdir():
        if path.is_file():
            text = re.sub(r"^ImportCredential=.*", "", path.read_text(), flags=re.MULTILINE)
            (tmp_path / path.name).write_text(
                re.sub(r"^(Exec\w+=[-+!@:]*)/\S+", r"\1/bin/true", text, flags=re.MULTILINE)
            )
    names = sorted(path.name for path in tmp_path.iterdir() if "@" not in path.name)
    looked = subprocess.run(
        [need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=one", *(tmp_path / n for n in names)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in looked.stderr.splitlines() if "timeball" in line]
    assert (looked.returncode, ours) == (0, [])


def test_sockets_are_those_that_the_shipped_configuration_wants() -> None:
    """What is handed over, and what is listened on, must not drift apart: the one would keep the other from its port."""
    wanted = tomllib.loads((ROOT / "packaging/debian/config.toml").read_text())["plugins"]
    web = WebConfig.model_validate(wanted["web"])
    pages = {str(endpoint) for endpoint in (*web.endpoints(), *web.tls_endpoints())}
    names = set(wanted["dns"]["listen"])
    expected = {
        "timeball-ntp.socket": {"ListenDatagram": set(wanted["ntp"]["listen"])},
        "timeball-dns.socket": {"ListenDatagram": names, "ListenStream": names},
        "timeball-web.socket": {"ListenStream": pages},
    }
    for name, options in expected.items():
        text = (UNITS / name).read_text()
        for option, addresses in options.items():
            assert set(re.findall(rf"^{option}=(\S+)$", text, re.MULTILINE)) == addresses, name
        assert "BindIPv6Only=ipv6-only" in text
        assert name in UNIT.read_text()


def test_what_packet_threads_need_to_confine_themselves_gets_through(service) -> None:
    """Calls in the order in which systemd reads them: what is allowed last stays allowed."""
    lines = [
        line.partition("=")[2]
        for line in UNIT.read_text().splitlines()
        if line.startswith("SystemCallFilter=")
    ]
    refused = next(
        number for number, line in enumerate(lines) if line.startswith("~") and "@privileged" in line
    )
    assert any("capset" in line.split() for line in lines[refused + 1 :])
    listed = subprocess.run(
        [need("systemd-analyze"), "syscall-filter", "@process"], capture_output=True, text=True, check=True
    ).stdout
    assert "prctl" in listed.split()


def test_packets_that_wait_for_a_service_that_cannot_start_do_not_use_up_its_starts(service) -> None:
    """Else systemd would refuse to start it for minutes after the mistake was corrected."""
    sockets = [(UNITS / name).read_text() for name in service["Sockets"].split()]
    triggered = sum(int(re.search(r"^TriggerLimitBurst=(\d+)$", text, re.MULTILINE)[1]) for text in sockets)
    most = int(re.search(r"^StartLimitBurst=(\d+)$", UNIT.read_text(), re.MULTILINE)[1])
    assert triggered + 2 < most
    span_s = re.search(r"^StartLimitIntervalSec=(\d+)$", UNIT.read_text(), re.MULTILINE)[1]
    assert all(f"TriggerLimitIntervalSec={span_s}\n" in text for text in sockets)


def test_who_stops_the_service_means_it(service) -> None:
    for name in service["Sockets"].split():
        assert "PartOf=timeball.service\n" in (UNITS / name).read_text()


def test_unit_and_configuration_mean_the_same_user_and_privilege(service) -> None:
    from appliance.host.privileges import ADVICE

    assert f'user = "{service["User"]}"' in ADVICE
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert service["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize(
    "name", ["timeball-gps.service", "timeball-time-sources.service", "timeball-clock-save.service"]
)
def test_units_beside_it_are_sealed_too(name) -> None:
    """30 stands for 3.0 of 10; those that run as root do one thing and end."""
    judged = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=yes", "--threshold=30", "--no-pager", UNIT.with_name(name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-2500:] + judged.stderr
