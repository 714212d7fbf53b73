"""What the configuration may say, what becomes of it, and the arithmetic of counts."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from appliance.api.contrib import PacketPolicy, PolicyRule
from appliance.core.port_holder import port_holder
from appliance.dataplane.interface import Action, Reason, Remembered
from appliance_ntp.config import NtpConfig
from appliance_ntp.policy import collect, compile_policy, rules_of
from appliance_ntp.tally import Tally


def test_by_default_everybody_is_answered_at_no_cost():
    policy = compile_policy(collect([PacketPolicy(rules_of(NtpConfig()))]))
    assert (policy.rules, policy.default) == ((), "allow")


def test_an_allow_list_closes_the_service_for_others():
    policy = compile_policy(
        collect([PacketPolicy(rules_of(NtpConfig(allow=("10.0.0.0/8",), deny=("10.1.0.0/16",))))])
    )
    assert policy.default == "ignore"
    assert {(str(rule.network), rule.action) for rule in policy.rules} == {
        ("10.0.0.0/8", "allow"), ("10.1.0.0/16", "deny")
    }  # fmt: skip


def test_one_open_family_does_not_open_the_other():
    policy = compile_policy(collect([PacketPolicy(rules_of(NtpConfig(allow=("0.0.0.0/0",))))]))
    assert policy.default == "ignore"
    assert [rule.network for rule in policy.rules] == [ipaddress.ip_network("0.0.0.0/0")]


def test_of_equal_prefixes_the_lower_order_counts():
    later = PacketPolicy((PolicyRule("10.0.0.0/8", "deny"), PolicyRule("10.2.0.0/16", "deny")), order=100)
    first = PacketPolicy((PolicyRule("10.0.0.0/8", "allow"),), order=0)
    rules = {str(rule.network): rule.action for rule in compile_policy(collect([later, first])).rules}
    assert rules == {"10.0.0.0/8": "allow", "10.2.0.0/16": "deny"}


@pytest.mark.parametrize("rule", [PolicyRule("10.0.0.0/8", "block"), PolicyRule("10.0.0.1/8", "allow")])
def test_rules_that_make_no_sense_are_refused(rule):
    with pytest.raises(ValueError, match=r"block|host bits"):
        compile_policy([rule])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"listen": ["ntp.example.org:123"]}, 'expected "ADDRESS:PORT"'),
        ({"listen": ["0.0.0.0"]}, 'expected "ADDRESS:PORT"'),
        ({"listen": ["::1:123"]}, 'expected "ADDRESS:PORT"'),
        ({"listen": ["127.0.0.1:70000"]}, 'expected "ADDRESS:PORT"'),
        ({"listen": ["[::1:0"]}, 'expected "ADDRESS:PORT"'),
        ({"listen": []}, "at least 1 item"),
        ({"listen": ["127.0.0.1:123", "127.0.0.1:123"]}, "stands there twice"),
        ({"allow": ["10.0.0.0/33"]}, "expected a prefix"),
        ({"deny": ["everybody"]}, "expected a prefix"),
        ({"ignore": ["10.1.2.3/8"]}, '"10.0.0.0/8" would be the prefix'),
        ({"allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/8"]}, "leave it in one"),
        ({"alow": []}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused_with_what_would_be_right(table, words):
    with pytest.raises(ValidationError, match=words):
        NtpConfig(**table)


def test_single_addresses_are_prefixes():
    assert NtpConfig(deny=("192.0.2.1", "2001:DB8::1")).deny == ("192.0.2.1/32", "2001:db8::1/128")


def test_any_free_port_may_be_asked_for_twice():
    assert NtpConfig(listen=("127.0.0.1:0", "127.0.0.1:0")).listen == ("127.0.0.1:0", "127.0.0.1:0")


def server(replied: int, late: int = 0):
    outcomes = {(Reason.OK, Action.REPLY): replied, (Reason.LATE, Action.IGNORE): late}
    remembered = Remembered(3, 8, forgotten=1, over_client=2)
    return SimpleNamespace(
        counters=lambda: outcomes,
        traffic=lambda: {(4, 3, 4): replied + late},
        marks=dict,
        remembered=lambda: remembered,
    )


def test_counts_go_on_after_a_restart():
    tally = Tally(server(5, 1))
    tally.retire()
    assert tally.outcomes()[Reason.OK, Action.REPLY] == 5
    tally.server = server(7)
    assert tally.outcomes()[Reason.OK, Action.REPLY] == 12
    assert tally.outcomes()[Reason.LATE, Action.IGNORE] == 1
    assert tally.traffic()[4, 3, 4] == 13
    assert tally.remembered() == Remembered(3, 8, forgotten=2, over_client=4)


def test_rates_and_curve():
    tally = Tally()
    assert tally.rate("replied", 10) == 0
    for second in range(20):
        tally.server = server(10 * second if second < 15 else 140 + 100 * (second - 14), late=second)
        tally.sample(second * 10**9)
    assert tally.rate("replied", 1) == 100
    assert tally.rate("replied", 4) == 100
    assert tally.rate("replied", 60) == pytest.approx(640 / 19)
    assert tally.rate("late", 60) == 1
    assert tally.curve() == [10.0] * 14 + [100.0] * 5


def test_the_holder_of_a_port_is_found_in_proc(tmp_path):
    table = "header\n 1: 0100007F:007B 00000000:0000 07 0:0 0:0 0 0 0 4711 2\n"
    listening = (
        "header\n 1: 0100007F:0035 00000000:0000 0A 0:0 0:0 0 0 0 4712 2\n 2: 0:0035 0:0 01 0 0 0 0 0 9 2\n"
    )
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "udp").write_text(table)
    (tmp_path / "net" / "tcp6").write_text(listening)
    for pid, name, inode in ((12, "chronyd", 4711), (13, "named", 4712), (14, "other", 9)):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")
        (tmp_path / str(pid) / "comm").write_text(name + "\n")
    assert port_holder(123, proc=tmp_path) == "chronyd (process 12)"
    assert port_holder(53, tcp=True, proc=tmp_path) == "named (process 13)"
    assert port_holder(53, proc=tmp_path) == ""
    assert port_holder(124, proc=tmp_path) == ""
