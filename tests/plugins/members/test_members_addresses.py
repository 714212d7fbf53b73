"""Addresses, host names, zones and ids have one form each, whatever way they were written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import Member
from appliance_members.addresses import (
    canonical_address,
    canonical_host,
    canonical_target,
    endpoint,
    member_id,
    split_endpoint,
)
from appliance_members.zones import APEX, canonical_zone, canonical_zones, parent_zone, zone_tree

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ports = st.integers(1, 65535)


def accepted(text: str) -> bool:
    try:
        canonical_address(text)
    except ValueError:
        return False
    return True


good_addresses = addresses.filter(accepted)
labels = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True).filter(
    lambda s: not s.startswith("ns")
)
zone_paths = st.lists(labels, min_size=1, max_size=5).map(".".join)


@given(good_addresses)
def test_the_canonical_form_is_its_own_canonical_form(address: str) -> None:
    once = canonical_address(address)
    assert canonical_address(once) == once
    assert canonical_target(once) == (once, "")


@given(st.ip_addresses(v=6).filter(lambda a: a.ipv4_mapped is None and accepted(str(a))))
def test_every_spelling_of_an_ipv6_address_becomes_the_same(address: ipaddress.IPv6Address) -> None:
    assert (
        canonical_address(address.exploded.upper())
        == canonical_address(f" {address.compressed} ")
        == address.compressed
    )


@given(st.ip_addresses(v=4).filter(lambda a: accepted(str(a))))
def test_an_ipv4_mapped_address_becomes_ipv4(address: ipaddress.IPv4Address) -> None:
    assert canonical_address(f"::ffff:{address}") == str(address)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("0.0.0.0", "no address"),
        ("::", "no address"),
        ("0.1.2.3", "never a destination"),
        ("224.0.1.1", "multicast"),
        ("ff05::101", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "interface"),
        ("::ffff:224.0.0.1", "multicast"),
        ("192.0.2.01", "leading zeros"),
        ("192.0.2.0/24", "not a network"),
        ("192.0.2.256", "not an IPv4 or IPv6 address"),
        ("", "not an IPv4 or IPv6 address"),
    ],
)
def test_what_cannot_be_a_member_is_refused_with_the_reason(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        canonical_address(text)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "::1", "10.1.2.3", "169.254.7.8", "192.0.2.11", "2001:db8::1", "fd00::1", "100.64.0.1"],
)
def test_private_loopback_and_documentation_addresses_are_members_like_any_other(text: str) -> None:
    assert canonical_address(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NTP1.Example.ORG.", "ntp1.example.org"),
        ("localhost", "localhost"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("a-1", "a-1"),
    ],
)
def test_host_names_are_lower_case_ascii_without_the_final_dot(text: str, name: str) -> None:
    assert canonical_host(text) == name
    assert canonical_target(text) == ("", name)


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "-a", "a-", "a_b", "x" * 64, "a.b.1", "0x7f.0x1", "a b", "1" * 20]
)
def test_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        canonical_host(text)


@given(good_addresses, ports)
def test_an_endpoint_can_be_read_back(address: str, port: int) -> None:
    address = canonical_address(address)
    host, read = split_endpoint(endpoint(address, port))
    assert (host, read or 123) == (address, port)


@pytest.mark.parametrize("text", ["192.0.2.1:0", "192.0.2.1:65536", "h:x", "[::1]:", "h:-1", "h:१२"])
def test_a_port_is_a_number_from_1_to_65535(text: str) -> None:
    with pytest.raises(ValueError, match="port"):
        split_endpoint(text)


@given(st.lists(st.tuples(good_addresses, ports), max_size=40, unique=True))
def test_ids_depend_on_address_and_port_alone_and_never_collide(pairs: list[tuple[str, int]]) -> None:
    taken: dict[str, tuple[str, int]] = {}
    for pair in dict.fromkeys((canonical_address(a), p) for a, p in pairs):
        key = member_id(*pair, taken.__contains__)
        assert key.startswith("m-") and len(key) >= 8
        assert key not in taken
        taken[key] = pair
        assert member_id(*pair) == member_id(*pair)


def test_an_id_that_is_taken_grows() -> None:
    short = member_id("192.0.2.1", 123)
    assert member_id("192.0.2.1", 123, {short}.__contains__) != short
    assert member_id("192.0.2.1", 123, {short}.__contains__).startswith(short)


@given(zone_paths)
def test_a_zone_path_has_one_form(path: str) -> None:
    assert canonical_zone(path.upper() + ".") == canonical_zone(path) == path


@pytest.mark.parametrize("text", ["@", "", ".", " @ "])
def test_the_pool_itself_is_a_zone(text: str) -> None:
    assert canonical_zone(text) == APEX


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("0", "reserved"),
        ("3.de", "reserved"),
        ("ns", "reserved"),
        ("ns12.de", "reserved"),
        ("a..b", "empty"),
        ("-a", "hyphens"),
        ("_tcp", "hyphens"),
        ("x" * 64, "63"),
        (".".join(["abcdefghijklmnopqrstuvwxyz"] * 5), "at most 120"),
        (".".join("abcdefghi"), "levels"),
        ("münchen", "xn--mnchen-3ya"),
        ("a b", "hyphens"),
    ],
)
def test_a_zone_that_dns_cannot_have_is_refused_with_the_reason(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        canonical_zone(text)


def test_zones_are_listed_once_and_at_least_one() -> None:
    assert canonical_zones(["DE", "de.", "@", "."]) == ("de", "@")
    with pytest.raises(ValueError, match="at least one"):
        canonical_zones([])


@given(st.lists(st.lists(zone_paths, min_size=1, max_size=3), max_size=10))
def test_the_tree_counts_every_member_and_holds_every_parent_before_its_children(
    zones: list[list[str]],
) -> None:
    members = [
        Member(f"m{i}", f"192.0.2.{i}" if i % 2 else f"2001:db8::{i}", zones=tuple(dict.fromkeys(z)))
        for i, z in enumerate(zones)
    ]
    active = {m.id: i % 3 == 0 for i, m in enumerate(members)}
    tree = zone_tree(members, active)
    assert sum(sum(n.registered.values()) for n in tree) == sum(len(m.zones) for m in members)
    seen: set[str] = set()
    for node in tree:
        assert node.parent is None or node.parent in seen
        assert node.parent == parent_zone(node.zone)
        seen.add(node.zone)
    assert tree[0].zone == APEX
    assert sum(n.netspeed for n in tree) == sum(1000 * len(m.zones) for m in members if active[m.id])
