"""The service unit keeps the promises that operations.md makes."""

from __future__ import annotations

import configparser
import re
import subprocess

import pytest

from tests.support.programs import need
from tests.support.tree import ROOT

UNIT = ROOT / "packaging" / "systemd" / "timeball.service"


@pytest.fixture
def service():
    # systemd allows a key twice; only its last value is looked at here
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(UNIT)
    return parser["Service"]


def test_wrong_configuration_is_not_tried_again(service) -> None:
    assert service["RestartPreventExitStatus"] == "78"
    assert service["Restart"] == "on-failure"
    assert re.search(r"timeball check --config (\S+)", service["ExecStartPre"])[1] in service["ExecStart"]


def test_service_manager_hears_from_us_and_waits_long_enough(service) -> None:
    """READY and the watchdog are told; SIGTERM ends within 5 s, before the manager loses patience."""
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 10
    assert int(service["TimeoutStopSec"]) >= 6


def test_exposure_is_at_most_two() -> None:
    """systemd's own judgement, 0 (sealed) to 10 (open); 20 stands for 2.0."""
    judged = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=yes", "--threshold=20", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr


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
