"""The NTP Pool's own shapes: what a script written for its score pages finds here."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_monitor.classic import HEADER, as_json, as_log, decimal

ROW = {
    "ts": 1_800_000_000.25, "monitor": "local", "offset_s": -0.000123456789, "rtt_s": 0.012345678, "stratum": 2, "leap": 0,
    "step": 1.0, "score": 19.123456789123, "error": None, "rule": "offset_ok",
}  # fmt: skip
MISS = ROW | {"offset_s": None, "rtt_s": None, "leap": None, "step": -5.0, "score": 13.2, "error": "timeout"}


def test_the_csv_has_the_columns_and_numbers_of_the_pool():
    lines = as_log([ROW, MISS]).splitlines()
    assert lines[0] == HEADER == "ts_epoch,ts,offset,step,score,monitor_id,monitor_name,rtt,leap,error"
    assert lines[1] == "1800000000,2027-01-15 08:00:00,-0.000123457,1,19.123456789,1,local,12.345678,,"
    assert lines[2] == "1800000000,2027-01-15 08:00:00,,-5,13.2,1,local,,,timeout"


def test_the_leap_column_is_empty_without_a_leap_as_there():
    assert as_log([ROW | {"leap": 3}]).splitlines()[1].endswith(",3,")


@given(st.floats(-1e6, 1e6))
def test_a_number_has_up_to_nine_decimals_and_no_trailing_zeros(value):
    text = decimal(value)
    assert abs(float(text) - value) <= 5.1e-10
    assert "e" not in text
    assert text != "-0"
    if "." in text:
        assert text[-1] not in "0."
        assert len(text.partition(".")[2]) <= 9


@given(st.text())
def test_an_error_from_the_network_is_one_cell_without_control_characters(error):
    text = as_log([MISS | {"error": error}])
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 2
    assert len(rows[1]) == 10
    assert rows[1][9].isprintable()


def test_the_json_has_the_keys_of_the_pool():
    document = as_json("192.0.2.1", [ROW, MISS], "local", overall=True)
    assert document["server"] == {"ip": "192.0.2.1"}
    assert document["history"][0] == {
        "ts": 1_800_000_000, "offset": ROW["offset_s"], "step": 1.0, "score": ROW["score"], "monitor_id": 1, "rtt": 12.346,
    }  # fmt: skip
    assert "offset" not in document["history"][1]
    assert "rtt" not in document["history"][1]
    (monitor,) = document["monitors"]
    assert monitor["ts"] == "2027-01-15T08:00:00Z"
    assert monitor["score"] == pytest.approx(19.1)
    assert set(monitor) == {"id", "name", "type", "ts", "score", "status", "avg_rtt"}
    json.dumps(document, allow_nan=False)


def test_without_rows_the_lists_are_empty():
    assert as_json("::1", [], "local", overall=False) == {
        "history": [],
        "monitors": [],
        "server": {"ip": "::1"},
    }
