"""The agent's actions and the programs of the start, on a folder that plays a box: updates, failures, power cuts, ways back."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.agent import AgentRefusal, Ran
from appliance.boot import uboot_env
from appliance.boot.scheme import (
    TRIES,
    BootState,
    Slot,
    activate,
    begin_install,
    mark_bad,
    mark_good,
    power_up,
)
from appliance_updates import agent_actions, arriving, proving, record, snapshots, verity
from appliance_updates.agent_actions import ACTIONS, snapshot_name
from appliance_updates.proving import Proof, judge, new_faults, prove
from tests.plugins.updates.a_box import NEW, OLD, Box, rauc_info
from tests.support.tree import ROOT

NAMES = {action.name: action for action in ACTIONS}


@pytest.fixture
def box(tmp_path, monkeypatch):
    made = Box(tmp_path)
    (tmp_path / "new.raucb").write_bytes(b"x" * 100)
    made.programs.answers["rauc"] = lambda *_: Ran(0, rauc_info())
    made.programs.answers["busctl"] = busctl(made)
    monkeypatch.setattr(
        verity, "check", lambda *_: None
    )  # its own tests are beside; this file plays a bundle
    monkeypatch.setattr(agent_actions.rauc, "_POLL_S", 0.001)
    return made


def busctl(box, fails="", cut=False):
    """RAUC's service: marks the other slot bad, writes, makes it the next one, as it does."""
    polls = iter(["installing", "installing"])

    def answer(*words):
        if "InstallBundle" in words:
            box.written = words
            box.partition.change(lambda state: begin_install(state, "B"))
            if not fails and not cut:
                box.partition.change(lambda state: activate(state, "B"))
            return Ran(0, "")
        if words[-1] == "Operation":
            return Ran(1, "gone") if cut else Ran(0, json.dumps({"type": "s", "data": next(polls, "idle")}))
        if words[-1] == "Progress":
            return Ran(0, '{"type":"(isi)","data":[40,"Copying image to rootfs.1",3]}')
        return Ran(0, json.dumps({"type": "s", "data": fails}))

    return answer


def do(box, name, /, **arguments):
    action = NAMES[name]
    return action.run(box.call, action.arguments.model_validate(arguments))


def arrive(box, now=2000.0):
    return arriving.arrive(box.root, box.state, box.programs, now)


def installed(box):
    """The box after an installation, before it restarts."""
    do(box, "updates.install", file="/new.raucb")
    return box


def restart(box, *, works=True):
    """What the boot loader starts, run; the event that it comes to."""
    chosen, after = power_up(box.state)
    box.partition.change(lambda _: after)
    box.power_up(chosen, NEW if chosen == "B" else OLD)
    return arrive(box) if works or chosen == "A" else None


# -- installing --------------------------------------------------------------------------------------------------------


def test_an_update_keeps_a_copy_writes_the_other_slot_and_is_due_at_the_next_start(box):
    told = do(box, "updates.install", file="/new.raucb")
    assert told == {"slot": "B", **NEW.as_dict(), "snapshot": "1.0.0-aaaaaaaaaaaa"}
    assert box.written[-3:] == ("sa{sv}", str(box.root / "new.raucb"), "0")
    assert {"done": 0.4, "doing": "Copying image to rootfs.1"} in box.progress
    assert not (box.root / "run/timeball/update-allowed.json").exists()
    status = do(box, "updates.status")
    assert [(s["name"], s["running"], s["next"], s["good"]) for s in status["slots"]] == [
        ("A", True, False, True), ("B", False, True, False),
    ]  # fmt: skip
    assert (status["pending"]["stage"], status["slots"][1]["release"]) == ("written", NEW.as_dict())
    assert status["snapshots"] == ["1.0.0-aaaaaaaaaaaa"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Ran(1, "signature verification failed: Verify error: self-signed certificate"), "wrong_signature"),
        (Ran(1, "Invalid bundle format: Signature size (9) exceeds bundle size"), "damaged"),
        (Ran(0, rauc_info(update={"version": "1.1.0", "compatible": "timeball-pi-arm64"})), "wrong_board"),
        (Ran(0, rauc_info(OLD)), "same"),
        (Ran(127, "rauc is not there"), "no_rauc"),
        (Ran(0, "nonsense"), "unreadable"),
    ],
)
def test_what_cannot_work_is_refused_before_a_byte_is_written(box, said, code):
    box.programs.answers["rauc"] = lambda *_: said
    before = box.state
    with pytest.raises(AgentRefusal) as refused:
        do(box, "updates.install", file="/new.raucb")
    assert refused.value.code == code
    assert not any(command[0] == "busctl" for command in box.programs.ran)
    assert (box.state, record.load(box.root).pending, snapshots.names(box.root)) == (before, None, [])


def test_a_damaged_byte_is_found_before_a_byte_is_written(box, monkeypatch):
    def broken(*_):
        raise verity.Damaged("its content is not what was signed")

    monkeypatch.setattr(verity, "check", broken)
    told = do(box, "updates.check", file="/new.raucb")
    assert [r["code"] for r in told["refusals"]] == ["damaged"]
    with pytest.raises(AgentRefusal, match="it is damaged"):
        do(box, "updates.install", file="/new.raucb")
    assert record.load(box.root).pending is None


@pytest.mark.parametrize(
    "name", ["new.raucb", "/etc/passwd", "/nowhere.raucb", "stick:sdz9/x.raucb", "stick:../x.raucb"]
)
def test_what_is_no_bundle_on_this_box_is_missing(box, name):
    with pytest.raises(AgentRefusal) as refused:
        do(box, "updates.check", file=name)
    assert refused.value.code == "missing"


def test_when_rauc_gives_up_it_is_written_down_and_what_runs_goes_on(box):
    box.programs.answers["busctl"] = busctl(box, fails="Failed updating slot rootfs.1: no space left")
    with pytest.raises(AgentRefusal, match="no space left"):
        do(box, "updates.install", file="/new.raucb")
    found = record.load(box.root)
    assert (found.pending, found.history[0].kind) == (None, "failed")
    assert power_up(box.state)[0] == "A"


def test_a_check_says_what_changes(box):
    told = do(box, "updates.check", file="/new.raucb")
    assert told["refusals"] == []
    assert told["bundle"]["changes"] == "# Changes\n\n## 1.1.0\n\n- better"
    assert told["bundle"]["packages"][0] == {"name": "chrony", "before": "", "after": "4.6-3"}


def test_on_a_plain_debian_every_action_says_so(box):
    (box.root / "usr/lib/timeball/image.toml").unlink()
    for name in NAMES:
        assert NAMES[name].image_only
    with pytest.raises(AgentRefusal, match="apt brings updates here"):
        do(box, "updates.status")


def test_bundles_on_a_stick_are_found_and_opened_by_a_program_beside_the_agent(box):
    """The agent sees no devices; what it mounts nobody else would see."""
    disk = box.root / "sys/block/sda"
    disk.mkdir(parents=True)
    (disk / "removable").write_text("1\n")
    (box.root / "proc/mounts").write_text("/dev/vda4 / squashfs ro 0 0\n")
    stick = box.root / "run/timeball/sticks/sda"

    def beside(*command):
        assert command[:6] == ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--no-ask-password")
        if command[6] == "mount":
            assert command[7:] == ("-o", "ro,nosuid,nodev,noexec", "/dev/sda", str(stick))
            (stick / "new.raucb").write_bytes(b"x" * 10)
            (stick / ".hidden.raucb").write_bytes(b"")
            (stick / "new.txt").write_bytes(b"")
        else:
            [path.unlink() for path in stick.iterdir()]
        return Ran(0, "")

    box.programs.answers["systemd-run"] = beside
    told = do(box, "updates.find")
    assert told == {
        "found": [{"file": "stick:sda/new.raucb", "name": "new.raucb", "bytes": 10, "where": "stick sda"}],
        "wrong": [],
    }
    assert do(box, "updates.check", file="stick:sda/new.raucb")["refusals"] == []
    assert not stick.exists()
    box.programs.answers["systemd-run"] = lambda *_: Ran(32, "mount: wrong fs type")
    assert do(box, "updates.find")["wrong"] == ["the stick sda cannot be read: mount: wrong fs type"]


# -- starts ------------------------------------------------------------------------------------------------------------


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


# -- the way back ------------------------------------------------------------------------------------------------------


def updated(box):
    installed(box)
    restart(box)
    box.write_database("by the new one")
    judge(box.root, box.partition, lambda known: Proof(good=True), box.programs, lambda: 9.0)
    return box


def test_back_by_hand_finds_what_the_old_release_left_and_forth_again_what_the_new_one_left(box):
    updated(box)
    told = do(box, "updates.back")
    assert (told["slot"], told["version"], told["restores"]) == ("A", "1.0.0", "1.0.0-aaaaaaaaaaaa")
    event = restart(box)
    assert (event.kind, box.database()) == ("went-back", ["by the old one"])
    do(box, "updates.back")
    event = restart(box)
    assert (event.kind, box.database()) == ("went-back", ["by the old one", "by the new one"])


def test_back_to_the_same_release_that_was_written_once_more_keeps_the_data(box):
    box.programs.answers["rauc"] = lambda *_: Ran(0, rauc_info(OLD))
    do(box, "updates.install", file="/new.raucb", again=True)
    chosen, after = power_up(box.state)
    box.partition.change(lambda _: after)
    box.power_up(chosen, OLD)
    arrive(box)
    box.write_database("since then")
    judge(box.root, box.partition, lambda known: Proof(good=True), box.programs, lambda: 9.0)
    told = do(box, "updates.back")
    assert (told["slot"], told["restores"]) == ("A", "")
    restart(box)
    assert box.database() == ["by the old one", "since then"]


def test_what_is_set_aside_is_what_was_there_last_however_often_it_goes_back(box):
    updated(box)
    for what in ("first", "second"):
        do(box, "updates.back")
        box.write_database(what)  # after the copy that `back` keeps, before the restart
        restart(box)
        do(box, "updates.back")
        restart(box)
    aside = sqlite3.connect(box.root / snapshots.PLACE / f"{snapshot_name(OLD)}-aside/state/timeball.db")
    assert ("second",) in aside.execute("SELECT what FROM written").fetchall()
    aside.close()


def test_back_by_hand_can_leave_the_data_as_they_are(box):
    updated(box)
    assert do(box, "updates.back", keep_data=True)["restores"] == ""
    restart(box)
    assert box.database() == ["by the old one", "by the new one"]


def test_back_to_a_system_that_never_proved_itself_must_be_meant(box):
    installed(box)
    [restart(box, works=False) for _ in range(4)]
    with pytest.raises(AgentRefusal, match="is not marked good"):
        do(box, "updates.back")
    assert do(box, "updates.back", unproved=True)["slot"] == "B"
    assert box.state.slots["B"] == Slot(TRIES)


def test_what_waits_for_a_restart_can_be_taken_back(box):
    installed(box)
    assert do(box, "updates.stay") == {"slot": "A", "was": "update"}
    assert restart(box) is None
    assert record.load(box.root).pending is None
    with pytest.raises(AgentRefusal, match="no other system waits"):
        do(box, "updates.stay")


def test_a_mark_that_would_leave_nothing_to_start_is_refused(box):
    with pytest.raises(AgentRefusal, match="nothing would be left to start"):
        do(box, "updates.mark", slot="A", state="bad")
    with pytest.raises(AgentRefusal, match="only the system that runs"):
        do(box, "updates.mark", slot="B", state="good")
    assert do(box, "updates.mark", slot="B", state="bad")["state"] == "bad"


def test_a_restore_that_a_power_cut_tore_is_done_again(box):
    updated(box)
    found = record.load(box.root)
    found.restoring = snapshot_name(OLD)
    record.save(box.root, found)
    (box.root / "data/timeball/timeball.db").write_bytes(b"torn")
    arrive(box)
    assert box.database() == ["by the old one"]
    assert record.load(box.root).restoring == ""


# -- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_has_everything_with_its_rights_and_a_restore_takes_away_what_came_later(box):
    state = box.root / "data/timeball"
    (state / "secrets").mkdir(mode=0o700)
    (state / "secrets/key").write_text("k")
    (state / "secrets/key").chmod(0o600)
    (state / "updates/uploads").mkdir(parents=True)
    (state / "updates/uploads/big.raucb").write_text("not kept")
    (state / "link").symlink_to("secrets/key")
    snapshots.take(box.root, "one")
    (state / "secrets/key").write_text("changed")
    (state / "later").write_text("new")
    (state / "link").unlink()
    snapshots.restore(box.root, "one", "aside")
    assert (state / "secrets/key").read_text() == "k"
    assert (state / "secrets/key").stat().st_mode & 0o777 == 0o600
    assert (state / "link").readlink().name == "key"
    assert not (state / "later").exists()
    assert (state / "updates/uploads/big.raucb").exists()
    assert (box.root / snapshots.PLACE / "aside/state/later").read_text() == "new"


def test_of_snapshots_the_latest_stay_and_those_that_are_needed(box):
    for name in "abcdef":
        snapshots.take(box.root, name)
    snapshots.prune(box.root, {"a"})
    assert "a" in snapshots.names(box.root)
    assert len(snapshots.names(box.root)) == snapshots.KEPT


def test_a_database_that_is_written_to_is_copied_whole(box):
    import sqlite3

    live = sqlite3.connect(box.root / "data/timeball/timeball.db")
    live.execute("INSERT INTO written VALUES ('not committed')")
    try:
        snapshots.take(box.root, "live")
    finally:
        live.rollback()
        live.close()
    copy = sqlite3.connect(box.root / snapshots.PLACE / "live/state/timeball.db")
    assert copy.execute("SELECT what FROM written").fetchall() == [("by the old one",)]
    copy.close()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
@settings(max_examples=50)
def test_a_hostile_record_is_an_empty_one(tmp_path_factory, value):
    root = tmp_path_factory.mktemp("r")
    (root / "data/updates").mkdir(parents=True)
    (root / record.FILE).write_text(json.dumps(value))
    assert record.load(root).pending is None


# -- proving -----------------------------------------------------------------------------------------------------------


def test_it_has_to_be_well_some_times_in_a_row():
    looks = iter([["starting"], [], ["again"], [], [], []])
    waited = []
    assert prove(lambda: next(looks), 100, iter(range(100)).__next__, waited.append).good
    assert len(waited) == 5


def test_it_is_given_up_when_the_time_is_over_with_the_last_complaint():
    assert prove(lambda: ["no NTP"], 3, iter(range(100)).__next__, lambda s: None) == Proof(
        good=False, why=["no NTP"]
    )


def check(name, level="failing"):
    return {"id": name, "level": level, "text": f"about {name}"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ntp.state", True), ("clock.state", True), ("host.database", True), ("box.ports", True), ("ntp.serving", True),
        ("clock.synchronised", False), ("members.members-in-the-answers", False), ("box.disk-space", False), ("monitor.fresh", False),
    ],
)  # fmt: skip
def test_only_new_faults_that_can_be_the_releases_own_count(name, counts):
    assert bool(new_faults([check(name)], [])) is counts
    assert new_faults([check(name)], [name]) == []
    assert new_faults([check(name, "degraded")], []) == []


def test_an_appliance_that_is_not_there_is_a_complaint(tmp_path):
    (complaint,) = proving.Looks(tmp_path).complaints([])
    assert complaint.startswith("the appliance does not answer: no appliance answers at")


def test_a_state_that_was_lost_is_written_anew_when_the_system_is_good(box):
    (box.root / "boot/grub/grubenv").write_bytes(b"\0" * 1024)
    assert (
        judge(box.root, box.partition, lambda known: Proof(good=False), box.programs, lambda: 1.0)
        == "good already"
    )
    assert box.partition.read() == (mark_good(BootState(), "A"), False)


# -- later starts need not look ----------------------------------------------------------------------------------------


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
