"""What one packet thread remembers between packets: an argument of the decision like the packet itself.

A memory belongs to one thread and is written by that thread alone, so that a packet never waits for a lock. Without
anything to remember the decision is the same as if every packet were the first one.
"""

from __future__ import annotations

from appliance.dataplane.client_keys import client_key, network_of
from appliance.dataplane.interface import Remembered
from appliance.dataplane.ntp_clients import ClientTable
from appliance.dataplane.ntp_interleaved import Interleaved
from appliance.dataplane.ntp_limit import (
    CLOSEST_NS,
    FURTHEST_NS,
    OCTAVE,
    SMOOTHING,
    Limits,
    insists,
)
from appliance.dataplane.ntp_networks import NetworkBuckets

#: What `Memory.admit` says: answer, no limits apply; answer, they apply; say nothing; tell it to slow down.
FREE, WITHIN, SILENT, KISS = 0, 1, 2, 3


class Memory:
    """What a worker knows from earlier packets; empty when it is made.

    Attributes:
        clients: who asked; None remembers nobody.
        networks: how much whole networks asked.
        over_client: packets silenced because of their own rate.
        over_network: packets silenced because of their network's.
        kissed: packets over a limit that were told so.
        leaked: packets over a limit that were answered by chance.
        interleaved: when replies to clients in interleaved mode left.
        mac: what stands behind the last reply that was authenticated.
    """

    __slots__ = (
        "clients",
        "interleaved",
        "kissed",
        "leaked",
        "mac",
        "networks",
        "over_client",
        "over_network",
    )

    def __init__(self, clients: ClientTable | None = None, networks: NetworkBuckets | None = None) -> None:
        self.clients = clients
        self.networks = networks
        self.over_client = self.over_network = self.kissed = self.leaked = 0
        self.interleaved = Interleaved()
        self.mac = b""

    def remembered(self) -> Remembered:
        """How full it is, and what the limiter did."""
        known, room, forgotten = 0, 0, 0
        if self.clients is not None:
            known, room, forgotten = len(self.clients.where), len(self.clients.places), self.clients.forgotten
        return Remembered(
            known, room, forgotten, self.over_client, self.over_network, self.kissed, self.leaked
        )

    def admit(
        self, first: int, address: bytes, port: bytes, mono_ns: int, noise: int, limits: Limits | None
    ) -> int:
        """Remember a request that policy lets in, and say whether it is within the limits.

        This is the hot path, so what `ntp_limit` has as functions stands here in line.

        Args:
            first: first byte of the request.
            address: its source, 4 or 16 bytes.
            port: its source port, 2 bytes.
            mono_ns: now by the monotonic clock.
            noise: 64 random bits.
            limits: None for no limits.

        Returns:
            FREE, WITHIN, SILENT or KISS.
        """
        if limits is not None and limits.exempts(address):
            limits = None
        clients = self.clients
        if clients is None:
            return self._admit_unknown(address, mono_ns, noise, limits)
        handle = address if len(address) == 4 else address[:8]
        place = clients.where.get(handle)
        if place is None:
            key = client_key(address)
            place = clients.place_for(key, handle)
            network = self.networks.place(network_of(key)) if self.networks else (0, 0)
            first_ns = last_ns = mono_ns
            packets = replies = dropped = kisses = full_at_ns = answered = unanswered = 0
        else:
            (
                key, first_ns, last_ns, packets, replies, dropped, kisses, full_at_ns, _, silent, answered, unanswered, _,
                network,
            ) = clients.places[place]  # type: ignore[misc]  # fmt: skip
            spacing_ns = mono_ns - last_ns
            if spacing_ns < CLOSEST_NS:
                spacing_ns = CLOSEST_NS
            elif spacing_ns > FURTHEST_NS:
                spacing_ns = FURTHEST_NS
            octave = spacing_ns.bit_length() - 1
            spacing = (octave << 6) + (spacing_ns << 6 >> octave) - OCTAVE
            if silent:
                unanswered = unanswered + (spacing - unanswered >> SMOOTHING) if unanswered else spacing
            else:
                answered = answered + (spacing - answered >> SMOOTHING) if answered else spacing
        admission = FREE
        if limits is not None:
            missing_ns = full_at_ns - mono_ns
            if missing_ns < 0 or missing_ns > limits.cap_ns:
                missing_ns = 0
            cost_ns = limits.cost_ns[len(address)]
            allowed = missing_ns + cost_ns <= limits.cap_ns
            full_at_ns = mono_ns + missing_ns + (cost_ns if allowed else 0)
            if not allowed and (noise >> 60 & limits.leak == 0) != insists(answered, unanswered):
                full_at_ns = mono_ns + limits.cap_ns
                self.leaked += 1
                allowed = True
            if allowed:
                admission = self._admit_network(network, mono_ns, noise, limits)
            else:
                admission = self._refuse(noise, limits)
                self.over_client += admission == SILENT
        if admission <= WITHIN:
            replies += 1
        elif admission == SILENT:
            dropped += 1
        else:
            kisses += 1
        kind = 0x40 if port == b"\0\x7b" else 0x80 if port < b"\4\0" else 0
        clients.places[place] = (
            key, first_ns, mono_ns, packets + 1, replies, dropped, kisses, full_at_ns, kind | first & 0x3F, admission > WITHIN,
            answered, unanswered, handle, network,
        )  # fmt: skip
        return admission

    def _admit_unknown(self, address: bytes, mono_ns: int, noise: int, limits: Limits | None) -> int:
        """`admit` when nobody is remembered: the networks' buckets alone."""
        if limits is None:
            return FREE
        networks = self.networks
        place = networks.place(network_of(client_key(address))) if networks else (0, 0)
        return self._admit_network(place, mono_ns, noise, limits)

    def _admit_network(self, place: tuple[int, int], mono_ns: int, noise: int, limits: Limits) -> int:
        """Whether the bucket of its network, or chance, lets a client through."""
        networks = self.networks
        if networks is None or networks.take(place, mono_ns, limits.prefix_cost_ns, limits.prefix_cap_ns):
            return WITHIN
        if noise >> 56 & limits.leak == 0:
            self.leaked += 1
            return WITHIN
        admission = self._refuse(noise, limits)
        self.over_network += admission == SILENT
        return admission

    def _refuse(self, noise: int, limits: Limits) -> int:
        if limits.kod is not None and noise >> 52 & limits.kod == 0:
            self.kissed += 1
            return KISS
        return SILENT
