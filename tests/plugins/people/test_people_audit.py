"""The chain of the audit trail: whatever is done to it later shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_people.audit import BEGINNING, HIDDEN, Head, Row, as_text, masked, sealed, verify


def chain(length):
    rows, previous = [], BEGINNING
    for i in range(length):
        row = Row(
            i + 1,
            1000.5 + i,
            "ada",
            "session",
            "u1",
            "s1",
            "192.0.2.1",
            "POST /api/v1/members",
            f"m{i}",
            "",
            '{"a":1}',
            200,
            f"r{i}",
        )
        rows.append(sealed(row, previous))
        previous = rows[-1].hash
    return rows


def head(rows):
    return Head(rows[-1].seq, rows[-1].hash) if rows else Head()


@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_a_whole_chain_has_no_findings(length):
    rows = chain(length)
    assert verify(rows, head(rows)) == []


def test_a_head_that_was_noted_before_the_last_rows_is_no_finding():
    """The process may die between the database and the note."""
    rows = chain(5)
    assert verify(rows, head(rows[:4])) == []


@pytest.mark.parametrize("field", [f for f in Row.__dataclass_fields__ if f != "hash"])
def test_every_field_that_is_altered_is_found_at_its_row(field):
    rows = chain(5)
    value = getattr(rows[2], field)
    other = (
        value + 0.001 if isinstance(value, float) else value + 1 if isinstance(value, int) else f"{value}x"
    )
    rows[2] = replace(rows[2], **{field: other})
    assert any(f.seq in (3, 4) for f in verify(rows, head(rows)))


def test_an_altered_row_that_was_sealed_again_does_not_fit_the_next():
    rows = chain(5)
    rows[2] = sealed(replace(rows[2], actor="eve"), rows[1].hash)
    assert [(f.seq, f.what) for f in verify(rows, head(rows))] == [
        (4, "it does not follow the row before it")
    ]


@pytest.mark.parametrize("gone", range(5))
def test_a_removed_row_is_found(gone):
    rows = chain(5)
    before = head(rows)
    del rows[gone]
    found = verify(rows, before)
    assert found
    assert "missing" in found[0].what


def test_removed_rows_whose_followers_were_renumbered_are_found():
    rows = chain(5)
    before = head(rows)
    rows = [*rows[:2], *(replace(row, seq=row.seq - 1) for row in rows[3:])]
    assert verify(rows, before)


def test_rows_that_changed_places_are_found():
    rows = chain(5)
    a, b = rows[1], rows[3]
    rows[1], rows[3] = replace(b, seq=2), replace(a, seq=4)
    assert {f.seq for f in verify(rows, head(rows))} >= {2, 4}
    rows = chain(5)
    rows[1], rows[2] = rows[2], rows[1]
    assert verify(rows, head(rows))


@pytest.mark.parametrize("left", range(5))
def test_a_chain_cut_at_its_end_is_found_by_the_note_beside_the_database(left):
    rows = chain(5)
    found = verify(rows[:left], head(rows))
    assert [f.what for f in found] == [f"rows {left + 1} to 5 were written and are missing at the end"]


def test_a_chain_made_anew_does_not_end_where_the_note_says():
    rows, other = chain(5), []
    previous = BEGINNING
    for row in rows:
        other.append(sealed(replace(row, actor="eve"), previous))
        previous = other[-1].hash
    assert verify(other, head(rows))[0].what == "it is not the row that was noted when it was written"
    assert "the note of the newest row is missing" in verify(other, None)[0].what


def test_secrets_are_hidden_by_the_names_of_their_fields():
    value = {
        "name": "ada",
        "password": "x",
        "new_password": "y",
        "inner": [{"api_token": "z", "ttl": 3}],
        "password_hash": "",
        "code": "AB",
    }
    assert masked(value) == {
        "name": "ada", "password": HIDDEN, "new_password": HIDDEN, "inner": [{"api_token": HIDDEN, "ttl": 3}], "password_hash": "", "code": HIDDEN,
    }  # fmt: skip
    assert as_text(None) == ""
    assert len(as_text({"note": "x" * 100_000})) < 2100


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda s: st.lists(s) | st.dictionaries(st.text(), s))
)
def test_whatever_was_sent_can_be_written_down(value):
    as_text(value)
