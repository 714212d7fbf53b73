"""The registry as a state machine: whatever people do in whatever order, it stays consistent with a simple model."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.api.errors import Conflict, Invalid, NotFound
from appliance_members.registry import Entry, Registry, difference

ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "10.0.0.1"]
DAY = 86400.0
endpoints = st.tuples(st.sampled_from(ADDRESSES), st.sampled_from([123, 11123]))


def entry(address: str, port: int = 123, **fields: object) -> Entry:
    return Entry("", address, port, **{"verified_by": "admin", **fields})  # type: ignore[arg-type]


class RegistryMachine(RuleBasedStateMachine):
    """`model` holds by endpoint what must be true: paused, its end, removal, declared, age."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_800_000_000.0
        self.registry = Registry(limit=6)
        self.kept = Registry(limit=6)
        self.model: dict[tuple[str, int], dict[str, object]] = {}

    def key(self, where: tuple[str, int]) -> str:
        found = self.registry.at(*where)
        return found.id if found else "m-nobody"

    @rule(where=endpoints, verified=st.sampled_from(["", "admin"]))
    def add(self, where, verified):
        new = entry(*where, verified_by=verified, added_at=self.now)
        if where in self.model or len(self.model) >= 6:
            with pytest.raises(Conflict):
                self.registry.add([new])
            return
        self.registry = self.registry.add([new])
        self.model[where] = {"paused": False, "until": None, "leave": None, "remove": None, "declared": False,
                             "verified": bool(verified), "added": self.now}  # fmt: skip

    @rule(where=endpoints)
    def remove(self, where):
        if where not in self.model:
            with pytest.raises(NotFound):
                self.registry.remove(self.key(where))
        elif self.model[where]["declared"]:
            with pytest.raises(Conflict, match="change it there"):
                self.registry.remove(self.key(where))
        else:
            self.registry = self.registry.remove(self.key(where))
            del self.model[where]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), length=st.sampled_from([None, 10.0, DAY]))
    def pause(self, data, length):
        where = data.draw(st.sampled_from(sorted(self.model)))
        until = None if length is None else self.now + length
        self.registry = self.registry.pause(self.key(where), until, self.now)
        self.model[where] |= {"paused": True, "until": until}

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def resume(self, data):
        where = data.draw(st.sampled_from(sorted(self.model)))
        self.registry = self.registry.resume(self.key(where))
        self.model[where] |= {"paused": False, "until": None}

    @precondition(lambda self: self.model)
    @rule(data=st.data(), days=st.sampled_from([1, 20]), grace=st.sampled_from([0.0, 14 * DAY]))
    def schedule(self, data, days, grace):
        where = data.draw(st.sampled_from(sorted(self.model)))
        at = self.now + days * DAY
        if self.model[where]["declared"]:
            with pytest.raises(Conflict):
                self.registry.schedule_removal(self.key(where), at, grace, self.now)
            return
        self.registry = self.registry.schedule_removal(self.key(where), at, grace, self.now)
        self.model[where] |= {"remove": at, "leave": at - grace}

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data):
        where = data.draw(st.sampled_from(sorted(self.model)))
        if self.model[where]["remove"] is None:
            with pytest.raises(Conflict):
                self.registry.cancel_removal(self.key(where))
            return
        self.registry = self.registry.cancel_removal(self.key(where))
        self.model[where] |= {"remove": None, "leave": None}

    @rule(wanted=st.sets(endpoints, max_size=4))
    def declare(self, wanted):
        self.registry = self.registry.declare([entry(*w) for w in sorted(wanted)], self.now)
        for where in [w for w, m in self.model.items() if m["declared"] and w not in wanted]:
            del self.model[where]
        for where in wanted:
            before = self.model.get(where, {"paused": False, "until": None, "added": self.now})
            self.model[where] = {**before, "declared": True, "verified": True, "leave": None, "remove": None}

    @rule(seconds=st.sampled_from([1.0, 10.0, DAY, 7 * DAY]), may_remove=st.booleans())
    def time_passes(self, seconds, may_remove):
        self.now += seconds
        self.registry = self.registry.expire(self.now, may_remove=may_remove)
        for where, m in list(self.model.items()):
            if m["until"] is not None and self.now >= m["until"]:  # type: ignore[operator]
                m |= {"paused": False, "until": None}
            if may_remove and m["remove"] is not None and self.now >= m["remove"]:  # type: ignore[operator]
                del self.model[where]

    @rule()
    def keep(self):
        """Applying the difference to what was kept gives what is now."""
        delta = difference(self.kept, self.registry)
        merged = {k: e for k, e in self.kept.entries.items() if k not in delta.deleted}
        merged |= {e.id: e for e in delta.written}
        assert merged == dict(self.registry.entries)
        self.kept = self.registry
        assert not difference(self.kept, self.registry)

    @invariant()
    def agrees_with_the_model(self):
        entries = {(e.address, e.port): e for e in self.registry.entries.values()}
        assert entries.keys() == self.model.keys()
        assert len(self.registry.entries) == len(entries)
        for where, m in self.model.items():
            e = entries[where]
            member = e.as_member(self.now)
            assert self.registry.find(e.id) is e
            assert (member.state == "paused") == m["paused"]
            if not m["paused"]:
                assert member.state == ("active" if m["verified"] else "unverified")
            assert member.paused_until == m["until"]
            assert member.declared == m["declared"]
            assert member.remove_at == m["remove"]
            assert member.leaving == (m["leave"] is not None and self.now >= m["leave"])  # type: ignore[operator]
            assert e.added_at == m["added"]

    @invariant()
    def the_calendar_names_the_next_change(self):
        due = self.registry.next_due(self.now)
        moments = [m[k] for m in self.model.values() for k in ("until", "remove") if m[k] is not None]
        moments += [
            m["leave"] for m in self.model.values() if m["leave"] is not None and m["leave"] > self.now
        ]
        assert due == (min(moments) if moments else None)


RegistryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestRegistry = RegistryMachine.TestCase


def test_a_removed_member_that_comes_back_is_new() -> None:
    first = Registry().add([entry("192.0.2.1", added_at=1.0)])
    key = next(iter(first.entries))
    again = first.pause(key, None, 2.0).remove(key).add([entry("192.0.2.1", added_at=3.0)])
    assert again.entries[key].added_at == 3.0
    assert not again.entries[key].paused


def test_a_pause_at_run_time_outlasts_a_reload_and_the_file_wins_again_once_the_member_left_it() -> None:
    declared = Registry().declare([entry("192.0.2.1")], 1.0)
    key = next(iter(declared.entries))
    paused = declared.pause(key, None, 2.0)
    assert paused.declare([entry("192.0.2.1", netspeed=5)], 3.0).entries[key].paused
    fresh = paused.declare([], 4.0).declare([entry("192.0.2.1")], 5.0)
    assert not fresh.entries[key].paused


def test_a_pause_in_the_file_can_be_ended_at_run_time() -> None:
    declared = Registry().declare([entry("192.0.2.1", paused=True)], 1.0)
    key = next(iter(declared.entries))
    assert declared.entries[key].as_member(2.0).state == "paused"
    resumed = declared.resume(key).declare([entry("192.0.2.1", paused=True)], 3.0)
    assert resumed.entries[key].as_member(4.0).state == "active"


def test_an_added_member_that_is_declared_later_keeps_its_pause_and_its_age() -> None:
    added = Registry().add([entry("192.0.2.1", added_at=1.0, operator="me")])
    key = next(iter(added.entries))
    adopted = added.pause(key, None, 2.0).declare([entry("192.0.2.1", operator="file")], 3.0).entries[key]
    assert (adopted.declared, adopted.paused, adopted.added_at, adopted.operator) == (True, True, 1.0, "file")


def test_find_takes_id_address_endpoint_and_name_and_says_when_one_is_not_enough() -> None:
    registry = Registry().add(
        [
            entry("192.0.2.1", name="a.example"),
            entry("192.0.2.1", 1123),
            entry("2001:db8::1", 1123, name="b.example"),
        ]
    )
    assert registry.find("192.0.2.1:1123").port == 1123
    assert registry.find("[2001:DB8::1]:1123").name == "b.example"
    assert registry.find("B.example.").address == "2001:db8::1"
    assert registry.find("2001:db8:0::1").port == 1123
    with pytest.raises(NotFound, match="more than one"):
        registry.find("192.0.2.1")
    for nonsense in ("", "m-", "192.0.2.9", "c.example", "x" * 300, "%", "192.0.2.1:99999"):
        with pytest.raises(NotFound):
            registry.find(nonsense)


def test_bad_changes_name_every_field_at_fault() -> None:
    registry = Registry().add([entry("192.0.2.1")])
    key = next(iter(registry.entries))
    with pytest.raises(Invalid) as caught:
        registry.change(key, {"netspeed": -1, "zones": ["0"], "tags": "no list", "address": "192.0.2.2"})
    assert set(caught.value.errors) == {"netspeed", "zones", "tags", "address"}
    for value in (True, 1.5, "10", 10_000_001, None):
        with pytest.raises(Invalid):
            registry.change(key, {"netspeed": value})
    for value in ("a\nb", "a\x1b[31m", "x" * 501, 5):
        with pytest.raises(Invalid):
            registry.change(key, {"note": value})
