"""JSON and nothing else: what is refused is told, what is taken can be written anywhere."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.plain_json import to_json
from appliance.core.strict_json import DEEPEST, read_json

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_all_that_is_json_is_read(value, escaped):
    text = json.dumps(value, ensure_ascii=escaped)
    assert read_json(text.encode()) == read_json(text) == value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"NaN", "no number"),
        (b'{"a": -Infinity}', "no number"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"\\uDFFF": 1}', "half a character"),
        (b'"\xed\xa0\x80"', "decode"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', '"c" stands there twice'),
        ('{"a": 1}'.encode("utf-16"), "decode"),
        (b"[" * 900 + b"]" * 900, "deeper"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "deeper"),
        (b"[" * 60_000 + b"]" * 60_000, "deeper"),
        (b"9" * 5000, "digits"),
        (b"", "Expecting value"),
    ],
)
def test_what_others_would_read_otherwise_is_refused(content, said):
    with pytest.raises(ValueError, match=said):
        read_json(content)


def test_a_whole_character_of_two_halves_is_one():
    assert read_json(b'"\\ud83d\\ude00"') == "\U0001f600"
    assert read_json(b'"\\\\ud800"') == "\\ud800"


def test_as_deep_as_anything_is_taken():
    assert read_json(b"[" * DEEPEST + b"]" * DEEPEST)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(content):
    try:
        value = read_json(content)
    except ValueError:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def test_bytes_that_are_no_text_are_told_and_break_nothing():
    assert to_json({"detail": b"evil\xff".decode("utf-8", "surrogateescape")}) == b'{"detail":"evil?"}'
