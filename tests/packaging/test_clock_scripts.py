"""The two shell scripts that care for time before and beside the appliance: where they are wrong, nobody would see it soon."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.tree import ROOT

LIBEXEC = ROOT / "packaging" / "libexec"
DAY_S = 86_400
#: A floor in the past of every machine that runs this, so that "now" is after it.
BUILT_S = 1_767_225_600


@pytest.fixture
def kept(tmp_path):
    """Run `clock` with a floor, a noted time and a `date` that says what it would set."""
    return Kept(tmp_path)


class Kept:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.floor = folder / "clock-epoch"
        self.was_set = folder / "was-set"
        self.date = folder / "date"
        self.date.write_text(f'#!/bin/sh\necho "$@" > {self.was_set}\n')
        self.date.chmod(0o755)

    def run(self, verb: str, *, floor_s: int | None = BUILT_S, check: bool = True):
        if floor_s is not None:
            self.floor.touch()
            os.utime(self.floor, (floor_s, floor_s))
        return subprocess.run(
            ["/bin/sh", LIBEXEC / "clock", verb, self.file], capture_output=True, text=True, check=check, timeout=60,
            env=os.environ | {"TIMEBALL_CLOCK_EPOCH": str(self.floor), "TIMEBALL_DATE": str(self.date)},
        )  # fmt: skip

    def set_to(self) -> int | None:
        """Where the clock was moved, in epoch seconds, or None."""
        if not self.was_set.exists():
            return None
        return int(self.was_set.read_text().split("@")[1])


def now_s() -> int:
    return int(subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True).stdout)


def test_a_clock_that_is_behind_is_moved_to_what_was_noted(kept) -> None:
    later = now_s() + 3 * DAY_S
    kept.file.write_text(f"{later}\n")
    assert f"moved forward by {3 * DAY_S}" in kept.run("restore").stdout.replace(
        str(3 * DAY_S - 1), str(3 * DAY_S)
    )
    assert kept.set_to() == later


def test_a_clock_that_is_ahead_is_left_alone(kept) -> None:
    """Whether by a battery clock or by chronyd: what was noted is only ever the earliest that it can be."""
    kept.file.write_text(f"{BUILT_S + 5}\n")
    kept.run("restore")
    assert kept.set_to() is None


def test_without_a_note_the_day_of_the_build_is_the_floor(kept) -> None:
    floor = now_s() + 7 * DAY_S
    kept.run("restore", floor_s=floor)
    assert kept.set_to() == floor


def test_what_was_noted_before_the_build_does_not_go_below_it(kept) -> None:
    floor = now_s() + 7 * DAY_S
    kept.file.write_text(f"{floor - DAY_S}\n")
    kept.run("restore", floor_s=floor)
    assert kept.set_to() == floor


def test_a_note_from_a_clock_that_was_decades_ahead_is_not_believed(kept) -> None:
    kept.file.write_text(f"{BUILT_S + 16 * 365 * DAY_S}\n")
    assert "not used" in kept.run("restore").stderr
    assert kept.set_to() is None


@pytest.mark.parametrize(
    "damage", ["", "\n", "soon\n", "-5\n", "17e9\n", "$(reboot)\n", "99999999999\n", "\0\0\0\0"]
)
def test_a_damaged_note_is_as_none(kept, damage) -> None:
    kept.file.write_text(damage)
    kept.run("restore")
    assert kept.set_to() is None


def test_without_floor_and_note_nothing_happens(kept) -> None:
    kept.run("restore", floor_s=None)
    assert kept.set_to() is None


def test_what_is_noted_is_what_time_it_is_and_can_be_restored(kept) -> None:
    before = now_s()
    kept.run("save")
    assert before <= int(kept.file.read_text()) <= now_s()
    assert not list(kept.file.parent.glob("*.new"))


def test_a_time_before_the_build_is_not_noted(kept) -> None:
    """It is a clock that nobody has set yet: keeping it would throw away the better note."""
    kept.file.write_text("1800000000\n")
    kept.run("save", floor_s=now_s() + DAY_S)
    assert kept.file.read_text() == "1800000000\n"


def test_where_nothing_can_be_written_the_note_stays_and_it_is_said(kept) -> None:
    kept.file.write_text(f"{BUILT_S}\n")
    (kept.file.parent / "clock.new").mkdir()
    done = kept.run("save", check=False)
    assert done.returncode != 0
    assert done.stderr
    assert kept.file.read_text() == f"{BUILT_S}\n"


# -- time-sources ----------------------------------------------------------------------------------------------------------


class Handing:
    def __init__(self, folder: Path) -> None:
        self.chosen = folder / "chosen.sources"
        self.defaults = folder / "default.sources"
        self.leases = folder / "links"
        self.leases.mkdir()
        self.folder = folder / "run"
        self.reloads = folder / "reloads"
        self.chronyc = folder / "chronyc"
        self.chronyc.write_text(f'#!/bin/sh\necho "$@" >> {self.reloads}\n')
        self.chronyc.chmod(0o755)

    def run(self) -> list[str]:
        """The sources that chronyd reads afterwards."""
        subprocess.run(
            ["/bin/sh", LIBEXEC / "time-sources"], check=True, timeout=60,
            env=os.environ | {
                "TIMEBALL_CHOSEN_SOURCES": str(self.chosen), "TIMEBALL_DEFAULT_SOURCES": str(self.defaults),
                "TIMEBALL_LEASES": str(self.leases), "TIMEBALL_SOURCES_FOLDER": str(self.folder),
                "TIMEBALL_CHRONYC": str(self.chronyc),
            },
        )  # fmt: skip
        return [line for file in sorted(self.folder.iterdir()) for line in file.read_text().splitlines()]

    def told(self) -> int:
        return len(self.reloads.read_text().splitlines()) if self.reloads.exists() else 0


@pytest.fixture
def handing(tmp_path):
    return Handing(tmp_path)


def test_defaults_chosen_and_announced_sources_are_handed_over(handing) -> None:
    handing.defaults.write_text("# why\npool 2.example.org iburst\n")
    handing.chosen.write_text("server 192.0.2.1 iburst prefer\nserver ntp.example.org iburst nts port 4460\n")
    (handing.leases / "2").write_text("OPER_STATE=routable\nNTP=198.51.100.7 2001:db8::7\n")
    assert handing.run() == [
        "server 198.51.100.7 iburst", "server 2001:db8::7 iburst", "pool 2.example.org iburst",
        "server 192.0.2.1 iburst prefer", "server ntp.example.org iburst nts port 4460",
    ]  # fmt: skip
    assert handing.told() == 1


def test_only_these_leaves_the_defaults_out_and_dhcp_can_be_refused(handing) -> None:
    handing.defaults.write_text("pool 2.example.org iburst\n")
    (handing.leases / "2").write_text("NTP=198.51.100.7\n")
    handing.chosen.write_text("# only these\n# not from DHCP\nserver 192.0.2.1 iburst\n")
    assert handing.run() == ["server 192.0.2.1 iburst"]


def test_chronyd_is_told_only_when_something_changed(handing) -> None:
    handing.chosen.write_text("server 192.0.2.1 iburst\n")
    handing.run()
    handing.run()
    assert handing.told() == 1
    handing.chosen.write_text("")
    assert handing.run() == []
    assert handing.told() == 2


def test_without_any_file_there_are_no_sources_and_no_fault(handing) -> None:
    assert handing.run() == []


@pytest.mark.parametrize(
    "line",
    [
        "user root", "mailonchange root@example.org 0", "bindcmdaddress 0.0.0.0", "include /etc/shadow", "logdir /", "allow",
        "server 192.0.2.1 iburst key 7", "server 192.0.2.1 extfield F323", "server -x iburst", "server ../../x iburst",
        "server 192.0.2.1 iburst\x0bport 0", "refclock SHM 0", "server a$(reboot) iburst", " server 192.0.2.1", "pool",
        "server " + "a" * 300, "initstepslew 1 192.0.2.1",
    ],
)  # fmt: skip
def test_nothing_but_a_source_gets_through(handing, line) -> None:
    """The file belongs to the service, the script to root: a service that was taken over wins no directive by it."""
    handing.chosen.write_text(f"{line}\nserver 192.0.2.9 iburst\n")
    (handing.leases / "2").write_text(f"NTP={line}\n")
    found = handing.run()
    assert all(one.removeprefix("server ").removesuffix(" iburst").isprintable() for one in found)
    chosen = (handing.folder / "timeball.sources").read_text().splitlines()
    assert chosen == ["server 192.0.2.9 iburst"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=600))
def test_whatever_stands_in_the_file_only_sources_come_out(handing, content) -> None:
    handing.chosen.write_bytes(content)
    for line in handing.run():
        verb, host, *rest = line.split(" ")
        assert verb in ("server", "pool")
        assert host
        assert set(rest) <= {"iburst", "nts", "prefer", "port", "maxsources"} | {
            word for word in rest if word.isdigit()
        }


def test_a_flood_of_sources_is_cut(handing) -> None:
    handing.chosen.write_text("".join(f"server 192.0.2.{i % 250} iburst\n" for i in range(5000)))
    assert len(handing.run()) == 32


def test_a_link_to_a_secret_gives_nothing_away(handing, tmp_path) -> None:
    (tmp_path / "secret").write_text("root:$6$abc:19000:0:::::\n")
    handing.chosen.symlink_to(tmp_path / "secret")
    assert handing.run() == []
