"""What happened, told once and in sentences."""

from __future__ import annotations

from appliance.api.events import ClockStepped, MembersChanged, PluginChanged, ProbeFinished, VerdictChanged
from appliance.api.model import Level, Member, PluginState, PluginStatus, Verdict
from appliance_web.journal import KEPT, Entry, Journal, PluginTroubles, told

MEMBER = Member("m1", "2001:db8::1", port=11123)
IN = Verdict("m1", 12.0, in_pool=True, reason="in: score 12.0", code="ok")
OUT = Verdict("m1", 3.0, in_pool=False, reason="out: no answer", code="low_score")


def changed(state, why=""):
    return PluginChanged(PluginStatus("dns", "DNS", state, why))


def test_entering_and_leaving_is_told_with_the_reason():
    assert (
        told(VerdictChanged(MEMBER, OUT, IN), 1.0).text == "[2001:db8::1]:11123 entered the pool: score 12.0"
    )
    left = told(VerdictChanged(MEMBER, IN, OUT), 1.0)
    assert (left.text, left.level, left.member) == (
        "[2001:db8::1]:11123 left the pool: no answer",
        Level.FAILING,
        "m1",
    )


def test_what_was_so_before_the_restart_is_no_news():
    assert told(VerdictChanged(MEMBER, None, IN), 1.0) is None
    assert told(VerdictChanged(MEMBER, None, OUT), 1.0) is None


def test_members_and_jumps_of_the_clock_are_told():
    assert told(MembersChanged(MEMBER, "removed"), 1.0).text == "[2001:db8::1]:11123 was removed."
    assert told(ClockStepped(0.5), 1.0).text == "The system clock jumped by +0.500 s."
    assert told(ProbeFinished(None), 1.0) is None


def test_a_plugin_is_told_of_when_it_gets_into_trouble_and_out_of_it():
    troubles = PluginTroubles()
    states = [
        PluginState.STARTING,
        PluginState.RUNNING,
        PluginState.BACKOFF,
        PluginState.STARTING,
        PluginState.BACKOFF,
        PluginState.RUNNING,
        PluginState.FAILED,
    ]
    entries = [
        troubles.told(
            changed(state, "why" if state in (PluginState.BACKOFF, PluginState.FAILED) else ""), 1.0
        )
        for state in states
    ]
    assert [e and e.text for e in entries] == [
        None,
        None,
        "DNS stopped and will try again: why",
        None,
        None,
        "DNS is running again.",
        "DNS failed: why",
    ]


def test_the_journal_is_bounded_and_newest_first():
    journal = Journal()
    for i in range(KEPT + 10):
        journal.add(Entry(float(i), "clock", Level.OK, str(i), f"m{i % 2}"))
    assert [e.text for e in journal.latest(3)] == [str(KEPT + 9), str(KEPT + 8), str(KEPT + 7)]
    assert {e.member for e in journal.latest(5, member="m1")} == {"m1"}


def test_stored_rows_come_behind_what_is_new_and_never_twice():
    journal = Journal()
    journal.add(Entry(5.0, "clock", Level.OK, "new"))
    rows = [
        {"ts": 5.0, "kind": "clock", "level": "ok", "text": "new", "member": ""},
        {"ts": 1.0, "kind": "old", "level": "strange", "text": "x", "member": None},
    ]
    journal.recall(rows)
    assert [(e.text, e.level) for e in journal.latest(9)] == [("new", Level.OK), ("x", Level.DEGRADED)]
