"""Each check of the box with its fault made real: a process that holds the port, a full disk, rights that are too wide."""

import asyncio
import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.api.contrib import Finding, HealthCheck
from appliance.api.errors import Refused
from appliance.api.model import Level
from appliance.core.config import Layer, read_text
from appliance.core.config_check import validate
from appliance.dataplane.interface import Endpoint
from appliance.doctor import box, configured, disk, judge, ports, timekeeping
from appliance.doctor.fixes import FIXES, undo_for
from appliance.doctor.surroundings import Door, Surroundings, doors
from appliance.host import loader
from tests.support.programs import free_port, need_root

MODELS = {p.id: p.info.config for p in loader.discover().good() if p.info is not None}


def around(tmp_path, text="", wanted=(), **options):
    layers = [read_text(text, "test"), Layer("state", {"appliance": {"state_dir": str(tmp_path)}})]
    return Surroundings(validate(layers, MODELS), tuple(wanted), **({"running": False} | options))


def door(address, protocol="udp", plugin="dns", served=False):
    return Door(plugin, "DNS", protocol, Endpoint.parse(address), served)


_HOLD = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
kind = socket.SOCK_DGRAM if sys.argv[4] == "udp" else socket.SOCK_STREAM
s = socket.socket(socket.AF_INET, kind)
s.bind((sys.argv[2], int(sys.argv[3])))
if kind == socket.SOCK_STREAM: s.listen()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def somebody(name, host, port, protocol="udp"):
    """A real process of that name that really holds the port."""
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, name, host, str(port), protocol],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.communicate()


# -- ports ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "port", "protocol", "called", "command", "fixable"),
    [
        ("systemd-resolve", 53, "udp", "systemd-resolved", "DNSStubListener=no", True),
        ("systemd-resolve", 53, "tcp", "systemd-resolved", "DNSStubListener=no", True),
        ("chronyd", 123, "udp", "chronyd", "port 0", True),
        ("dnsmasq", 53, "udp", "dnsmasq", "port=0", False),
        ("ntpd", 123, "udp", "ntpd", "apt-get install chrony", False),
    ],
)
def test_who_holds_a_port_is_named_with_the_remedy(tmp_path, name, port, protocol, called, command, fixable):
    need_root()
    host = f"127.0.77.{port}"
    wanted = door(f"{host}:{port}", protocol)
    assert ports.look(wanted, around(tmp_path)) is None
    with somebody(name, host, port, protocol) as child:
        found = ports.look(wanted, around(tmp_path))
    assert called in found.text
    assert f"{name} (process {child.pid})" in found.evidence[0]
    assert any(command in line for line in found.commands)
    assert (found.fix is not None) == fixable
    assert found.why


def test_a_stranger_on_a_port_is_named_too_and_what_we_hold_ourselves_is_well(tmp_path):
    port = free_port()
    with somebody("coffee-machine", "127.0.0.1", port, "tcp"):
        found = ports.look(door(f"127.0.0.1:{port}", "tcp", "web"), around(tmp_path))
        assert "coffee-machine" in found.text
        assert "plugins.web.listen" in found.remedy
        assert ports.look(door(f"127.0.0.1:{port}", "tcp", "web", served=True), around(tmp_path)) is None


def test_an_address_of_another_box_is_told_with_ours(tmp_path):
    found = ports.look(door("192.0.2.1:11053"), around(tmp_path))
    assert "no address of this box" in found.text
    assert "127.0.0.1" in found.evidence[0]


def test_doors_come_from_configuration_and_needs():
    config = MODELS["dns"](listen=("127.0.0.1:5300", "[::1]:5300"))
    found = list(
        doors(
            {"dns": ("DNS", config, frozenset({"udp:53", "tcp:53"})), "x": ("X", None, frozenset())},
            lambda _: False,
        )
    )
    assert [str(d) for d in found] == [
        "127.0.0.1:5300/tcp", "127.0.0.1:5300/udp", "[::1]:5300/tcp", "[::1]:5300/udp",
    ]  # fmt: skip


# -- repairs --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A root of our own with /etc in it, and a systemctl that writes down what it is asked."""
    root, programs = tmp_path / "root", tmp_path / "bin"
    (root / "etc").mkdir(parents=True)
    programs.mkdir()
    asked = tmp_path / "asked"
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return root, asked


@pytest.mark.parametrize("name", sorted(FIXES))
async def test_a_repair_does_what_it_shows_and_can_be_taken_back(tmp_path, system, name):
    root, asked = system
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    before = _tree(root)
    here = around(tmp_path, root=root, is_root=True)
    fix = FIXES[name].fix(here)
    await fix.apply()
    assert _tree(root) != before
    assert (root / FIXES[name].mark).is_file()
    assert asked.read_text().startswith("restart ")
    key = f"box.ports.x-{FIXES[name].port}-udp"
    again = undo_for(key, here)
    await again.undo()
    after = {path: what for path, what in _tree(root).items() if what != "folder"}
    assert after == {path: what for path, what in before.items() if what != "folder"}
    assert undo_for(key, here) is None, "there is nothing to take back any more"


def _tree(root):
    return {
        str(p.relative_to(root)): str(p.readlink())
        if p.is_symlink()
        else "folder"
        if p.is_dir()
        else p.read_text()
        for p in root.rglob("*")
    }


async def test_a_repair_that_fails_says_which_command_and_what_it_said(tmp_path, system):
    root, _ = system
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho no such unit >&2\nexit 5\n")
    with pytest.raises(Refused, match=r"systemctl restart chrony.*status 5: no such unit"):
        await FIXES["chrony-port"].fix(around(tmp_path, root=root, is_root=True)).apply()


async def test_nobody_but_root_mends_the_system(tmp_path, system):
    root, asked = system
    with pytest.raises(Refused, match="only root"):
        await FIXES["resolved-stub"].fix(around(tmp_path, root=root, is_root=False)).apply()
    assert not asked.exists()


# -- disk and rights ------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_nearly_full_and_read_only(tmp_path):
    need_root()
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", folder], check=True)
    try:
        assert disk.room(folder / "state") is None
        with (folder / "a").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 289_000_000)
        assert disk.room(folder).id == "full" or disk.room(folder).id == "low"
        with (folder / "b").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 15_000_000)
        found = disk.room(folder)
        assert (found.id, found.level) == ("full", Level.FAILING)
        assert "free of" in found.evidence[0]
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        assert disk.room(folder).id == "read-only"
    finally:
        subprocess.run(["umount", folder], check=True)


async def test_rights_that_are_too_wide_are_mended_and_given_back(tmp_path):
    state = tmp_path / "state"
    (state / "secrets").mkdir(parents=True)
    state.chmod(0o755)
    secret = state / "secrets" / "key"
    secret.write_text("x")
    secret.chmod(0o644)
    found = disk.too_open(state)
    assert [f.id for f in found] == ["state", "key"]
    assert found[1].commands == (f"chmod 0600 {secret}",)
    for one in found:
        await one.fix.apply()
    assert disk.too_open(state) == []
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    await found[1].fix.undo()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o644


# -- clock, network, settings ---------------------------------------------------------------------------------------------


def processes(root, **named):
    for number, (name, line) in enumerate(named.items(), 100):
        folder = root / "proc" / str(number)
        folder.mkdir(parents=True)
        (folder / "comm").write_text(name.replace("_", "-") + "\n")
        (folder / "cmdline").write_text(line)


@pytest.mark.parametrize(
    ("found", "text", "expected"),
    [
        ({"chronyd": "chronyd"}, "", None),
        ({"chronyd": "chronyd", "systemd_timesyn": "timesyncd"}, "", "two"),
        ({"chronyd": "chronyd", "ntpd": "ntpd"}, "", "two"),
        ({}, "", "none"),
        ({}, '[plugins.clock]\nsource = "local"\n', None),
        ({"systemd_timesyn": "x"}, "", "timesyncd"),
    ],
)
def test_who_sets_the_clock(tmp_path, found, text, expected):
    (tmp_path / "proc" / "1").mkdir(parents=True)
    processes(tmp_path, **found)
    finding = timekeeping.who_sets(around(tmp_path, text, root=tmp_path))
    assert (finding.id if finding else None) == expected


def test_a_service_that_sees_its_own_processes_only_says_nothing_about_others(tmp_path):
    """`ProtectProc=invisible`: there may well be a chronyd, and the clock's plugin speaks with it."""
    processes(tmp_path, python="timeball")
    assert timekeeping.who_sets(around(tmp_path, "", root=tmp_path)) is None


def test_a_real_process_that_sets_the_clock_is_seen(tmp_path):
    with (
        somebody("chronyd", "127.0.0.1", free_port()) as one,
        somebody("ntpd", "127.0.0.1", free_port()) as two,
    ):
        finding = timekeeping.who_sets(around(tmp_path))
    assert finding.id == "two"
    assert str(one.pid) in " ".join(finding.evidence)
    assert str(two.pid) in " ".join(finding.evidence)


def test_a_hardware_clock_in_local_time(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/adjtime").write_text("0.0 0 0.0\n0\nUTC\n")
    assert timekeeping.rtc_in_local_time(around(tmp_path, root=tmp_path)) is None
    (tmp_path / "etc/adjtime").write_text("0.0 0 0.0\n0\nLOCAL\n")
    assert timekeeping.rtc_in_local_time(around(tmp_path, root=tmp_path)).commands == (
        "timedatectl set-local-rtc 0",
    )
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert "Europe/Berlin" in timekeeping.time_zone(around(tmp_path, root=tmp_path)).text


def test_ipv6_that_is_asked_for_and_not_there(tmp_path):
    """In a network of its own, in which there is loopback only."""
    need_root()
    code = (
        f"import sys; sys.path[:0] = {[str(Path.cwd()), *[p for p in sys.path if p]]!r}\n"
        "from appliance.doctor import network\n"
        "from tests.doctor.test_doctor_checks import around, door\n"
        "from pathlib import Path\n"
        f"print(network.without_ipv6(around(Path({str(tmp_path)!r}), wanted=[door('[::]:53')])).id)\n"
        f"print(network.without_ipv6(around(Path({str(tmp_path)!r}), wanted=[door('0.0.0.0:53')])))\n"
    )
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["address", "None"], done.stderr


def test_settings_that_are_valid_and_unwise(tmp_path, monkeypatch):
    text = '[plugins.dns]\nzone = "pool.example.org"\n[[plugins.dns.ns]]\nname = "ns7"\n'
    assert "ns7" in configured.names_without_glue(around(tmp_path, text)).text
    assert configured.names_without_glue(around(tmp_path, text + 'addresses = ["192.0.2.53"]\n')) is None
    assert configured.as_root(around(tmp_path, is_root=True, running=True)).id == "root"
    assert configured.as_root(around(tmp_path, is_root=False, running=True)) is None
    monkeypatch.setenv("TIMEBALL_PLUGIN__DNS__TTL", "60")
    monkeypatch.setenv("TIMEBALL_PLUGINS__DNS__TTL", "60")
    results = asyncio.run(judge.examine(box.checks(around(tmp_path))))
    strange = [r for r in results if "does nothing" in r.text]
    assert [r.text for r in strange] == ["the environment variable TIMEBALL_PLUGIN__DNS__TTL does nothing"]


@pytest.mark.parametrize(
    ("listen", "allow", "limited", "bad"),
    [
        ("0.0.0.0:123", "0.0.0.0/0", "false", True),
        ("0.0.0.0:123", "0.0.0.0/0", "true", False),
        ("10.0.0.1:123", "0.0.0.0/0", "false", False),
        ("0.0.0.0:123", "10.0.0.0/8", "false", False),
    ],
)
def test_time_for_the_world_without_a_limit(tmp_path, listen, allow, limited, bad):
    text = f'[plugins.ntp]\nlisten = ["{listen}"]\nallow = ["{allow}"]\nrate_limit.enabled = {limited}\n'
    assert (configured.open_to_the_world(around(tmp_path, text)) is not None) == bad


# -- judging --------------------------------------------------------------------------------------------------------------


async def test_checks_of_any_age_are_judged_and_the_worst_come_first():
    async def fine():
        return None

    async def words():
        return "not right"

    async def several():
        return [Finding("a", info=True, id="one"), Finding("b", level=Level.FAILING, evidence=("seen",))]

    async def breaks():
        raise ValueError("oops")

    async def hangs():
        await asyncio.sleep(60)

    results = await judge.examine([
        ("p", HealthCheck("fine", fine, well="it is")), ("p", HealthCheck("words", words, remedy="do")),
        ("p", HealthCheck("several", several, why="because")), ("p", HealthCheck("breaks", breaks)),
        ("p", HealthCheck("hangs", hangs, timeout_s=0.01)),
    ])  # fmt: skip
    assert [(r.id, r.level) for r in results] == [
        ("p.several.2", "failing"), ("p.breaks", "degraded"), ("p.hangs", "degraded"), ("p.words", "degraded"),
        ("p.several.one", "info"), ("p.fine", "ok"),
    ]  # fmt: skip
    level, line = judge.verdict(results)
    assert level is Level.FAILING
    assert line.startswith("1 thing is failing; 3 more need a look. First: b")
    assert (
        judge.verdict(results[-1:]) == (Level.OK, "All is well: 1 checks.")
        or judge.verdict(results[-1:])[0] is Level.OK
    )
    assert results[0].why == "because"
