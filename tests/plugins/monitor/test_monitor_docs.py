"""The table of rules that people read is the table that the code runs."""

from __future__ import annotations

import re
from pathlib import Path

import appliance
from appliance_monitor.steps import TABLE

PAGE = Path(appliance.__file__).parent / "docs" / "scoring.md"


def test_the_documented_rules_are_the_rules():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.*?) ?\|$", PAGE.read_text(), re.MULTILINE)
    documented = [(rule, when, step, cap.strip()) for rule, when, step, cap in rows]
    assert documented == [
        (line.id, line.when, line.worth, "" if line.cap is None else str(line.cap))
        for line in TABLE
        if "ntppool" in line.profiles
    ]
