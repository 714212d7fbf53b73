"""From lists of prefixes to the policy of the data plane."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from appliance.api.contrib import PacketPolicy, PolicyRule
from appliance.dataplane.interface import NtpPolicy, PrefixRule, RateLimit
from appliance_ntp.config import NtpConfig


def rules_of(config: NtpConfig) -> tuple[PolicyRule, ...]:
    """The rules that the configuration asks for."""
    return (
        *(PolicyRule(prefix, "allow") for prefix in config.allow),
        *(PolicyRule(prefix, "ignore") for prefix in config.ignore),
        *(PolicyRule(prefix, "deny") for prefix in config.deny),
    )


def collect(policies: Iterable[PacketPolicy]) -> tuple[PolicyRule, ...]:
    """What all contributions ask for now, those of the lowest `order` first."""
    return tuple(
        rule
        for policy in sorted(policies, key=lambda policy: policy.order)
        for rule in (policy.current() if policy.current else policy.rules)
    )


def limit_of(config: NtpConfig) -> RateLimit | None:
    """How much each client is answered, as the configuration asks for it; None without end."""
    asked = config.rate_limit
    if not asked.enabled:
        return None
    exempt = tuple(ipaddress.ip_network(prefix) for prefix in asked.exempt)
    return RateLimit(
        asked.interval, asked.burst, asked.leak, asked.kod, exempt, asked.prefix_interval, asked.prefix_burst
    )


def compile_policy(collected: Iterable[PolicyRule], limit: RateLimit | None = None) -> NtpPolicy:
    """One policy of all rules: the longest prefix wins, and of equal ones the first.

    Whoever matches no rule is ignored.

    Raises:
        ValueError: a rule's prefix or action is none.
    """
    rules: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = {}
    for rule in collected:
        if rule.action not in ("allow", "ignore", "deny"):
            raise ValueError(f'the action of a rule is "allow", "ignore" or "deny", not {rule.action!r}')
        rules.setdefault(ipaddress.ip_network(rule.prefix), rule.action)
    everybody = [ipaddress.ip_network(prefix) for prefix in ("0.0.0.0/0", "::/0")]
    default = "ignore"
    if len({rules.get(network) for network in everybody}) == 1:
        # The same for both families is a default: then an empty table costs the packets nothing.
        default = rules.get(everybody[0]) or default
        rules = {network: action for network, action in rules.items() if network not in everybody}
    return NtpPolicy(tuple(PrefixRule(network, action) for network, action in rules.items()), default, limit)
