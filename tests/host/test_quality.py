"""The graded checklist: a level is reached when nothing of it or below it is open; whatever is written, it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.kit import quality

DONE = {level: "\n".join(f'{rule} = "done"' for rule in rules) for level, rules in quality.RULES.items()}


def text(**levels):
    return "\n".join(f"[{level}]\n{rules}" for level, rules in levels.items())


def test_levels_are_reached_one_after_the_other():
    assert quality.read("").level == ""
    assert quality.read(text(bronze=DONE["bronze"])).level == "bronze"
    assert quality.read(text(silver=DONE["silver"])).level == "", "bronze is open"
    assert quality.read(text(**DONE)).level == "gold"


def test_an_exemption_needs_a_reason():
    rules = DONE["bronze"].replace('tests = "done"', 'tests = { exempt = "it has no code" }')
    assert quality.read(text(bronze=rules)).exempt == (("tests", "it has no code"),)
    assert quality.read(text(bronze=rules.replace("it has no code", " "))).level == ""


@pytest.mark.parametrize(
    ("written", "says"), [("[", "not TOML"), ("[iron]", "no level"), ('[bronze]\nx = "done"', "no rule bronze.x"),
                          ("[bronze]\ntests = 1", "not 1")]
)  # fmt: skip
def test_a_mistake_in_the_checklist_is_told(written, says):
    found = quality.read(written)
    assert says in found.faults[0]
    assert found.level == ""


@given(st.text(max_size=200))
def test_whatever_is_written_is_read(written):
    assert quality.read(written).level in ("", *quality.LEVELS)
