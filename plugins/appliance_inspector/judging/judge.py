# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""Applies rules to packets: which of them match, when that is enough for an alert, and what it says."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance_inspector.judging.facts import Facts, facts_of
from appliance_inspector.judging.frames import Packet
from appliance_inspector.judging.sure import as_different, as_many
from appliance_inspector.judging.windows import FEW_VALUES, Window, Windows

#: Somebody who goes on is told of again after so long.
AGAIN_NS = 60 * 10**9
#: Packets that a single alert shows.
SHOWN_BYTES = 512
#: Alerts that one batch of packets may make; more are only counted.
MOST_ALERTS = 64
_NONE = object()

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda a, b: bool(a == b),
    "not": lambda a, b: bool(a != b),
    "in": lambda a, b: a in b,
    "at_least": lambda a, b: bool(a >= b),
    "at_most": lambda a, b: bool(a <= b),
    "contains": lambda a, b: b in a,
}


class Judged:
    """One rule with its windows."""

    def __init__(self, rule: Mapping[str, Any]) -> None:
        self.id: str = rule["id"]
        self.when: list[tuple[str, Callable[[Any, Any], bool], Any]] = [
            (field, _TESTS[test], value) for field, test, value in rule["when"]
        ]
        self.by: str = rule["by"]
        self.count: int = rule["count"]
        self.count_of: str = rule["count_of"]
        # as many different values as the rule asks for must have room
        self.windows = Windows(rule["within_s"], values=max(FEW_VALUES, self.count if self.count_of else 0))

    def matches(self, facts: Facts) -> bool:
        """Whether all that the rule asks for is so; what a packet does not say is not so."""
        for field, test, value in self.when:
            found = facts.get(field, _NONE)
            if found is _NONE or not test(found, value):
                return False
        return True


class Judge:
    """All rules. Its memory is bounded by the number of rules.

    Attributes:
        descriptions: how many more samples are described; to be set for each batch, since forged sources make as many
            alerts as there are packets, and describing is what takes time.
    """

    def __init__(self, rules: Sequence[Mapping[str, Any]], describe: Callable[[Packet], str]) -> None:
        self.rules = [Judged(rule) for rule in rules]
        self._describe = describe
        self.descriptions = MOST_ALERTS

    def look(self, packet: Packet) -> list[dict[str, Any]]:
        """The alerts that this packet is one too many for."""
        facts = facts_of(packet)
        return [
            alert
            for rule in self.rules
            if rule.matches(facts) and (alert := self._count(rule, packet, facts))
        ]

    def _count(self, rule: Judged, packet: Packet, facts: Facts) -> dict[str, Any] | None:
        key = key_of(packet, facts, rule.by)
        value = str(facts.get(rule.count_of, "")) if rule.count_of else None
        window = rule.windows.add(key, packet.rx_ns, packet.every, value)
        if 0 <= packet.rx_ns - window.told_ns < AGAIN_NS or not _enough(window, rule):
            return None
        window.told_ns = packet.rx_ns
        return {
            "rule": rule.id,
            "who": network_of(packet.source),
            "address": str(ipaddress.ip_address(packet.source)),
            "key": key[:255],
            "since_ns": window.since_ns,
            "last_ns": packet.rx_ns,
            "count": max(len(window.different), rule.count) if rule.count_of else window.packets,
            "exact": window.samples == window.packets,
            "service": facts["service"],
            "sample": packet.content[:SHOWN_BYTES].hex(),
            "shown": self._described(packet),
        }

    def _described(self, packet: Packet) -> str:
        if not self.descriptions:
            return ""
        self.descriptions -= 1
        # Of a long one no more than the sample holds: 64 kB of the smallest fields keep a dissector busy for half a second.
        return self._describe(packet._replace(content=packet.content[:SHOWN_BYTES]))


def _enough(window: Window, rule: Judged) -> bool:
    """Whether the samples prove as many packets, or different values, as the rule asks for."""
    if rule.count_of and len(window.different) >= rule.count:
        return True
    many = as_many(rule.count, window.samples, window.packets, window.squares)
    return many and (not rule.count_of or as_different(rule.count, window.samples, len(window.different)))


def key_of(packet: Packet, facts: Facts, by: str) -> str:
    """Whom the packet is counted for."""
    if by == "everybody":
        return ""
    if by == "source":
        return packet.source.hex()
    if by == "prefix":
        return network_of(packet.source)
    return str(facts.get(by, ""))


def network_of(source: bytes) -> str:
    """The /24 or /48 that an address is in: enough to act on, and nobody's name."""
    kept = 3 if len(source) == 4 else 6
    address = ipaddress.ip_address(source[:kept] + bytes(len(source) - kept))
    return f"{address}/{8 * kept}"
