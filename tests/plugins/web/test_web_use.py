"""The lines for clients: made of the real names and addresses, and read by the very programs that they are for."""

from __future__ import annotations

import json
import subprocess

import pytest

from appliance.api.services import Members, ScoreBoard
from appliance.core.clock import SystemClock
from appliance_web.views import use
from tests.plugins.dns.dns_bed import Board, Registry, bad, good, member
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited
from tests.support.programs import cannot_run, need, need_root
from tests.support.wait import wait_until

POOL = use.Pool(
    "pool.example.org",
    [f"{n}.pool.example.org" for n in range(4)],
    ["192.0.2.1", "192.0.2.2"],
    ["2001:db8::1"],
)
ALONE = use.Pool("", ["192.0.2.77"], ["192.0.2.77"])
CONFIG = '[plugins.dns]\nzone = "pool.example.org"\nlisten = ["127.0.0.1:0"]\n'


def recipe(key, pool=POOL):
    return next(r for group in use.recipes(pool) for r in group.recipes if r.key == key)


@pytest.mark.parametrize("pool", [POOL, ALONE], ids=["pool", "alone"])
def test_chronyd_reads_its_line(tmp_path, pool):
    file = tmp_path / "chrony.conf"
    file.write_text(recipe("chrony", pool).lines + "\n")
    done = subprocess.run(
        [need("chronyd"), "-p", "-f", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done
    assert pool.whole in done.stdout


@pytest.mark.parametrize("pool", [POOL, ALONE], ids=["pool", "alone"])
def test_timesyncd_reads_its_lines_and_takes_every_server(tmp_path, pool):
    """It runs in a mount and a network namespace of its own: it reads our file, and reaches nobody."""
    need_root()
    program = need("systemd-timesyncd")
    if subprocess.run(["unshare", "-m", "-n", "true"], check=False).returncode:
        cannot_run("namespaces cannot be made here")
    config = tmp_path / "timesyncd.conf"
    config.write_text(recipe("timesyncd", pool).lines + "\n")
    said = tmp_path / "said"
    before = f"mount -t tmpfs none /etc/systemd && cp {config} /etc/systemd/ && mount -t tmpfs none /run"
    script = f"{before} && exec env SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console {program}"
    with said.open("wb") as log:
        daemon = subprocess.Popen(["unshare", "-m", "-n", "sh", "-c", script], stdout=log, stderr=log)
    try:
        wait_until(
            lambda: (
                all(f"Added new system server {name}." in said.read_text() for name in pool.names)
                or daemon.poll() is not None
            ),
            "timesyncd to take its servers",
        )
    finally:
        daemon.kill()
        daemon.wait()
    text = said.read_text()
    assert all(f"Added new system server {name}." in text for name in pool.names), text
    fallback = [line for line in text.splitlines() if "new fallback server" in line]
    assert fallback == [f"Added new fallback server {pool.whole}."]  # none of the distribution's own
    assert "nknown key" not in text
    assert "Failed to parse" not in text


def test_dnsmasq_reads_its_lines(tmp_path):
    file = tmp_path / "dnsmasq.conf"
    file.write_text(recipe("dnsmasq").lines + "\n")
    done = subprocess.run(
        [need("dnsmasq"), "--test", "-C", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert "syntax check OK" in done.stderr, done
    assert recipe("dnsmasq").lines.splitlines() == [
        "dhcp-option=option:ntp-server,192.0.2.1,192.0.2.2",
        "dhcp-option=option6:ntp-server,[2001:db8::1]",
    ]


@pytest.mark.parametrize("key", ["kea", "kea6"])
def test_the_lines_for_kea_are_json(key):
    found = json.loads("{" + recipe(key).lines + "}")
    assert found["option-data"][0]["name"] in ("ntp-servers", "sntp-servers")


def test_windows_is_told_each_name_as_a_client():
    assert '/manualpeerlist:"0.pool.example.org,0x8 1.pool.example.org,0x8' in recipe("windows").lines


def test_nobody_to_give_by_dhcp_is_no_recipe():
    assert [
        g.title for g in use.recipes(use.Pool("pool.example.org", ["pool.example.org"])) if not g.recipes
    ] == ["All of a network at once: DHCP"]


async def test_the_page_gives_the_pools_own_names_and_servers(tmp_path):
    clock = SystemClock()
    members = [member(n, netspeed=1000 * n) for n in range(1, 4)] + [member(4, port=11123), member(5)]
    verdicts = [good(m.id) for m in members[:4]] + [bad("m5")]
    provide = {Members: Registry(clock, *members), ScoreBoard: Board(clock, *verdicts, stale_after_s=1e9)}
    async with visited(tmp_path, None, config=CONFIG, plugins=("web", "dns"), provide=provide) as visitor:
        await visitor.app.until_running("dns")
        status, text, _ = await visitor.get("/use")
        found = read(text)
        assert (status, found.complaints) == (200, [])
        assert "pool pool.example.org iburst maxsources 4" in found.text
        assert "NTP=0.pool.example.org 1.pool.example.org 2.pool.example.org 3.pool.example.org" in found.text
        assert "192.0.2.3" in found.text
        assert "192.0.2.5" not in found.text  # out of the pool
        assert "192.0.2.4" not in found.text  # another port, which DHCP cannot tell


async def test_without_dns_the_box_itself_is_named(tmp_path):
    async with visited(tmp_path, None) as visitor:
        _, text, _ = await visitor.get("/use")
        assert "server 127.0.0.1 iburst" in text
        assert "Without DNS" in text
