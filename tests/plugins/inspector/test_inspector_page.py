"""The inspector's page and commands, in an appliance that draws pages."""

from __future__ import annotations

from urllib.parse import urlencode

from click.testing import CliRunner

from appliance.api.actor import local
from appliance.api.http import Request
from appliance.api.services import TimeSource
from appliance.testing import running, wait_until
from appliance_inspector.cli import register
from appliance_inspector.rules import SHIPPED
from appliance_inspector.service import Inspector
from appliance_inspector.verdicts import Seen
from tests.support.attacks import START_NS
from tests.support.browser import browser
from tests.support.ntp_service import Source
from tests.support.programs import need

CONFIG = """
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.web]
listen = "127.0.0.1:0"
[plugins.inspector]
enabled = true
"""
SEEN = Seen(
    rule="ntp-monlist", who="198.51.100.0/24", address="198.51.100.77", key="k", since_ns=START_NS, last_ns=START_NS,
    count=7, exact=True, service="ntp", sample="1700032a", shown="<script>alert(1)</script>",
)  # fmt: skip


def appliance(tmp_path):
    return running(["ntp", "web", "inspector"], CONFIG, state_dir=tmp_path, provide={TimeSource: Source()})


async def test_the_page_shows_what_was_noticed_escaped_and_a_button_ignores_it(tmp_path):
    async with appliance(tmp_path) as app:
        await app.until_running()
        assert "Nothing was noticed" in await app.get("/inspector")
        inspector = app.host.services.get(Inspector)
        inspector.alerts.take([SEEN], inspector.rules)
        page = await app.get("/inspector")
        assert "Asks for the list of clients (monlist)" in page
        assert "198.51.100.0/24" in page
        assert "198.51.100.77" not in page
        assert "<script>alert(1)" not in page
        alert_id = inspector.alerts.all()[0].id
        assert f'href="/inspector?apply={alert_id}"' in page
        assert "for a day?" not in page
        page = await app.get("/inspector", apply=alert_id)
        assert "Ignore 198.51.100.0/24 for a day?" in page
        assert inspector.ignored.all() == [], "it only asks"
        done = await press(app, apply=alert_id)
        (entry,) = inspector.ignored.all()
        assert (done.status, done.headers["Location"]) == (303, f"/inspector?done={entry.id}#ignored")
        page = await app.get("/inspector", done=entry.id)
        assert "198.51.100.0/24 is ignored</b> until" in page
        assert "Answer it again" in page
        assert "is ignored already" in page


async def press(app, **form):
    """One button of the page, as its owner."""
    content = urlencode(form).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return await app.host.routes.dispatch(
        Request("POST", "/inspector", headers=headers, content=content, actor=local("test"))
    )


async def test_what_was_ignored_is_taken_back_and_what_is_gone_is_said(tmp_path):
    async with appliance(tmp_path) as app:
        await app.until_running()
        inspector = app.host.services.get(Inspector)
        inspector.alerts.take([SEEN], inspector.rules)
        await press(app, apply=inspector.alerts.all()[0].id)
        (entry,) = inspector.ignored.all()
        assert (await press(app, undo=entry.id)).headers["Location"] == "/inspector"
        assert inspector.ignored.all() == []
        assert (await press(app, undo=entry.id)).status == 404
        gone = await app.ask("GET", "/inspector", query={"apply": "nothing"})
        assert gone.status == 404
        assert "Nothing was changed" in gone.body().decode()


async def test_the_question_and_the_answer_have_nothing_to_complain_about(tmp_path):
    # They read this module's alert.
    from tests.plugins.web.test_web_gate_matrix import judge
    from tests.plugins.web.whole_box import whole

    async with (
        whole(tmp_path, "empty", config="[plugins.inspector]\nenabled = true\n") as box,
        browser(need("chromium")) as chromium,
        chromium.tab() as tab,
    ):
        await box.enter(tab)
        inspector = box.app.host.services.get(Inspector)
        alert_id = inspector.alerts.all()[0].id
        wrong = await judge(tab, box.base, f"/inspector?apply={alert_id}")
        await tab.open(f"{box.base}/inspector?apply={alert_id}")
        await tab.evaluate("document.querySelector('#question button').click()")
        await wait_until(inspector.ignored.all, "the network to be ignored")
        (entry,) = inspector.ignored.all()
        wrong += await judge(tab, box.base, f"/inspector?done={entry.id}")
        await tab.open(f"{box.base}/inspector?done={entry.id}")
        await tab.evaluate("document.querySelector('.answer button').click()")
        await wait_until(lambda: not inspector.ignored.all(), "it to be taken back")
        # That a script pressed the button and no person is a remark of the browser's own.
        assert [line for line in wrong if "NavigationEntryMarkedSkippable" not in line[1]] == []


async def test_a_viewer_sees_no_button(tmp_path):
    async with appliance(tmp_path) as app:
        await app.until_running()
        inspector = app.host.services.get(Inspector)
        inspector.alerts.take([SEEN], inspector.rules)
        reply = await app.ask("GET", "/inspector", role="viewer")
        alert_id = inspector.alerts.all()[0].id
        assert "?apply=" not in reply.body().decode()
        asked = await app.ask("GET", "/inspector", query={"apply": alert_id}, role="viewer")
        assert "for a day?" not in asked.body().decode()
        refused = await app.ask("POST", f"/api/v1/inspector/alerts/{alert_id}/apply", body={}, role="viewer")
        assert refused.status == 403


def test_rules_check_says_what_is_wrong_and_ends_with_78(tmp_path):
    import click

    cli = click.Group()
    register(cli)
    good = CliRunner().invoke(cli, ["inspector", "rules", "check", str(SHIPPED)])
    assert (good.exit_code, "all good" in good.output) == (0, True)
    own = tmp_path / "own.toml"
    own.write_text('[[rule]]\nid = "x"\n')
    bad = CliRunner().invoke(cli, ["inspector", "rules", "check", str(own)])
    assert bad.exit_code == 78
    assert "own.toml:1: title: Field required" in bad.output
