"""What a stranger wrote is inert in a terminal, in a file, in JSON and in a spreadsheet, whatever it is."""

from __future__ import annotations

import csv
import io
import json
import logging
import shlex
import subprocess
import unicodedata

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.cli import table
from appliance.api.foreign import csv_cell, inert, is_plain, json_text, printable, quoted, visible
from appliance.core import columns
from appliance.core.logs import Json, Text
from appliance.core.plain_json import to_json

#: Characters that terminals obey, that turn the direction of writing, or that nobody sees, besides letters that are harmless.
NASTY = "\x00\x07\x08\t\n\r\x1b\x7f\x85\x9b\x9d\xad\u034f\u061c\u115f\u200b\u200d\u200e\u2028\u202e\u2066\u2800\u3164\ufeff\ufff9\U000e0041\U000e0101\ud800"
#: Those of them that are neither letters nor marks.
MARKS = "\x7f\x85\x9b\x9d\xad\u061c\u200b\u200d\u200e\u2028\u202e\u2066\ufeff\ufff9\U000e0041\ud800"
TEXTS = st.text(st.sampled_from(NASTY + "a=+-@'\"<,é日\u0301") | st.characters(), max_size=12)
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3),
)


def obeyed(text: str) -> list[str]:
    """What a terminal would obey in it, or not show."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c in NASTY]


@pytest.mark.parametrize("character", NASTY)
def test_nothing_nasty_is_plain(character):
    assert not is_plain(f"a{character}b")
    assert not obeyed(printable(f"a{character}b", keep=""))
    assert not obeyed(visible(f"a{character}b"))


def test_what_people_write_stays_as_it_is():
    for text in ("Zürich", "東京", "привет", "e\u0301", "pool.example.org, 12 ms", "🕰"):
        assert printable(text) == visible(text) == csv_cell(text) == text


@given(VALUES)
def test_json_for_a_terminal_loses_nothing(value):
    text = json_text(value)
    assert not obeyed(text.replace("\n", ""))
    assert json.loads(text) == json.loads(json.dumps(value))


@given(VALUES)
def test_json_of_the_api_is_inert_in_a_terminal_and_loses_nothing(value):
    """Somebody looks at it with curl. Halves of a pair are no text, and strict readers refuse them: "?" stands for each."""
    text = to_json(value).decode()
    # Letters that draw nothing are left to who shows it.
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in MARKS]
    whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    assert json.loads(text) == json.loads(whole)


@given(TEXTS)
def test_a_cell_is_one_line_and_no_formula(text):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([csv_cell(text), "end"])
    assert out.getvalue().count("\n") == 1
    assert not obeyed(out.getvalue().rstrip("\n"))
    ((cell, _),) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert not cell.strip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


@given(VALUES)
def test_every_line_of_a_text_but_its_first_is_indented(value):
    def look(found):
        if isinstance(found, str):
            assert not obeyed(found.replace("\n", ""))
            assert all(line.startswith("    ") for line in found.split("\n")[1:])
        elif isinstance(found, dict):
            for key, item in found.items():
                assert not obeyed(key)
                look(item)
        elif isinstance(found, list):
            for item in found:
                look(item)

    look(inert(value))


@given(TEXTS)
def test_a_shell_takes_a_quoted_text_for_one_word_and_runs_nothing(text):
    word = quoted(text)
    assert not obeyed(word)
    assert shlex.split(f"grep {word}") == ["grep", printable(text, keep="")]


def test_a_real_shell_does_so_too():
    evil = '\'; touch pwned; $(touch pwned) `touch pwned` "$HOME" * #'
    said = subprocess.run(
        ["sh", "-c", f"printf %s {quoted(evil)}"], capture_output=True, text=True, check=True
    )
    assert said.stdout == evil


def test_lines_of_our_own_making_stay_where_they_are():
    assert inert({"diff": "-a\n+b\x1b", "note": "a\nb"}, ("diff",)) == {
        "diff": "-a\n+b\ufffd",
        "note": "a\n    b",
    }


def test_columns_of_a_table_stand_under_each_other_in_any_script():
    names = ["plain", "日本標準時", "e\u0301e\u0301", "한국"]
    told = CliRunner().invoke(_told(names)).output.splitlines()
    assert len({columns.width(line[: line.index("|")]) for line in told[1:]}) == 1


def _told(names):
    return click.Command("t", callback=lambda: table(("name", "|"), [(name, "|") for name in names]))


@given(st.text(st.sampled_from("ab日本e\u0301"), max_size=30), st.integers(1, 20))
def test_what_is_clipped_fits(text, room):
    cut = columns.clipped(text, room)
    assert columns.width(cut) <= room
    assert cut == text or cut.endswith("…")


def test_no_line_of_a_log_passes_for_another_sources():
    record = logging.makeLogRecord(
        {
            "name": "timeball.dns",
            "levelno": 20,
            "levelname": "INFO",
            "msg": "asked for %s",
            "args": ("x\n12:00:00 critical host forged\x9b\u202e",),
        }
    )
    first, second = Text().format(record).split("\n")
    assert second.startswith("    ")
    assert not obeyed(first + second)
    assert not obeyed(Json().format(record))
