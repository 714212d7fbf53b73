"""Values read as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import figures
from appliance_web import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (0, "0 ms"), (0.00041, "+410 µs"), (-0.3, "−300 ms"), (0.0123, "+12.3 ms"), (1.5, "+1.50 s"),
     (0.001, "+1.00 ms"), (0.9996, "+1.00 s"), (3.2e-9, "+3.20 ns"), (120, "+120 s"), (9.996e-3, "+10.0 ms")],
)  # fmt: skip
def test_offsets_show_sign_and_unit(value, text):
    assert words.offset(value) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [(0, "just now"), (42, "42 s ago"), (-60, "in 60 s"), (540, "9 min ago"), (7200, "2 h ago"), (86400 * 3, "3 d ago"), (99, "99 s ago"), (101, "2 min ago")],
)  # fmt: skip
def test_ages_use_one_unit(age, text):
    assert words.ago(1e9, 1e9 + age) == text


def test_never_is_a_word():
    assert words.ago(None, 1e9) == "never"


@pytest.mark.parametrize(
    ("share", "text"), [(0.0612, "6.1 %"), (0, "0 %"), (1, "100 %"), (1e-6, "<0.1 %"), (None, "–")]
)
def test_shares(share, text):
    assert words.percent(share) == text


def test_steps_and_scores():
    assert words.step(-2.3077) == "−2.308"
    assert words.step(1.0) == "+1"
    assert words.step(0.0386) == "+0.039"
    assert words.score(-5) == "−5.0"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_breaks_a_page(value):
    for say in (words.offset, words.duration, words.seconds):
        assert isinstance(say(value), str)
    if math.isfinite(value):
        assert words.iso(value).endswith("Z")
        assert isinstance(words.ago(value, 1e9), str)


@given(st.text())
def test_printable_leaves_nothing_that_a_terminal_or_page_could_obey(text):
    shown = words.printable(text)
    assert shown.replace("\xa0", "").replace("\u202f", "").isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("offset -32.3 µs", "offset −32.3 µs"), ("-1 of", "−1 of"), ("(-5.0)", "(−5.0)"), ("ntp-1.example", "ntp-1.example"), ("2026-01-02", "2026-01-02"),
     ("--4", "--4"), ("10.0.0.0-9", "10.0.0.0-9"), ("fd00::-1", "fd00::-1"), ("a -b", "a -b")],
)  # fmt: skip
def test_numbers_in_sentences_of_other_parts_get_the_minus_of_the_page_and_names_do_not(text, shown):
    assert words.said(text) == shown


@given(st.floats(-1e4, 1e4), st.floats(0, 1))
def test_pages_and_the_texts_of_other_parts_write_a_value_alike(value_s, share):
    """What logs, the API and the command line say is ASCII but for the µ; pages say the same with their own minus."""
    text = figures.seconds(value_s, signed=True)
    assert text.replace("µ", "u").isascii()
    assert words.offset(value_s) == words.said(text)
    assert words.percent(share) == figures.percent(share)
