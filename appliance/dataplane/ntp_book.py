"""From the records of the workers to what one is told about clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance.dataplane.interface import Client
from appliance.dataplane.ntp_limit import spacing_s

#: key, first, last, packets, replies, dropped, kisses, full_at, look, silent, answered, unanswered: `ntp_clients.Record`
Row = Sequence[int]


def clients_of(rows: Iterable[Row]) -> list[Client]:
    """Each client once; one that came to several workers has the sum of its packets, and the latest of everything else."""
    by_key: dict[int, Client] = {}
    for row in rows:
        client = _client(row)
        seen = by_key.get(client.key)
        by_key[client.key] = client if seen is None else _together(seen, client)
    return list(by_key.values())


def _client(row: Row) -> Client:
    (
        key,
        first_ns,
        last_ns,
        packets,
        replies,
        dropped,
        kisses,
        full_at_ns,
        look,
        silent,
        answered,
        unanswered,
    ) = row
    return Client(
        key, first_ns, last_ns, packets, replies, dropped, kisses, max(0, full_at_ns - last_ns), look >> 3 & 7, look & 7,
        look >> 6, bool(silent), spacing_s(answered), spacing_s(unanswered),
    )  # fmt: skip


def _together(one: Client, other: Client) -> Client:
    latest = max(one, other, key=lambda client: client.last_mono_ns)
    return latest._replace(
        first_mono_ns=min(one.first_mono_ns, other.first_mono_ns),
        packets=one.packets + other.packets,
        replies=one.replies + other.replies,
        dropped=one.dropped + other.dropped,
        kisses=one.kisses + other.kisses,
    )
