"""How often each address was answered, against how often it should have been."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import MutableMapping

from appliance.dataplane.dns_snapshot import ONE, AnswerSnapshot, Rotation


class Tally:
    """A snapshot and how often each of its answers was given; a thread owns one.

    Attributes:
        given: number of replies by mark (see `Rotation.mark`).
    """

    __slots__ = ("given", "snapshot")

    def __init__(self, snapshot: AnswerSnapshot) -> None:
        self.snapshot = snapshot
        self.given: dict[int, int] = {}


def add_shares(shares: MutableMapping[str, tuple[int, float]], tally: Tally) -> None:
    """Add to `shares`, by address, the answers that held it and the number that its probability promises."""
    given = dict(tally.given)
    if not given:
        return
    for rotation in _tables(tally.snapshot):
        low, high = rotation.mark, rotation.mark + 8 * len(rotation.sets)
        replies: Counter[int] = Counter()
        for mark, number in given.items():
            if low <= mark < high:
                replies[(mark - low) // 8] += number
        total = sum(replies.values())
        if not total:
            continue
        for index, records in enumerate(rotation.sets):
            after = rotation.cuts[index + 1] if index + 1 < len(rotation.cuts) else ONE
            expected = total * (after - rotation.cuts[index]) / ONE
            for place in range(rotation.size):
                address = _address(records[place * rotation.stride : (place + 1) * rotation.stride])
                had, should = shares.get(address, (0, 0.0))
                shares[address] = (had + replies[index], should + expected)


def _tables(snapshot: AnswerSnapshot) -> list[Rotation]:
    """One rotation of each table: names that share a table share its marks."""
    tables = {
        rotation.mark: rotation for node in snapshot.names.values() for rotation in node.rotating.values()
    }
    return list(tables.values())


def _address(record: bytes) -> str:
    """The address in an A or AAAA record that begins with a pointer."""
    return str(ipaddress.ip_address(record[12:]))
