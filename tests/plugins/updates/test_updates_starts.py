"""The programs of the start, on a folder that plays a box: good and bad new systems, panics, power cuts."""

from __future__ import annotations

import os
import subprocess

import pytest

from appliance.api.agent import AgentRefusal, Ran
from appliance.boot import uboot_env
from appliance.boot.scheme import (
    TRIES,
    BootState,
    Slot,
    mark_bad,
)
from appliance_updates import record, snapshots
from appliance_updates.proving import Proof, judge
from tests.plugins.updates.a_box import NEW, OLD
from tests.plugins.updates.playing import arrive, busctl, do, installed, restart
from tests.support.tree import ROOT


def test_a_new_system_that_is_well_is_marked_good_and_keeps_the_data(box):
    installed(box)
    assert restart(box) is None
    box.write_database("by the new one")
    assert judge(box.root, box.partition, lambda known: Proof(good=True), box.programs, lambda: 9.0) == "good"
    assert (box.state.slots["B"], box.state.last_good) == (Slot(TRIES, good=True), "B")
    found = record.load(box.root)
    assert (found.pending, [e.kind for e in found.history]) == (None, ["updated"])
    assert box.database() == ["by the old one", "by the new one"]


def test_a_new_system_that_panics_three_times_is_gone_and_the_old_one_says_why(box):
    installed(box)
    events = [restart(box, works=False) for _ in range(4)]
    assert events[:3] == [None, None, None]
    event = events[3]
    assert event.kind == "fell-back"
    assert event.why == [
        "All of its starts ended before its services began: its kernel stopped (panic), or could not open its system",
        "3 of 3 starts were used",
    ]
    assert box.database() == ["by the old one"]
    assert record.load(box.root).history[0] == event
    assert arrive(box) is None  # it is told once


def test_what_the_firmware_kept_of_a_panic_is_told_and_the_room_is_given_back(box):
    installed(box)
    kept = box.root / "sys/fs/pstore/dmesg-efi-1"
    kept.parent.mkdir(parents=True)
    kept.write_text(
        "<4>one\n<0>[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs\n<4>more\n"
    )
    *_, event = [restart(box, works=False) for _ in range(4)]
    assert event.why[0] == "Kernel panic - not syncing: VFS: Unable to mount root fs"
    assert event.evidence[0] == "<4>one"
    assert not kept.exists()


def test_a_new_system_that_never_gets_well_restarts_and_the_old_one_has_its_reasons_and_its_data(box):
    installed(box)
    box.programs.answers["journalctl"] = lambda *_: Ran(
        0, "[   12.3] systemd[1]: timeball.service: Failed with result 'exit-code'.\n"
    )
    why = ["Time service does not run (failed): port 123 is taken"]
    for _ in range(3):
        assert restart(box) is None
        box.write_database("by the new one")
        assert (
            judge(
                box.root, box.partition, lambda known: Proof(good=False, why=why), box.programs, lambda: 9.0
            )
            == "restarted"
        )
        assert box.programs.ran[-1] == ("systemctl", "reboot")
    event = restart(box)
    assert event.kind == "fell-back"
    assert event.why[0] == "Time service does not run (failed): port 123 is taken"
    assert event.evidence == ["[   12.3] systemd[1]: timeball.service: Failed with result 'exit-code'."] * 3
    assert box.database() == ["by the old one"]
    assert snapshots.names(box.root) == ["1.0.0-aaaaaaaaaaaa", "1.0.0-aaaaaaaaaaaa-aside"]


def test_a_system_with_nothing_to_come_back_to_does_not_restart_for_ever(box):
    box.partition.change(lambda state: mark_bad(state, "A"))
    assert (
        judge(box.root, box.partition, lambda known: Proof(good=False, why=["x"]), box.programs, lambda: 9.0)
        == "left"
    )
    assert box.programs.ran == []


def test_a_good_system_is_left_alone(box):
    def never(known):
        raise AssertionError("it was looked at")

    assert judge(box.root, box.partition, never, box.programs, lambda: 9.0) == "good already"


def test_a_power_cut_while_the_slot_is_written_is_told_and_nothing_else_happened(box):
    box.programs.answers["busctl"] = busctl(box, cut=True)
    with pytest.raises(AgentRefusal):
        do(box, "updates.install", file="/new.raucb")
    found = record.load(box.root)  # a real cut leaves it pending
    found.history.clear()
    found.pending = record.Pending(
        "update", "B", "A", OLD, NEW, "writing", "boot-1", 1.0, snapshot="1.0.0-aaaaaaaaaaaa"
    )
    record.save(box.root, found)
    event = restart(box)
    assert (event.kind, box.state.slots["A"].good) == ("interrupted", True)
    assert record.load(box.root).pending is None
    assert do(box, "updates.status")["slots"][1]["release"] is None


def test_a_restart_before_the_new_system_was_tried_keeps_waiting(box):
    installed(box)
    box.power_up("A", OLD)  # chosen by hand in the boot menu
    assert arrive(box) is None
    assert record.load(box.root).pending is not None


def settled(box):
    done = subprocess.run(
        [ROOT / "packaging/libexec/settled"], env={"TIMEBALL_ROOT": str(box.root), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def test_a_good_system_that_was_found_in_order_is_not_looked_at_again_until_something_is_begun(box):
    assert not settled(box)
    arrive(box)
    assert settled(box)
    installed(box)
    assert not settled(box)
    restart(box)
    assert not settled(box)
    judge(box.root, box.partition, lambda known: Proof(good=True), box.programs, lambda: 9.0)
    assert settled(box)
    do(box, "updates.back")
    assert not settled(box)
    restart(box)
    assert settled(box)
    box.partition.change(lambda state: mark_bad(state, "A"))
    assert not settled(box)


def test_it_looks_into_the_file_of_either_boot_loader(box):
    arrive(box)
    (box.root / "boot/uboot.env").write_bytes(uboot_env.encode(BootState(), {}))
    assert settled(box)
    (box.root / "boot/uboot.env").write_bytes(uboot_env.encode(mark_bad(BootState(), "A"), {}))
    assert not settled(box)
    (box.root / "boot/uboot.env").unlink()
    (box.root / "boot/grub/grubenv").unlink()
    assert not settled(box)
    (box.root / "proc/cmdline").write_text("quiet")
    assert not settled(box)
