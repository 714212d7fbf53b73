"""Every plugin that comes with the appliance keeps the contract that strangers' plugins are held to, and has reached the highest level."""

import re

import pytest

import appliance.testing.pool  # noqa: F401 - it borrows what the demo is made of, which is no patch of the demo's
from appliance.host import loader
from appliance.kit import quality
from appliance.kit.measure import with_contract
from appliance.testing import contract
from tests.support.tree import ROOT

OURS = [loaded for loaded in loader.discover().good() if loaded.builtin]


def own_tests(plugin_id):
    """Its own tests run with ours: they are where they belong, and there are some."""
    found = [
        p
        for p in (ROOT / "tests/plugins" / plugin_id).glob("test_*.py")
        if "def test_" in p.read_text("utf-8")
    ]
    return {"state": "passed" if found else "failed", "why": f"there is no test in tests/plugins/{plugin_id}"}


@pytest.mark.parametrize("loaded", OURS, ids=lambda loaded: loaded.id)
async def test_it_keeps_the_contract_and_has_reached_the_highest_level(loaded, tmp_path):
    """What a machine can see is looked at; only what it cannot see is the checklist's word."""
    exempt = quality.exemptions(loaded.module)
    outcomes, measured = await contract.examine_and_measure(loaded.id, state_dir=tmp_path, exempt=exempt)
    assert contract.broken(outcomes) == []
    checks = [{"check": o.check, "state": o.state, "why": o.why} for o in outcomes]
    claimed = quality.of_module(loaded.module)
    assert claimed is not None, "it has no quality.toml"
    found = quality.judged(claimed, with_contract(measured, checks, own_tests(loaded.id)))
    assert (found.faults, dict(found.refuted), found.missing()) == ((), {}, {})
    assert found.level == quality.LEVELS[-1]
    # Nobody can look at these; lint, types and the manual's own tests hold them.
    believed = (
        {rule for rules in quality.RULES.values() for rule in rules}
        - set(found.seen)
        - dict(found.exempt).keys()
    )
    assert believed <= {"errors-read-like-help", "typed"}


def test_the_manual_lists_every_rule():
    text = (ROOT / "appliance/docs/plugins.md").read_text(encoding="utf-8")
    for rules in quality.RULES.values():
        for rule in rules:
            assert re.search(rf"`{rule}`", text), rule
