"""Every plugin that comes with the appliance keeps the contract that strangers' plugins are held to."""

import pytest

from appliance.host import loader
from appliance.kit import quality
from appliance.testing import contract

OURS = [loaded for loaded in loader.discover().good() if loaded.builtin]


@pytest.mark.parametrize("loaded", OURS, ids=lambda loaded: loaded.id)
async def test_it_keeps_the_contract(loaded, tmp_path):
    exempt = quality.exemptions(loaded.module)
    outcomes = await contract.examine(loaded.id, state_dir=tmp_path, exempt=exempt)
    assert contract.broken(outcomes) == []


@pytest.mark.parametrize("loaded", OURS, ids=lambda loaded: loaded.id)
def test_it_has_reached_the_highest_level(loaded):
    found = quality.of_module(loaded.module)
    assert found is not None, "it has no quality.toml"
    assert (found.faults, found.todo) == ((), ())
    assert found.level == quality.LEVELS[-1]
