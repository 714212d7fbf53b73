"""The ways back, on a folder that plays a box: by hand, forth again, and what becomes of the data."""

from __future__ import annotations

import sqlite3

import pytest

from appliance.api.agent import AgentRefusal, Ran
from appliance.boot.scheme import (
    TRIES,
    Slot,
    power_up,
)
from appliance_updates import record, snapshots
from appliance_updates.agent_actions import snapshot_name
from appliance_updates.proving import Proof, judge
from tests.plugins.updates.a_box import OLD, rauc_info
from tests.plugins.updates.playing import arrive, do, installed, restart, updated


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
