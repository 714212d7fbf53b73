"""Symmetric keys of the NTP service: which requests they authenticate, and the MAC of a reply.

A request whose MAC is right gets a reply with a MAC of the same key and the same length, so that it is never longer than
its request. Every other request with a MAC gets silence: an unauthenticated reply, or a crypto-NAK, would tell the client
nothing that it may believe and would serve whoever forges sources.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from appliance.wire.ntp_mac import KEY_ID_BYTES, MacType, digester, same


class NtpKey(NamedTuple):
    """A key that clients and we share.

    Attributes:
        id: 1 to 2**32 - 1.
        kind: the algorithm.
        secret: the key itself; `repr` does not show it.
        networks: whoever else uses the key is not believed; nobody is refused when it is empty.
    """

    id: int
    kind: MacType
    secret: bytes
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    def __repr__(self) -> str:
        """Without the secret: keys must not end up in a log."""
        return f"NtpKey({self.id}, {self.kind.label})"


class Fault(IntEnum):
    """Why a MAC is not accepted. The numbers are fixed: the native plane shares them."""

    UNKNOWN_KEY = 1
    WRONG_SOURCE = 2  # the key is not for this address
    WRONG_MAC = 3


class Prepared:
    """A key with its schedule made, so that a packet costs little.

    Attributes:
        delay_ns: how long checking a request and signing its reply take here: that much later than the clock was read
            does the reply leave.
    """

    __slots__ = ("_digest", "_networks", "_sizes", "delay_ns")

    def __init__(self, key: NtpKey, delay_ns: int | None = None) -> None:
        self._digest = digester(key.kind, key.secret)
        self._sizes = tuple(key.kind.digest_on_wire(version) for version in range(8))
        self._networks = tuple(
            (len(n.network_address.packed), int(n.network_address) >> shift, shift)
            for n in key.networks
            for shift in (n.max_prefixlen - n.prefixlen,)
        )
        self.delay_ns = self._measured_ns() if delay_ns is None else delay_ns

    def serves(self, address: bytes) -> bool:
        """Whether the key is for a client with this address."""
        length, number = len(address), int.from_bytes(address)
        return not self._networks or any(
            length == wanted and number >> shift == network for wanted, network, shift in self._networks
        )

    def matches(
        self, signed: bytes | bytearray | memoryview, digest: bytes | memoryview, version: int
    ) -> bool:
        """Whether `digest` is that of the message `signed` in a packet of this version."""
        size = self._sizes[version]
        return len(digest) == size and same(self._digest(signed)[:size], digest)

    def digest(self, signed: bytes | bytearray | memoryview, version: int) -> bytes:
        """The digest to stand behind a packet of this version."""
        return self._digest(signed)[: self._sizes[version]]

    def _measured_ns(self) -> int:
        message, best = bytes(48), 1_000_000
        for _ in range(32):
            began = time.perf_counter_ns()
            self.matches(message, self.digest(message, 4), 4)
            best = min(best, time.perf_counter_ns() - began)
        return best


class KeyRing:
    """The keys of a service, ready for use.

    Args:
        keys: of equal ids the last one counts.
        delay_ns: see `Prepared`; measured unless given.

    Raises:
        ValueError: a key has not the length that its algorithm needs.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[NtpKey] = (), delay_ns: int | None = None) -> None:
        self._keys = {key.id.to_bytes(KEY_ID_BYTES): Prepared(key, delay_ns) for key in keys}

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    def check(
        self, packet: bytes | bytearray | memoryview, mac_at: int, size: int, version: int, address: bytes
    ) -> Prepared | Fault:
        """The key that authenticates the first `size` bytes, whose MAC begins at `mac_at`; or why none does."""
        view = memoryview(packet)
        key = self._keys.get(bytes(view[mac_at : mac_at + KEY_ID_BYTES]))
        if key is None:
            return Fault.UNKNOWN_KEY
        if not key.serves(address):
            return Fault.WRONG_SOURCE
        if not key.matches(view[:mac_at], view[mac_at + KEY_ID_BYTES : size], version):
            return Fault.WRONG_MAC
        return key


NO_KEYS = KeyRing()
