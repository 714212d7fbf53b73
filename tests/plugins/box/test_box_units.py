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
