"""What is asked of every plugin, ours and yours.

from appliance.testing import contract

async def test_it_keeps_the_contract(tmp_path):
    outcomes = await contract.examine(my_plugin, state_dir=tmp_path)
    assert contract.broken(outcomes) == []
"""

from __future__ import annotations

from appliance.testing.contract.examination import COMPANIONS, broken, examine, examine_and_measure
from appliance.testing.contract.outcome import CHECKS, Outcome

__all__ = ["CHECKS", "COMPANIONS", "Outcome", "broken", "examine", "examine_and_measure"]
