"""A time service to ask, whose clock the test sets."""

from __future__ import annotations

import pytest

from appliance.api.services import TimeSource
from appliance.dataplane import ntp_decide
from appliance.testing import running
from tests.support.ntp_service import Source


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """A loaded machine may let a request wait longer than we would outside of tests."""
    monkeypatch.setattr(ntp_decide, "LATE_NS", 60 * 10**9)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def serving(tmp_path, source):
    def start(config="", plugins=("ntp",), **options):
        text = (
            config if "listen" in config else '[plugins.ntp]\nlisten = ["127.0.0.1:0", "[::1]:0"]\n' + config
        )
        return running(list(plugins), text, state_dir=tmp_path, provide={TimeSource: source}, **options)

    return start
