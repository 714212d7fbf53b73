"""The units of the box keep what their comments promise."""

from __future__ import annotations

import subprocess

from tests.support.programs import need
from tests.support.tree import ROOT

UNITS = ROOT / "packaging" / "systemd"


def exposure_at_most(unit: str, tenths: int) -> None:
    judged = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=yes", f"--threshold={tenths}", "--no-pager", UNITS / unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr


def test_the_agent_is_as_closed_as_its_work_allows() -> None:
    exposure_at_most("timeball-agent.service", 20)


def test_only_root_and_the_service_reach_the_agents_socket() -> None:
    text = (UNITS / "timeball-agent.socket").read_text()
    assert "SocketMode=0660" in text
    assert "SocketUser=root" in text
    assert "SocketGroup=timeball" in text


def test_the_early_service_waits_for_nothing_and_comes_before_the_network() -> None:
    text = (UNITS / "timeball-early.service").read_text()
    assert "DefaultDependencies=no" in text
    assert "network-online" not in text
    assert "time-sync" not in text
    before = next(line for line in text.splitlines() if line.startswith("Before="))
    assert "network-pre.target" in before
    assert "systemd-networkd.service" in before
    assert "timeball.service" in before


def test_units_are_such_as_systemd_reads() -> None:
    """Programs of the package need not be on this machine."""
    units = [
        UNITS / name for name in ("timeball-agent.service", "timeball-agent.socket", "timeball-early.service")
    ]
    judged = subprocess.run(
        [need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    bad = [
        line
        for line in judged.stderr.splitlines()
        if "is not executable" not in line and "ImportCredential" not in line
    ]
    assert [line for line in bad if "timeball-agent" in line or "timeball-early" in line] == []
