"""Who asks for the time: from what the data plane remembers to rows for people, sorted, filtered and cut into pages."""

from __future__ import annotations

import csv
import io
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.core.figures import percent
from appliance.dataplane.interface import Client, Network, RateLimit
from appliance.dataplane.ntp_limit import CLOSEST_NS, NETWORK_SHIFT, SMOOTHING

COLUMNS = (
    "client", "packets", "share", "rate_per_s", "mean_per_s", "replies", "dropped", "kisses", "first_seen", "last_seen",
    "version", "mode", "port", "state", "why",
)  # fmt: skip
_PORTS = ("other", "ntp", "privileged")
#: So many packets make the average spacing: `ntp_limit.SMOOTHING`.
_LATELY = 1 << SMOOTHING
#: Faster than this the average spacing does not tell rates apart.
_FASTEST_PER_S = 0.9e9 / CLOSEST_NS


@dataclass(frozen=True, slots=True)
class Moment:
    """Now by both clocks."""

    mono_ns: int
    wall_s: float


#: What can be sorted by; the largest first.
SORTS: Mapping[str, Callable[[Client, Moment], float]] = {
    "packets": lambda client, _: client.packets,
    "rate": lambda client, now: rate_per_s(client, now) or 0.0,
    "dropped": lambda client, _: client.dropped + client.kisses,
    "last_seen": lambda client, _: client.last_mono_ns,
}


@dataclass(frozen=True, slots=True)
class Page:
    """What was asked for.

    Attributes:
        rows: one page.
        matching: clients that pass the filter.
        packets: of all clients that are known.
    """

    rows: Sequence[dict[str, Any]]
    matching: int
    packets: int


def page(
    clients: Sequence[Client], limit: RateLimit | None, now: Moment, *, sort: str = "packets", within: Network | None = None,
    offset: int = 0, count: int = 100,
) -> Page:  # fmt: skip
    """Filter, sort and cut."""
    total = sum(client.packets for client in clients)
    passing = [client for client in clients if within is None or _inside(client.network, within)]
    key = SORTS[sort]
    # Equal ones by address, so that a page begins where the one before it ended.
    passing.sort(key=lambda client: (-key(client, now), client.key))
    shown = [_row(client, total, limit, now) for client in passing[offset : offset + count]]
    return Page(shown, len(passing), total)


def _inside(network: Network, within: Network) -> bool:
    return network.version == within.version and (
        network.subnet_of(within) or within.subnet_of(network)  # type: ignore[arg-type]
    )


def _row(client: Client, total: int, limit: RateLimit | None, now: Moment) -> dict[str, Any]:
    network = client.network
    rate = rate_per_s(client, now)
    state, why = standing(client, limit, now, rate)
    return {
        "client": str(network.network_address if network.prefixlen == network.max_prefixlen else network),
        "family": network.version,
        "packets": client.packets,
        "share": client.packets / total if total else 0.0,
        "rate_per_s": rate,
        "mean_per_s": mean_per_s(client),
        "replies": client.replies,
        "dropped": client.dropped,
        "kisses": client.kisses,
        "first_seen": _wall_s(client.first_mono_ns, now),
        "last_seen": _wall_s(client.last_mono_ns, now),
        "version": client.version,
        "mode": client.mode,
        "port": _PORTS[client.port],
        "state": state,
        "why": why,
    }


def _wall_s(mono_ns: int, now: Moment) -> float:
    return round(now.wall_s - (now.mono_ns - mono_ns) / 1e9, 3)


def mean_per_s(client: Client) -> float | None:
    """Requests a second since the first one; None for a client that asked once."""
    span_s = (client.last_mono_ns - client.first_mono_ns) / 1e9
    return (client.packets - 1) / span_s if span_s > 0 else None


def rate_per_s(client: Client, now: Moment) -> float | None:
    """Requests a second over about the last 16 and the silence since; None for a client that asked once."""
    latest = (
        (client.unanswered_s, client.answered_s)
        if client.silent
        else (client.answered_s, client.unanswered_s)
    )
    spacing_s = next((s for s in latest if s is not None), None)
    if spacing_s is None:
        return None
    rate = 1 / spacing_s
    if rate > _FASTEST_PER_S:
        rate = max(rate, mean_per_s(client) or 0.0)
    idle_s = (now.mono_ns - client.last_mono_ns) / 1e9
    if idle_s <= spacing_s:
        return rate
    lately = min(client.packets - 1, _LATELY)
    return lately / (lately / rate + idle_s - spacing_s)


def standing(client: Client, limit: RateLimit | None, now: Moment, rate: float | None) -> tuple[str, str]:
    """One word ("free", "exempt", "within", "over", "insists") and one sentence."""
    refused = client.dropped + client.kisses
    before = f"; {refused:,} of its requests were refused before" if refused else ""
    if limit is None:
        return "free", f"no limit is set{before}"
    if any(_inside(client.network, network) for network in limit.exempt):
        return "exempt", f"not limited: it is in rate_limit.exempt{before}"
    cost_ns, cap_ns = costs(client.network.version, limit)
    missing_ns = max(0, client.missing_ns - max(0, now.mono_ns - client.last_mono_ns))
    if missing_ns + cost_ns <= cap_ns:
        return "within", f"within its limit{before}"
    asks = f"asks {per_second(rate)}" if rate else "asks too often"
    allowed = f"its limit is {per_second(1e9 / cost_ns)}"
    if client.answered_s and client.unanswered_s and client.unanswered_s * 2 < client.answered_s:
        share = 1 - 2.0**-limit.leak
        return (
            "insists",
            f"{asks} and faster when it gets no reply, so {percent(share)} are answered; {allowed}",
        )
    return "over", f"{asks}, {allowed}: one in {2**limit.leak} is answered"


def costs(family: int, limit: RateLimit) -> tuple[float, float]:
    """What a reply costs a client of this family, and what it can have saved, in ns."""
    cost_ns = 2.0**limit.interval * 1e9
    return cost_ns / (1 if family == 4 else 2**NETWORK_SHIFT), cost_ns * limit.burst


def per_second(rate: float) -> str:
    """A rate in words: "12 times a second", "once in 8 s"."""
    if rate >= 1.5:
        return f"{rate:,.0f} times a second"
    return f"once in {1 / rate:.2g} s" if rate > 0.1 else f"once in {1 / rate:,.0f} s"


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; nothing in them is text of a stranger."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row[name] for name in COLUMNS] for row in rows)
    return out.getvalue()


def parse_prefix(text: str) -> Network | None:
    """A prefix or an address to filter by; None for no text.

    Raises:
        ValueError: it is neither.
    """
    if not text.strip():
        return None
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f'expected a prefix such as "10.0.0.0/8" or "2001:db8::/32", got {text!r}') from None
