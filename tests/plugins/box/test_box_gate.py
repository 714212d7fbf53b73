"""The pages of the box as they are on an image: judged like every page, with a change that waits, and with what was wrong."""

from __future__ import annotations

from appliance_box import told
from tests.plugins.box.bed import machine
from tests.plugins.web.test_web_gate_matrix import judge
from tests.plugins.web.whole_box import whole
from tests.support.browser import browser
from tests.support.programs import need

PAGES = ("/box", "/box/network", "/box/backup")


async def test_the_pages_of_an_image_are_in_order_on_the_smallest_screen(tmp_path, monkeypatch) -> None:
    (tmp_path / "root").mkdir()
    with machine(tmp_path / "root", monkeypatch) as image:
        report = told.Report()
        report.say(
            "timeball.toml (boot partition)", 'hots_name: there is no such key; did you mean "host_name"?'
        )
        told.publish(image.root, report)
        async with (
            whole(tmp_path, "empty", config=image.config, history=False) as box,
            browser(need("chromium")) as chromium,
            chromium.tab() as tab,
        ):
            await box.enter(tab)
            wrong = [line for path in PAGES for line in await judge(tab, box.base, path, widths=(320,))]
            assert not wrong, wrong
            # A change that cannot be, then one that waits.
            await tab.open(f"{box.base}/box/network")
            await tab.evaluate("document.querySelector('#b-host_name').value = 'a_b'")
            await tab.click("main form button.primary")
            await tab.settled()
            assert (
                await tab.evaluate("document.querySelector('#b-host_name').getAttribute('aria-invalid')")
                == "true"
            )
            tab.complaints.clear()
            await tab.evaluate("document.querySelector('#b-host_name').value = 'north'")
            await tab.click("main form button.primary")
            await tab.settled()
            wrong = await judge(tab, box.base, "/box/network", widths=(320,))
            assert not wrong, wrong
            assert "Keep it" in await tab.evaluate("document.querySelector('#pending').textContent")
