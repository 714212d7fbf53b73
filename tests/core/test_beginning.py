"""When a pool without anybody in it is one that begins."""

from __future__ import annotations

import pytest

from appliance.core.beginning import beginning


@pytest.mark.parametrize(
    ("codes", "begins"),
    [
        ("", False),
        ("new", True),
        ("new new wrong_time", True),
        ("new wrong_time wrong_time", False),
        ("new new ok", False),
        ("new kept", False),
        ("paused unverified", False),
        ("new paused leaving netspeed_zero watched unverified", True),
        ("low_score silent", False),
    ],
)
def test_a_pool_begins_while_nobody_is_in_and_most_are_new(codes, begins):
    assert beginning(codes.split()) is begins
