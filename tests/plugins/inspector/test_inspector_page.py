"""The inspector's page and commands, in an appliance that draws pages."""

from __future__ import annotations

from click.testing import CliRunner

from appliance.api.services import TimeSource
from appliance.testing import running
from appliance_inspector.cli import register
from appliance_inspector.rules import SHIPPED
from appliance_inspector.service import Inspector
from appliance_inspector.verdicts import Seen
from tests.support.attacks import START_NS
from tests.support.ntp_service import Source

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
    count=7, service="ntp", sample="1700032a", shown="<script>alert(1)</script>",
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
        assert f'value="{alert_id}"' in page
        await app.post(f"/api/v1/inspector/alerts/{alert_id}/apply", {})
        page = await app.get("/inspector")
        assert "Answer it again" in page
        assert "is ignored already" in page


async def test_a_viewer_sees_no_button(tmp_path):
    async with appliance(tmp_path) as app:
        await app.until_running()
        inspector = app.host.services.get(Inspector)
        inspector.alerts.take([SEEN], inspector.rules)
        reply = await app.ask("GET", "/inspector", role="viewer")
        assert '<button type="submit" name="apply"' not in reply.body().decode()
        alert_id = inspector.alerts.all()[0].id
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
