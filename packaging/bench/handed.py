"""What a socket of the service manager's costs: processor time of a packet thread for each NTP reply, on one and on its own."""

from __future__ import annotations

import contextlib
import socket
import statistics
from collections.abc import Iterable
from unittest import mock

from _common import Row, main, paired, thread_cpu_s
from sandbox import ASK, PACKETS, STATE, thread

from appliance.dataplane import handed, ntp_decide
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.dataplane.native import NativeNtpServer


def ns_each(burst: int, *, lent: bool) -> float:
    """Processor time of the thread for each reply when requests come in bursts of `burst`."""
    with contextlib.ExitStack() as undo:
        endpoint = Endpoint("127.0.0.1", 0)
        if lent:
            sock = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind(tuple(endpoint))
            endpoint = Endpoint(*sock.getsockname())
            undo.enter_context(mock.patch.object(handed, "descriptors", return_value=[sock.fileno()]))
        server = NativeNtpServer([endpoint], STATE, NtpPolicy(), workers=1)
        undo.callback(server.close)
        client = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(5)
        client.connect(tuple(server.endpoints[0]))
        tid = thread()
        replies, before_s = 0, thread_cpu_s(tid)
        for _ in range(PACKETS // burst):
            for _ in range(burst):
                client.send(ASK)
            for _ in range(burst):
                replies += bool(client.recv(100))
        return (thread_cpu_s(tid) - before_s) / replies * 1e9


def measure() -> Iterable[Row]:
    ntp_decide.LATE_NS = 60 * 10**9  # on a busy machine every request shall be answered all the same
    for burst in (1, 16):
        pairs = paired(lambda b=burst: ns_each(b, lent=True), lambda b=burst: ns_each(b, lent=False))
        yield Row(
            f"NTP thread on a handed-over socket, bursts of {burst}", f"{statistics.median(pairs.ours):,.0f} ns a reply",
            f"its own: {statistics.median(pairs.theirs):,.0f} ns", pairs.ratio, pairs.spread,
        )  # fmt: skip


if __name__ == "__main__":
    main(measure)
