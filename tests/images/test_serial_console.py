"""The few lines on the serial console: what went wrong with files on the card comes first, and nothing drives the terminal."""

from __future__ import annotations

import importlib.util
import json
from importlib.machinery import SourceFileLoader

import pytest

from tests.support.tree import ROOT

SCRIPT = ROOT / "images/files/common/usr/libexec/timeball/serial"


@pytest.fixture
def serial(tmp_path):
    loader = SourceFileLoader("serial_console", str(SCRIPT))
    spec = importlib.util.spec_from_loader("serial_console", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.REPORT = str(tmp_path / "preseed.json")
    module.ADMIN = str(tmp_path / "nobody.sock")
    return module


def test_what_of_the_card_was_not_used_is_told_also_before_the_appliance_answers(serial, tmp_path):
    assert serial.essentials() == []
    (tmp_path / "preseed.json").write_text(
        json.dumps({
            "used": [], "notes": [],
            "problems": [{"where": "timeball.toml (boot partition)", "text": "hostname: \x1b[2J no such key"}],
        })
    )  # fmt: skip
    assert serial.essentials() == [
        "timeball NOT used: timeball.toml (boot partition): hostname: [2J no such key"
    ]
    (tmp_path / "preseed.json").write_text('{"problems": 5}')
    assert serial.essentials() == []


def test_an_appliance_that_answers_is_told_after_it(serial, tmp_path):
    (tmp_path / "preseed.json").write_text('{"problems": [{"where": "x", "text": "y"}]}')
    told = {"/api/v1/console": {"name": "pool.example", "urls": ["https://a/", "https://localhost/"]}, "/api/v1/setup/code": {"code": "AAAA-BBBB"}}  # fmt: skip
    serial.ask = told.get
    assert serial.essentials() == [
        "timeball NOT used: x: y",
        "timeball pool: pool.example",
        "timeball address: https://a/",
        "timeball setup code: AAAA-BBBB",
        "timeball owner: nobody yet",
    ]
