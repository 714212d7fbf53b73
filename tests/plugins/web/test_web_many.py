"""Many servers at once: import with a preview, and a table that stays small."""

from __future__ import annotations

import csv
import io

import pytest

from appliance.api.model import Sample
from appliance_members.orders import csv_of, rows_of_csv
from appliance_monitor.classic import as_log
from appliance_monitor.history import as_csv
from appliance_web.charts import history
from appliance_web.charts.scale import Linear
from appliance_web.many import as_import
from tests.plugins.web.html_check import read
from tests.plugins.web.test_web_wizard import answering, members, registry
from tests.plugins.web.visiting import visited

LIST = "127.0.0.1:11123  # ours\n\n127.0.0.2:11123\n"
CSV = "address;port;name;netspeed;zones\n127.0.0.3;11123;;250;@ pier\n"


def test_a_paste_is_a_list_of_hosts_or_a_csv_file():
    assert as_import(LIST) == {"members": [{"address": "127.0.0.1:11123"}, {"address": "127.0.0.2:11123"}]}
    assert as_import(CSV) == {"csv": CSV}
    assert as_import("\n name, zones \na,@\n") == {"csv": "\n name, zones \na,@\n"}


async def test_an_import_shows_first_what_it_means_then_adds(tmp_path):
    async with registry(tmp_path) as visitor:
        assert read((await visitor.get("/members/import"))[1]).complaints == []
        status, page, _ = await visitor.post("/members/import", {"text": LIST, "do": "preview"})
        assert status == 200
        assert "2 rows: 2 new, 0 already there" in page
        assert read(page).complaints == []
        assert await members(visitor) == [], "a preview adds nothing"
        status, _, where = await visitor.post("/members/import", {"text": LIST, "do": "add"})
        assert (status, where) == (303, "/members?done=imported")
        assert len(await members(visitor)) == 2
        page = (await visitor.post("/members/import", {"text": LIST, "do": "preview"}))[1]
        assert "2 rows: 0 new, 2 already there" in page
        await visitor.post("/members/import", {"text": CSV, "do": "add"})
        third = next(m for m in await members(visitor) if m["address"] == "127.0.0.3")
        assert (third["netspeed"], third["zones"]) == (250, ["@", "pier"])


async def test_what_is_wrong_with_a_paste_is_told_row_by_row_and_stays_text(tmp_path):
    async with registry(tmp_path) as visitor:
        status, page, _ = await visitor.post("/members/import", {"text": "<b>x</b>\n127.0.0.1", "do": "add"})
        assert status == 422
        assert "row 1, address" in page
        assert "<b>x" not in page
        assert (await visitor.post("/members/import", {"text": "", "do": "preview"}))[0] == 422
        assert await members(visitor) == []


async def test_those_that_answer_are_added_and_the_others_named(tmp_path):
    async with registry(tmp_path, answering(Sample(error="timeout"))) as visitor:
        status, page, _ = await visitor.post("/members/import", {"text": LIST, "do": "add"})
        assert status >= 400
        assert "gave no answer: timeout" in page


@pytest.mark.parametrize("size", ["", "&size=50", "&size=7"])
async def test_a_page_of_the_table_stays_within_the_elements_a_phone_bears(tmp_path, size):
    async with visited(tmp_path, 500) as visitor:
        found = read((await visitor.get(f"/members?sort=server{size}"))[1])
        assert found.complaints == []
        assert found.elements <= 1500


async def test_a_hundred_rows_are_a_click_away_and_search_finds_zones_and_states(tmp_path):
    async with visited(tmp_path, 500) as visitor:
        page = (await visitor.get("/members?size=100"))[1]
        assert "1–100 of 500 servers" in page
        assert "size=100" in page.partition("Later")[0].rpartition("<a")[2]
        assert "of 71 servers" in (await visitor.get("/members?q=paused"))[1]


def test_a_row_tells_its_history_in_words_and_holds_no_markup_of_others():
    drawn = history([0.1, None], ["ok", "failing"], "<b>2</b>", Linear(-1, 1, 16), zero=0)
    assert "<b>" not in drawn
    assert 'class="failing"' in drawn


def test_what_is_exported_is_what_is_imported():
    rows = [
        dict.fromkeys(("name", "operator"), "")
        | {
            "address": "192.0.2.1",
            "port": 123,
            "netspeed": 1,
            "zones": ["@"],
            "tags": [],
            "note": note,
            "paused": False,
        }
        for note in ("=1+1", "'quoted", "'=both", "plain", "-5 C")
    ]
    assert [row.get("note") for row in rows_of_csv(csv_of(rows))] == [row["note"] for row in rows]
    assert [row["zones"] for row in rows_of_csv(csv_of(rows))] == [["@"]] * len(rows)


def test_formulas_are_defused_in_every_csv():
    """What a server's operator or a reply wrote never runs in somebody's spreadsheet."""
    for evil in ("=1+1", "+1", "-1", "@x", "\tx"):
        row = dict.fromkeys(("address", "port", "name", "netspeed", "operator", "note", "paused"), "") | {
            "zones": [],
            "tags": [],
            "note": evil,
            "operator": evil,
        }
        for text in (csv_of([row]), as_csv([{"error": evil}], ("error",))):
            cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
            assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
        probe = dict.fromkeys(("offset_s", "rtt_s", "leap"), None) | {
            "ts": 1,
            "step": 1,
            "score": 1,
            "monitor": "m",
        }
        assert as_log([probe | {"error": evil}]).splitlines()[1].split(",")[-1][:1] not in (
            "=",
            "+",
            "-",
            "@",
        )
    assert as_csv([{"error": "a\rb\n=c"}], ("error",)) == "error\na\\x0db\\x0a=c\n"
