"""What a wheel holds: everything that runs and the manual, nothing else."""

from __future__ import annotations

import zipfile

import pytest

from tests.support.tree import ROOT, project, tracked
from tests.support.wheels import build_our_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel as it is released."""
    with zipfile.ZipFile(build_our_wheel(tmp_path_factory.mktemp("ours"))) as opened:
        yield opened


def test_wheel_holds_code_manual_and_assets(wheel) -> None:
    """Every committed file below `appliance` and the plugins that a running appliance reads is in it."""
    held = set(wheel.namelist())
    wanted = set()
    for path in tracked():
        parts = path.relative_to(ROOT).parts
        if parts[0] in ("appliance", "plugins") and "rust" not in parts and path.name != "README.md":
            wanted.add("/".join(parts[1:] if parts[0] == "plugins" else parts))
    assert sorted(wanted - held) == []


def test_wheel_holds_nothing_else(wheel) -> None:
    about = project()["project"]
    meta = f"{about['name']}-{about['version']}.dist-info/"
    for name in wheel.namelist():
        assert name.startswith(("appliance/", "appliance_", meta)), name
        assert "/tests/" not in name


def test_wheel_is_pure_and_says_its_licence(wheel) -> None:
    """It installs where no compiler is; the native plane is added by packages and images."""
    meta = next(name for name in wheel.namelist() if name.endswith("/WHEEL"))
    assert b"Root-Is-Purelib: true" in wheel.read(meta)
    text = wheel.read(meta.replace("WHEEL", "METADATA")).decode()
    assert "License-Expression: Apache-2.0" in text
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())
