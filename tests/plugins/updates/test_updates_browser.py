"""The page on an image, in a real browser: nothing to complain about in any of its states, and a bundle that is sent in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance_updates import record
from appliance_updates.record import Event
from appliance_updates.service import Job, Updates
from tests.plugins.updates.a_box import NEW, OLD
from tests.plugins.updates.test_updates_service import appliance, box, owner  # noqa: F401 - fixtures
from tests.support import axe
from tests.support.browser import browser
from tests.support.programs import REPOSITORY, need

CHECKS = (REPOSITORY / "tests" / "support" / "page_checks.js").read_text(encoding="utf-8")


def fallen(a_box):
    found = record.load(a_box.root)
    found.add(
        Event(
            "fell-back",
            1.0,
            OLD,
            NEW,
            ["its kernel stopped", "3 of 3 starts were used"],
            ["a long line " * 30] * 5,
        )
    )
    record.save(a_box.root, found)


async def nothing(app):
    pass


async def installing(app):
    app.service(Updates).job = Job("running", "new.raucb", "Copying image to rootfs.1", 0.4)


async def failed(app):
    app.service(Updates).job = Job(
        "failed", "new.raucb", "", 0.4, "RAUC gave up: no space left", "look at the log"
    )


async def due(app):
    await app.service(Updates).install("/srv/new.raucb", local=True)
    from tests.plugins.updates.test_updates_service import until_done

    await until_done(app)


@pytest.mark.parametrize("state", [nothing, installing, failed, due, "fallen"])
async def test_the_page_is_in_order(tmp_path, box, owner, state):  # noqa: F811 - fixtures
    if state == "fallen":
        fallen(box)
    async with (
        appliance(tmp_path, box) as (visitor, _),
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        if state != "fallen":
            await state(visitor.app)
        wrong = []
        for width in (1280, 320):
            await tab.look(width=width)
            await tab.open(visitor.base + "/updates")
            await tab.evaluate("document.querySelectorAll('main details').forEach((d) => { d.open = true; })")
            wrong += [(width, line) for line in [*await tab.evaluate(CHECKS), *await axe.violations(tab)]]
        assert wrong == []
        assert [line for line in tab.complaints if "status of" not in line] == []


async def test_looking_into_a_bundle_is_in_order(tmp_path, box, owner):  # noqa: F811 - fixtures
    async with (
        appliance(tmp_path, box) as (visitor, _),
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        await tab.look(width=360)
        await tab.open(visitor.base + "/updates")
        await tab.click("form[action='/updates/check'] button")
        await tab.settled()
        text = await tab.evaluate("document.body.textContent")
        assert "Install 1.1.0" in text
        assert "## 1.1.0\n\n- better" in text
        await tab.evaluate("document.querySelectorAll('main details').forEach((d) => { d.open = true; })")
        assert [*await tab.evaluate(CHECKS), *await axe.violations(tab)] == []


async def test_the_script_sends_a_bundle_in_pieces(tmp_path: Path, box, owner, monkeypatch):  # noqa: F811 - fixtures
    monkeypatch.setattr("appliance_updates.pages.PIECE_BYTES", 50_000)
    async with (
        appliance(tmp_path, box) as (visitor, _),
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        await tab.open(visitor.base + "/updates")
        await tab.evaluate(
            "(() => { const held = new DataTransfer(); held.items.add(new File(['raucb'.repeat(40000)], 'new.raucb'));"
            " document.getElementById('bundle').files = held.files; })()"
        )
        await tab.click("form[data-upload] button", leads=False)
        await tab.until("document.body && document.body.textContent.includes('uploaded')")
        updates = visitor.app.service(Updates)
        (upload,) = updates.uploads.all()
        assert updates.uploads.path(upload).read_bytes() == b"raucb" * 40_000
