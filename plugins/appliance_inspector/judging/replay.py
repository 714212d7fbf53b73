# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""Judges the packets of a capture file as if they came in now, each at its own time.

In a file nobody says why a service treated a packet as it did. For time requests it follows from the request; for queries from
the answer, where that was captured, too. What answers a request of the same file is no packet that came uninvited.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from appliance_inspector.judging.frames import Packet
from appliance_inspector.judging.judge import Judge
from appliance_inspector.judging.layers import Datagram, datagram
from appliance_inspector.judging.records import CaptureReader, Damaged

NTP, DNS = 123, 53
#: Requests whose answer may still come.
MOST_OPEN = 4096
#: A query that had no answer for so long gets none.
PATIENCE_NS = 5 * 10**9
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_LATEST_NS = 1 << 62


class Replay:
    """A file, piece by piece.

    Attributes:
        judged: packets to one of the services.
        others: packets that were none: answers, other protocols, what could not be read.
        problem: why the rest of the file is not read; "" while all is well.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge, self._reader = judge, CaptureReader()
        self._asked: OrderedDict[tuple[bytes, int, bytes, int], None] = OrderedDict()
        self._open: OrderedDict[tuple[bytes, int, bytes, int], Packet] = OrderedDict()
        self._now_ns = 0
        self.judged = self.others = 0
        self.problem = ""

    def take(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The alerts of the next piece; an empty one is the end of the file."""
        if self.problem:
            return
        try:
            for record in self._reader.feed(piece):
                self._now_ns = min(record.ns, _LATEST_NS)
                found = datagram(record.link, record.frame)
                if found is None or not {found.port, found.own_port} & {NTP, DNS}:
                    self.others += 1
                    continue
                # A forged request may come from the other service's port: where it goes to says what it is.
                dns = found.own_port == DNS or (found.own_port != NTP and found.port == DNS)
                yield from (self._dns if dns else self._ntp)(found)
        except Damaged as error:
            self.problem = str(error)
        if not piece:
            self.problem = self.problem or self._reader.end()
            for packet in self._open.values():
                yield from self._look(packet, "unanswered")
            self._open.clear()

    def _look(self, packet: Packet, reason: str) -> list[dict[str, Any]]:
        self.judged += 1
        return self._judge.look(packet._replace(reason=reason, rx_ns=self._now_ns))

    def _ntp(self, found: Datagram) -> list[dict[str, Any]]:
        answers = (found.own, found.own_port, found.source, found.port) in self._asked
        mode = found.content[0] & 7 if found.content else 0
        if found.own_port != NTP or (answers and mode not in (1, 3)):
            self.others += 1
            return []
        self._asked[found.source, found.port, found.own, found.own_port] = None
        if len(self._asked) > MOST_OPEN:
            self._asked.popitem(last=False)
        return self._look(_packet(0, found), ntp_reason(found.content))

    def _dns(self, found: Datagram) -> Iterator[dict[str, Any]]:
        number = int.from_bytes(found.content[:2])
        response = len(found.content) > 3 and found.content[2] >> 7
        if response and found.port == DNS:
            query = self._open.pop((found.own, found.own_port, found.source, number), None)
            if query is not None:
                yield from self._look(query, _RCODES.get(found.content[3] & 15, "other"))
                return
        if found.own_port != DNS:
            self.others += 1
        elif response:
            yield from self._look(_packet(1, found), "drop")
        else:
            self._open[found.source, found.port, found.own, number] = _packet(1, found, self._now_ns)
        yield from self._give_up()

    def _give_up(self) -> Iterator[dict[str, Any]]:
        while self._open:
            first = next(iter(self._open))
            waited_ns = self._now_ns - self._open[first].rx_ns
            if len(self._open) <= MOST_OPEN and 0 <= waited_ns <= PATIENCE_NS:
                return
            yield from self._look(self._open.pop(first), "unanswered")


def _packet(dns: int, found: Datagram, ns: int = 0) -> Packet:
    return Packet(
        dns, found.content, found.size, found.source, found.port, found.own, found.own_port, ns, "", 1
    )


def ntp_reason(content: bytes) -> str:
    """Why the time service would treat a packet as it does, as far as the packet says it."""
    version, mode = (content[0] >> 3 & 7, content[0] & 7) if content else (0, 0)
    if mode in (6, 7):
        return "control"
    if len(content) < 48:
        return "too_short"
    if not 1 <= version <= 4:
        return "bad_version"
    return "reply" if mode == 4 else "ok" if mode in (1, 3) or (mode == 0 and version == 1) else "bad_mode"
