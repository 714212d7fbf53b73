"""A box that is played, with a bundle that waits and programs that answer."""

from __future__ import annotations

import pytest

from appliance.api.agent import Ran
from appliance_updates import agent_actions, verity
from tests.plugins.updates.a_box import Box, rauc_info
from tests.plugins.updates.playing import busctl


@pytest.fixture
def box(tmp_path, monkeypatch):
    made = Box(tmp_path)
    (tmp_path / "new.raucb").write_bytes(b"x" * 100)
    made.programs.answers["rauc"] = lambda *_: Ran(0, rauc_info())
    made.programs.answers["busctl"] = busctl(made)
    monkeypatch.setattr(
        verity, "check", lambda *_: None
    )  # its own tests are beside; this file plays a bundle
    monkeypatch.setattr(agent_actions.rauc, "_POLL_S", 0.001)
    return made
