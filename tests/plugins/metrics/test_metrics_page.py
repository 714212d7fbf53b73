"""/metrics of a whole appliance: it parses, follows the naming rules, and is never broken by one plugin."""

from __future__ import annotations

import re
import types
from importlib.resources import files

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as classic

from appliance.api.actor import acting
from appliance.api.contrib import Metric
from appliance.api.plugin import PluginInfo, hookimpl
from appliance.core.http import answer
from appliance.core.routes import RouteTable
from appliance.testing import running

CONFIG = """
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.dns]
zone = "pool.example.org"
listen = ["127.0.0.1:0"]
[plugins.web]
listen = "127.0.0.1:0"
[[plugins.members.member]]
address = "127.0.0.11"
zones = ["@", "harbour"]
[plugins.monitor]
interval_s = 3600
"""


def broken_plugin():
    module = types.ModuleType("broken")
    module.plugin = PluginInfo(id="broken", title="Broken", api=1)

    @hookimpl
    def metrics(ctx):
        return [Metric("broken_things", "Never to be read", "gauge", lambda: 1 / 0)]

    module.metrics = metrics
    return module


def lint(families) -> list[str]:
    """The rules of prometheus.io/docs/practices/naming and of `promtool check metrics`, as far as they apply."""
    faults = []
    for family in families:
        name, kind = family.name, family.type
        exposed = f"{name}_total" if kind == "counter" else name
        if not re.fullmatch(r"timeball_[a-z][a-z0-9_]*[a-z0-9]", exposed):
            faults.append(f"{name}: not snake case with the prefix")
        if not family.documentation or family.documentation.endswith("."):
            faults.append(f"{name}: help is missing, or ends in a full stop")
        if kind != "counter" and re.search(r"_(total|count|sum|bucket)$", name):
            faults.append(f"{name}: a {kind} must not end like that")
        if re.search(
            r"_(ms|us|ns|milliseconds|minutes|hours|days|kb|mb|kilobytes|megabytes|percent|ppm)(_total)?$",
            exposed,
        ):
            faults.append(f"{name}: not in base units (seconds, bytes, ratio)")
        if re.search(r"(gauge|counter|metric)$", name):
            faults.append(f"{name}: the kind does not belong in the name")
        for sample in family.samples:
            faults += [f"{name}: label {label}" for label in sample.labels
                       if not re.fullmatch(r"[a-z][a-z0-9_]*", label) or label in {"le", "quantile"}]  # fmt: skip
    return faults


@pytest.fixture
async def whole(tmp_path):
    async with running(None, CONFIG, state_dir=tmp_path) as app:
        await app.until_running("clock", "members", "monitor", "dns", "ntp")
        yield app


async def test_the_page_of_a_whole_appliance_parses_and_follows_the_naming_rules(whole):
    families = list(classic(await whole.get("/metrics")))
    names = {f.name for f in families}
    for expected in (
        "timeball_build_info", "timeball_pool_servers", "timeball_server_score", "timeball_clock_synchronised",
        "timeball_ntp_responses", "timeball_dns_requests", "timeball_db_size_bytes", "timeball_event_loop_lag_seconds",
        "timeball_plugin_state", "timeball_process_resident_memory_bytes", "timeball_process_cpu_seconds",
        "timeball_metric_errors", "timeball_bus_events_dropped",
    ):  # fmt: skip
        assert expected in names
    assert lint(families) == []
    errors = [s for f in families if f.name == "timeball_metric_errors" for s in f.samples]
    assert errors == []


async def test_every_metric_that_the_manual_names_is_on_the_page(whole):
    manual = (files("appliance") / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = set(re.findall(r"timeball_[a-z_]+", manual)) - {"timeball_"}
    shown = set(re.findall(r"^# TYPE (\S+)", await whole.get("/metrics"), re.MULTILINE))
    assert len(named) > 15
    assert named <= shown


async def test_the_figures_are_the_appliances_own(whole):
    samples = {
        (s.name, *sorted(s.labels.values())): s.value
        for f in classic(await whole.get("/metrics"))
        for s in f.samples
    }
    assert samples["timeball_pool_servers", "harbour", "ipv4", "new"] == 1
    assert samples["timeball_plugin_state", "members", "running"] == 1
    assert samples["timeball_plugin_state", "failed", "members"] == 0
    assert samples["timeball_db_writable",] == 1
    assert 1e7 < samples["timeball_process_resident_memory_bytes",] < 1e10
    assert samples["timeball_process_cpu_seconds_total",] > 0


async def test_one_broken_metric_is_named_and_breaks_nothing(tmp_path):
    async with running(["members", "metrics", broken_plugin()], state_dir=tmp_path) as app:
        text = await app.get("/metrics")
        assert 'timeball_metric_errors_total{metric="broken_things",plugin="broken"} 1.0' in text
        assert "timeball_members 0.0" in text
        health = await app.host.refresh_health()
        told = [p for p in health.problems if "broken_things of broken" in p.text]
        assert told and "ZeroDivisionError" in told[0].text


async def test_over_http_the_type_says_the_format_and_openmetrics_is_given_to_who_asks(tmp_path):
    async with running(["members", "metrics"], state_dir=tmp_path) as app:
        table = app.host.services.get(RouteTable)

        async def serve(raw):
            return await answer(table, raw, actor=acting("viewer"))

        server = web.Application()
        server.router.add_route("*", "/{tail:.*}", serve)
        runner = web.AppRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        try:
            async with aiohttp.ClientSession() as http:
                async with http.get(url) as reply:
                    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                    assert list(classic(await reply.text()))
                accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
                async with http.get(url, headers=accept) as reply:
                    assert reply.headers["Content-Type"].startswith(
                        "application/openmetrics-text; version=1.0.0"
                    )
                    assert list(open_metrics(await reply.text()))
                async with http.head(url) as reply:
                    assert reply.status == 200
        finally:
            await runner.cleanup()
