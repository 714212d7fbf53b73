"""What is shipped for chronyd is understood by the chronyd of the machine."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.programs import need
from tests.support.tree import ROOT

SHIPPED = ROOT / "packaging" / "chrony"
IMAGE = ROOT / "images" / "files" / "common"


@pytest.mark.parametrize(
    "file", [SHIPPED / "timeball.conf", IMAGE / "etc/chrony/chrony.conf"], ids=lambda path: path.name
)
def test_chronyd_understands_every_line(tmp_path, file) -> None:
    kept = [
        line
        for line in file.read_text().splitlines()
        # Debian 13's chronyd reads the list of leap seconds itself; older ones do not know the word.
        if not line.startswith(("leapseclist", "confdir", "sourcedir"))
    ]
    (tmp_path / "chrony.conf").write_text("\n".join(kept) + "\n")
    done = subprocess.run(
        [need("chronyd"), "-p", "-f", str(tmp_path / "chrony.conf")], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout


def test_default_sources_are_names_of_a_pool_and_no_addresses_of_others() -> None:
    lines = [
        line
        for line in (IMAGE / "usr/share/timeball/default.sources").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert lines
    assert all(line.startswith("pool ") and line.split()[1].endswith(".pool.ntp.org") for line in lines)
