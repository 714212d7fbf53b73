"""The agent installs an update, on a folder that plays a box: what is written, kept, refused and told."""

from __future__ import annotations

import pytest

from appliance.api.agent import AgentRefusal, Ran
from appliance.boot.scheme import (
    power_up,
)
from appliance_updates import record, snapshots, verity
from tests.plugins.updates.a_box import NEW, OLD, rauc_info
from tests.plugins.updates.playing import NAMES, busctl, do


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
