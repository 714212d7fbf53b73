"""RAUC itself installs: its service, our configuration, backend, handler and hook, on loop devices in a mount namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import cannot_run, need, need_root
from tests.support.tree import ROOT


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    need_root()
    for program in ("rauc", "dbus-daemon", "busctl", "openssl", "losetup", "mksquashfs"):
        need(program)
    if not Path("/dev/loop-control").exists():
        cannot_run("this machine has no loop devices")
    folder = tmp_path_factory.mktemp("rauc")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    done = subprocess.run(
        [need("unshare"), "--mount", "--propagation", "private", sys.executable, "-m", "tests.plugins.updates.rauc_alone", folder],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    log = (folder / "log").read_text() if (folder / "log").exists() else ""
    assert done.returncode == 0, done.stderr[-3000:] + log[-3000:]
    return json.loads(done.stdout)


def test_rauc_writes_the_other_slot_and_its_boot_files_and_makes_it_the_next_one(told):
    good = told["good"]
    assert (good["error"], good["order"], good["tries_of_b"], good["a_good"]) == ("", ["B", "A"], 3, True)
    assert (good["same"], good["boot"]) == (True, ["vmlinuz"])
    assert good["doing"]


def test_a_file_that_was_exchanged_after_the_check_is_not_written(told):
    exchanged = told["exchanged"]
    assert "Pre-install handler error" in exchanged["error"]
    assert (exchanged["order"], exchanged["boot"], exchanged["same"]) == (["A", "B"], ["old"], False)


def test_rauc_does_not_write_over_the_only_system_that_is_good(told):
    stranded = told["stranded"]
    assert stranded["error"]
    assert stranded["a_good"]
