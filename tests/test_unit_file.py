"""The service unit keeps the promises that operations.md makes."""

from __future__ import annotations

import configparser
import re
import subprocess

import pytest

from tests.support.programs import need
from tests.support.tree import ROOT

UNIT = ROOT / "packaging" / "timeball.service"


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
