"""The overview at a glance: figures, zones by family, and the machine itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import Member, Verdict
from appliance_web import machine
from appliance_web.views import pulse
from appliance_web.views.standing import row
from tests.plugins.web.html_check import read
from tests.plugins.web.visiting import visited

GB = 1_000_000_000
WELL = {
    "disk": {"total_bytes": 32 * GB, "free_bytes": 20 * GB, "writable": True}, "memory": {"total_bytes": GB, "available_bytes": GB // 2},
    "load": 0.42, "cpus": 4, "uptime_s": 200_000.0, "temperature_c": 48.2, "throttled": [], "throttled_before": [], "life_used": 0.1,
}  # fmt: skip


def test_a_machine_that_is_well_says_so():
    card = pulse.machine_card(WELL)
    assert (card.shape, card.verdict) == ("ok", "Room, memory and heat are well.")
    assert dict(card.facts)["Temperature"] == "48 °C"
    assert dict(card.facts)["Free on the disk"] == "20.0 GB of 32.0 GB"


@pytest.mark.parametrize(
    ("odd", "shape", "words"),
    [
        ({"disk": {"total_bytes": 32 * GB, "free_bytes": 2 * GB}}, "degraded", "2.0 GB left"),
        ({"disk": {"total_bytes": 32 * GB, "free_bytes": GB // 10}}, "failing", "100 MB left"),
        ({"disk": {"total_bytes": 1, "free_bytes": 1, "writable": False}}, "failing", "cannot be written"),
        ({"temperature_c": 75}, "degraded", "75 °C hot"),
        ({"temperature_c": 85}, "failing", "85 °C hot"),
        ({"throttled": ["too little voltage"]}, "degraded", "Too little voltage"),
        ({"life_used": 0.9}, "degraded", "worn"),
        ({"memory": {"total_bytes": GB, "available_bytes": GB // 50}}, "degraded", "of memory are left"),
    ],
)
def test_what_needs_a_person_is_in_its_verdict(odd, shape, words):
    card = pulse.machine_card(WELL | odd)
    assert (card.shape, words in card.verdict) == (shape, True), card.verdict


odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.dictionaries(st.sampled_from(["total_bytes", "free_bytes"]), st.integers() | st.none())
)


@given(st.dictionaries(st.sampled_from([k for k in WELL if not k.startswith("throttled")]), odd))
def test_no_reading_breaks_the_card(value):
    pulse.machine_card(WELL | value)


def folder(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_machine_is_read_where_it_tells(tmp_path):
    root = folder(
        tmp_path,
        proc__loadavg="0.50 0.4 0.3 1/2 3",
        proc__uptime="123.4 5",
        proc__meminfo="MemTotal: 1000 kB\nMemAvailable: 250 kB\n",
    )
    for path, text in (
        ("sys/class/thermal/thermal_zone0/temp", "51234\n"),
        ("sys/class/thermal/thermal_zone1/temp", "-274000\n"),  # a sensor that is not there
        ("sys/block/mmcblk0/device/life_time", "0x01 0x03\n"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    found = machine.read(tmp_path, root)
    assert (found["load"], found["uptime_s"], found["temperature_c"]) == (0.5, 123.4, 51.234)
    assert found["memory"] == {"total_bytes": 1_024_000, "available_bytes": 256_000}
    assert found["life_used"] == pytest.approx(0.3)
    assert found["throttled"] == ["too little voltage", "slowed down"]
    assert found["throttled_before"] == ["too little voltage", "slowed down"]


def test_a_machine_that_tells_nothing_is_read_as_nothing(tmp_path):
    found = machine.read(tmp_path / "missing", tmp_path)
    assert [found[k] for k in ("disk", "memory", "load", "temperature_c", "throttled", "life_used")] == [
        None
    ] * 6
    assert pulse.machine_card(found).shape == "ok"


@given(st.binary(max_size=40))
def test_files_may_hold_anything(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("machine")
    for path in (
        "proc/meminfo",
        "proc/loadavg",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/block/mmcblk0/device/life_time",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    machine.read(root, root)


def test_zones_are_counted_by_family_and_who_is_set_aside_does_not_count():
    def one(number, address, in_pool=True, **fields):
        m = Member(f"m{number}", address, **fields)
        return row(m, Verdict(m.id, 20.0, in_pool, "x", "ok" if in_pool else "low_score"))

    rows = [
        one(1, "192.0.2.1", zones=("@", "de")), one(2, "192.0.2.2", in_pool=False, zones=("de",)), one(3, "2001:db8::3"),
        one(4, "192.0.2.4", state="paused"),
    ]  # fmt: skip
    lines = [(z.name, z.ipv4, z.ipv6, z.word) for z in pulse.zone_lines(rows)]
    assert lines == [("the whole pool", "1 of 2", "1 of 1", "2 of 3 in"), ("de", "1 of 2", "–", "1 of 2 in")]


@pytest.mark.parametrize(
    ("codes", "shape"),
    [("new new low_score", "none"), ("new low_score low_score", "failing"), ("ok new new new", "ok"), ("ok low_score low_score", "degraded")],
)  # fmt: skip
def test_a_zone_of_new_servers_begins_and_newcomers_make_none_worse(codes, shape):
    rows = [
        row(Member(f"m{i}", f"192.0.2.{i}"), Verdict(f"m{i}", 20.0, code == "ok", "x", code))
        for i, code in enumerate(codes.split())
    ]
    [line] = pulse.zone_lines(rows)
    assert line.shape == shape


@pytest.mark.parametrize("value", [None, {}, {"points": [{"offset_s": None}]}])
def test_figures_before_anything_is_known(value):
    found = pulse.figures(None, {"synchronised": False}, value)
    assert [(f.label, f.value) for f in found] == [("NTP queries", "–"), ("DNS queries", "–"), ("Clock", "–")]


async def test_the_overview_has_it_all(tmp_path):
    async with visited(tmp_path, 7) as visitor:
        status, text, _ = await visitor.get("/")
        found = read(text)
        assert (status, found.complaints) == (200, [])
        for words in ("NTP queries", "This box", "Free on the disk", "the whole pool"):
            assert words in found.text
