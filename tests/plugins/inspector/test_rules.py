"""Rules: what people may write, what they are told when it makes no sense, and what the shipped ones find."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.errors import Invalid
from appliance_inspector.judging.facts import FIELDS, entropy, facts_of
from appliance_inspector.judging.judge import Judge
from appliance_inspector.judging.windows import Windows
from appliance_inspector.rules import SHIPPED, all_rules, parse_rules, read_rules
from tests.support.attacks import ATTACKER, ATTACKS, START_NS, dns_packet, ntp_packet, sampled
from tests.support.honest import HONEST

GOOD = """
[[rule]]
id = "mine"
title = "Mine"
count = 3
[rule.when]
service = "ntp"
"ntp.mode" = [6, 7]
size = { at_least = 12, at_most = 500 }
"""


def judge(rules=None) -> Judge:
    return Judge([rule.compiled() for rule in rules or read_rules(SHIPPED)], lambda packet: "")


def told(packets, rules=None) -> set[str]:
    asked = judge(rules)
    return {alert["rule"] for packet in packets for alert in asked.look(packet)}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_shipped_rules_tell_of_each_attack_and_of_whom(attack):
    asked = judge()
    alerts = [a for p in ATTACKS[attack](random.Random(1)) for a in asked.look(p) if a["rule"] == attack]
    assert alerts
    if attack != "dns-random-names":  # that one comes from everywhere
        assert alerts[0]["who"] == "198.51.100.0/24"
    assert alerts[0]["since_ns"] == START_NS


@pytest.mark.parametrize("kind", HONEST)
def test_the_shipped_rules_are_silent_about_honest_clients(kind):
    assert told(HONEST[kind](random.Random(7))) == set()


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_found_in_one_ordinary_packet_of_ten(attack):
    """All that is not ordinary is seen: five packets would not be found in one of ten."""
    assert attack in told(sampled(ATTACKS[attack](random.Random(1)), 10))


@pytest.mark.parametrize(("every", "unusual"), [(10, 1), (10, 10), (100, 4)])
@pytest.mark.parametrize("kind", HONEST)
def test_samples_of_honest_clients_raise_no_alarm(kind, every, unusual):
    assert told(sampled(HONEST[kind](random.Random(every)), every, unusual)) == set()


def test_who_goes_on_is_told_of_once_a_minute_and_not_with_each_packet():
    packets = [ntp_packet(b"\x17\x00\x03\x2a" + bytes(4), ATTACKER, START_NS + n * 10**9) for n in range(150)]
    asked = judge()
    alerts = [a for p in packets for a in asked.look(p) if a["rule"] == "ntp-monlist"]
    assert len(alerts) == 3


def test_a_sample_counts_for_the_packets_that_it_stands_for_once_chance_is_out_of_the_question():
    rules = parse_rules(GOOD, "x")
    one = ntp_packet(bytes([0x16]) + bytes(20), ATTACKER, START_NS)
    assert told([one, one], rules) == set()
    assert told([one._replace(every=100)], rules) == set(), "one packet may be the only one"
    assert told([one._replace(every=100)] * 2, rules) == {"mine"}


def test_a_rule_may_ask_for_more_different_values_than_a_window_usually_keeps():
    rules = parse_rules(GOOD.replace("count = 3", 'count = 300\ncount_of = "size"'), "x")
    sizes = [ntp_packet(bytes([0x16]) + bytes(12 + n), ATTACKER, START_NS) for n in range(300)]
    assert told(sizes[:-1], rules) == set()
    assert told(sizes, rules) == {"mine"}


def test_a_count_begins_anew_with_its_window():
    rules = parse_rules(GOOD, "x")
    slow = [ntp_packet(bytes([0x16]) + bytes(20), ATTACKER, START_NS + n * 61 * 10**9) for n in range(20)]
    assert told(slow, rules) == set()


def test_windows_forget_the_quietest_and_stay_within_their_room():
    windows = Windows(60, room=10, values=5)
    for n in range(1000):
        windows.add(f"who {n}", n, 1, str(n))
        windows.add("who goes on", n, 1, str(n))
    assert len(windows) == 10
    going = windows.add("who goes on", 1000, 1, "x")
    assert (going.packets, len(going.different)) == (1001, 5)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('"ntp.mode" = [6, 7]', '"ntp.mod" = 6', 6, 'did you mean "ntp.mode"'),
        ('"ntp.mode" = [6, 7]', '"ntp.mode" = "six"', 6, "expected a number"),
        ("at_least = 12", "atleast = 12", 6, 'did you mean "at_least"'),
        ("count = 3", "count = 0", 5, "greater than or equal to 1"),
        ("count = 3", "cont = 3", 5, "Extra inputs"),
        ('title = "Mine"', "", 2, "Field required"),
        ("count = 3", 'by = "sauce"', 5, 'did you mean "source"'),
        ('service = "ntp"', "service = { at_least = 3 }", 6, "makes no sense"),
        ('id = "mine"', 'id = "Mine!"', 3, "should match"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_would_be_right(old, new, line, says):
    with pytest.raises(Invalid) as caught:
        parse_rules(GOOD.replace(old, new), "my.toml")
    assert str(caught.value).startswith(f"my.toml:{line}: ")
    assert says in str(caught.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(Invalid) as caught:
        parse_rules(GOOD.replace("count = 3", "count = 0") + GOOD.replace('id = "mine"', 'id = "?"'), "f")
    assert str(caught.value).count("\n") == 1


def test_no_toml_and_no_file_are_told(tmp_path):
    with pytest.raises(Invalid, match=r"f: no TOML: .*line 1"):
        parse_rules("=", "f")
    with pytest.raises(Invalid, match="cannot be read"):
        read_rules(tmp_path / "none.toml")


def test_a_rule_of_ones_own_takes_the_place_of_a_shipped_one(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(GOOD.replace('id = "mine"', 'id = "ntp-monlist"'))
    rules = all_rules(own, without=("ntp-control",))
    assert [rule.title for rule in rules if rule.id == "ntp-monlist"] == ["Mine"]
    assert "ntp-control" not in {rule.id for rule in rules}
    assert len(rules) == len(read_rules(SHIPPED)) - 1


@given(st.binary(max_size=300), st.booleans(), st.integers(0, 70000))
def test_facts_of_any_bytes_have_their_declared_types_and_never_raise(content, dns, size):
    make = dns_packet if dns else ntp_packet
    packet = make(content, ATTACKER, START_NS)._replace(size=max(size, len(content)))
    for field, value in facts_of(packet).items():
        assert isinstance(value, FIELDS[field][0]), field
    judge().look(packet)


def test_entropy_is_that_of_the_letters():
    assert entropy("") == entropy("aaaa") == 0
    assert entropy("abcd") == 2
