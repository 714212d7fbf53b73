"""A new system proves itself: what counts against it, how long it has, and what a lost record means."""

from __future__ import annotations

import pytest

from appliance.boot.scheme import (
    BootState,
    mark_good,
)
from appliance_updates import proving
from appliance_updates.proving import Proof, judge, new_faults, prove


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
