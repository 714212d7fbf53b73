"""A derived value is made once for the same facts, and anew for others."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.derived import Derived
from appliance.core.plain_json import Told, to_json


def test_the_same_facts_are_worked_out_once_and_other_facts_anew():
    made = []
    rows = Derived(lambda *facts: made.append(facts) or [*facts])
    first = rows.of("a", 1, None)
    assert rows.of("a", 1, None) is first
    assert rows.of("b", 1, None) is not first
    assert rows.of("a", 2, None) == [2, None]
    assert made == [(1, None), (1, None), (2, None)]


def test_it_does_not_grow_without_end():
    rows = Derived(str, most=3)
    for number in range(100):
        assert rows.of(str(number), number) == str(number)
        assert len(rows._kept) <= 3


@given(st.lists(st.dictionaries(st.text(), st.floats() | st.none() | st.text() | st.lists(st.floats()))))
def test_rows_that_are_told_again_are_the_json_that_they_were(rows):
    told = [Told(row) for row in rows]
    assert to_json(told) == to_json(rows) == to_json(told)
    assert json.loads(to_json({"in": told})) == json.loads(to_json({"in": rows}))
