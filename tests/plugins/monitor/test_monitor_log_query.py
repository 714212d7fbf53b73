"""The log as a file of any length: every format reads back, memory holds a page, and filters mean what they say."""

from __future__ import annotations

import csv
import io
import json
import sqlite3

import pytest

from appliance_monitor.log_query import COLUMNS, PAGE, Filter, pages, texts

HOSTILE = "=cmd|'/c calc'!A0,\"\n\x1b[31m\x7f\u202e"


def row(number, **fields):
    values = {
        "id": number, "ts": 1.8e9 + number, "member": "m1", "monitor": "local", "offset_s": 0.001, "rtt_s": 0.02, "stratum": 2,
        "leap": 0, "step": 1.0, "score": 20.0, "error": None, "rule": "offset_ok",
    }  # fmt: skip
    return values | fields


class Table:
    """Reads as the database does, and notes how much at a time."""

    def __init__(self, rows):
        self.rows = sorted(rows, key=lambda r: -r["id"])
        self.asked = []

    async def read(self, before, limit):
        self.asked.append((before, limit))
        return [r for r in self.rows if before is None or r["id"] < before][:limit]


async def written(table, format_, names=None):
    return "".join([text async for text in texts(table.read, format_, names or {})])


@pytest.mark.parametrize("number", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
async def test_every_row_is_read_once_in_pages(number):
    table = Table([row(i) for i in range(1, number + 1)])
    found = [r["id"] async for rows in pages(table.read) for r in rows]
    assert found == list(range(number, 0, -1))
    assert {limit for _, limit in table.asked} == {PAGE}


@pytest.mark.parametrize("number", [0, 1, PAGE + 3])
async def test_each_format_reads_back_to_what_was_written(number):
    rows = [row(i, error=HOSTILE if i % 7 == 0 else None) for i in range(1, number + 1)]
    newest_first = rows[::-1]
    assert json.loads(await written(Table(rows), "json")) == newest_first
    ndjson = await written(Table(rows), "ndjson")
    assert [json.loads(line) for line in ndjson.split("\n") if line] == newest_first
    assert ndjson.replace("\n", "").isprintable()
    table = list(csv.DictReader(io.StringIO(await written(Table(rows), "csv"))))
    assert [r["id"] for r in table] == [str(r["id"]) for r in newest_first]
    pool = list(csv.reader(io.StringIO(await written(Table(rows), "ntppool", {"m1": "192.0.2.1"}))))
    assert pool[0][:3] == ["server", "ts_epoch", "ts"]
    assert len(pool) == number + 1
    assert all(len(line) == 11 and line[0] == "192.0.2.1" for line in pool[1:])


async def test_a_spreadsheet_runs_nothing():
    text = await written(Table([row(1, error=HOSTILE)]), "csv")
    (line,) = csv.DictReader(io.StringIO(text))
    assert line["error"].startswith("'=")
    pool = await written(Table([row(1, error=HOSTILE)]), "ntppool")
    assert "\x1b" not in pool


STEPS = [(1, 1.0, 0.01), (2, 0.4, 0.09), (3, -0.5, 0.6), (4, -5.0, None), (5, 0.0, 0.1)]


@pytest.mark.parametrize(
    ("show", "ids"), [("", [1, 2, 3, 4, 5]), ("below", [2, 3, 4, 5]), ("cost", [3, 4]), ("lost", [4])]
)
def test_what_is_shown_is_what_the_words_say(show, ids):
    """Small but positive steps are below full marks, and cost nothing."""
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE p ({', '.join(COLUMNS)})")
    db.executemany("INSERT INTO p (id, step, offset_s) VALUES (?, ?, ?)", STEPS)
    where, values = Filter(show=show).conditions()
    sql = f"SELECT id FROM p {'WHERE ' + ' AND '.join(where) if where else ''} ORDER BY id"
    assert [i for (i,) in db.execute(sql, values)] == ids


def test_values_never_become_part_of_the_query():
    where, values = Filter("m'; DROP", "x' OR 1=1", "nonsense", 1.0, 2.0).conditions()
    assert where == ["member = ?", "rule = ?", "ts >= ?", "ts < ?"]
    assert values == ["m'; DROP", "x' OR 1=1", 1.0, 2.0]
