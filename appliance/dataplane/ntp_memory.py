"""What one packet thread remembers between packets: an argument of the decision like the packet itself.

A memory belongs to one thread and is written by that thread alone, so that a packet never waits for a lock. Without
anything to remember the decision is the same as if every packet were the first one.
"""

from __future__ import annotations


class Memory:
    """What a worker knows from earlier packets; empty when it is made."""

    __slots__ = ()


#: A client as one number: an IPv4 address behind ff.ff, or the first 64 bits of an IPv6 address. Never 0 for a client.
ClientKey = int

_FOUR = 0x0000_FFFF << 32


def client_key(address: bytes) -> ClientKey:
    """The key of an address of 4 or 16 bytes in network order.

    A household or a machine has an IPv6 /64 for itself and changes the address inside it at will, so the /64 is the
    client. No host has an address in ::/16 but ::1, whose /64 would be 0: it gets 1.
    """
    if len(address) == 4:
        return _FOUR | int.from_bytes(address)
    return int.from_bytes(address[:8]) or 1
