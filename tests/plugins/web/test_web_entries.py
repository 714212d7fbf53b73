"""Long lists of settings: a light page for all of them, a form for each, and the file as people wrote it."""

from __future__ import annotations

import pytest

from appliance.api.services import Prober
from tests.plugins.web.html_check import read
from tests.plugins.web.test_web_settings import PATIENCE, changed, form_of, proposal_of, table
from tests.plugins.web.test_web_wizard import answering
from tests.plugins.web.visiting import signed_in_as, visited

MANY = 500
FILE = "# Our harbour.\n[plugins.members]\n" + "".join(
    f'\n# Quay {n}.\n[[plugins.members.member]]\naddress = "127.9.{n // 256}.{n % 256}"  # berth {n}\nport = 11123\n'
    for n in range(1, MANY + 1)
)


@pytest.fixture
async def visitor(tmp_path, monkeypatch):
    signed_in_as(monkeypatch, "owner")
    file = tmp_path / "config.toml"
    async with visited(
        tmp_path / "state", None, plugins=("web", "members"), provide={Prober: answering()},
        config=FILE, config_file=file, patience=PATIENCE,
    ) as found:  # fmt: skip
        await found.app.until_running("members")
        found.file = file
        yield found


async def test_the_form_of_a_table_with_500_entries_is_as_light_as_any_other(visitor):
    text = await table(visitor, "members")
    found = read(text)
    assert found.elements < 1500
    assert len(text) < 60_000
    assert 'href="/settings/members/list/member"' in text
    status, text, _ = await visitor.post("/settings/members", form_of(text))
    assert (status, "Nothing is different" in text) == (200, True)
    for path in (
        "/settings/members/list/member",
        "/settings/members/list/member?page=10",
        "/settings/members/list/member/499",
    ):
        status, text, _ = await visitor.get(path)
        assert status == 200
        found = read(text)
        assert found.complaints == []
        assert found.elements < 1500
    assert "127.9.1.244" in text


async def test_entries_are_found_by_what_the_file_says(visitor):
    _, text, _ = await visitor.get("/settings/members/list/member?q=127.9.1.24")
    assert "127.9.1.24<" in text
    assert "127.9.1.244<" in text
    assert "127.9.0.1<" not in text
    _, text, _ = await visitor.get("/settings/members/list/member?q=%3Cb%3E&page=x")
    assert "<b>x" not in text
    assert "No entry fits" in text


async def test_one_entry_is_changed_with_comments_kept_and_taken_back(visitor):
    before = visitor.file.read_text()
    path = "/settings/members/list/member/7"
    form = form_of((await visitor.get(path))[1])
    form = changed(form, member__7__netspeed="250")
    status, text, _ = await visitor.post(path, form)
    assert status == 200
    assert read(text).complaints == []
    assert "+netspeed = 250" in text
    assert visitor.file.read_text() == before, "nothing is written before it is confirmed"
    status, _, where = await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert status == 303
    written = visitor.file.read_text()
    assert [line for line in written.splitlines() if line not in before.splitlines()] == ["netspeed = 250"]
    assert len(written.splitlines()) == len(before.splitlines()) + 1
    assert "# Quay 8.\n" in written
    assert "# berth 8\n" in written
    _, text, _ = await visitor.post(f"{where}/undo", {})
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert visitor.file.read_text() == before


async def test_entries_are_added_and_removed(visitor):
    path = "/settings/members/list/member"
    form = form_of((await visitor.get(f"{path}/new"))[1])
    form = changed(form, member__500__address="127.8.0.1", member__500__port="11123")
    _, text, _ = await visitor.post(f"{path}/new", form)
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    assert visitor.file.read_text().count("[[plugins.members.member]]") == MANY + 1
    form = form_of((await visitor.get(f"{path}/0"))[1])
    _, text, _ = await visitor.post(f"{path}/0", changed(form, op="remove"))
    await visitor.post("/settings/apply", {"proposal": proposal_of(text)})
    written = visitor.file.read_text()
    assert '"127.9.0.1"' not in written
    assert '"127.8.0.1"' in written
    assert "# berth 2\n" in written


async def test_what_is_wrong_stands_beside_its_field_and_a_list_that_moved_is_told(visitor):
    path = "/settings/members/list/member/3"
    form = form_of((await visitor.get(path))[1])
    status, text, _ = await visitor.post(path, changed(form, member__3__netspeed="-1"))
    assert status == 422
    assert 'href="#f-member-3-netspeed"' in text
    status, text, _ = await visitor.post(path, changed(form, member__3__netspeed="many"))
    assert (status, "expected a whole number" in text) == (422, True)
    status, text, _ = await visitor.post("/settings/members/list/member/4", form)
    assert (status, "changed this list meanwhile" in text) == (412, True)
    for wrong in ("/settings/members/list/member/500", "/settings/members/list/member/x", "/settings/members/list/nothing",
                  "/settings/members/list/member.address", "/settings/nothing/list/member"):  # fmt: skip
        assert (await visitor.get(wrong))[0] == 404
