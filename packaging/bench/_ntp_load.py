"""Asks one NTP server on loopback, as fast as it replies or one request at a time, and prints what it saw as JSON.

    _ntp_load.py PORT SECONDS flood|ping

A flood keeps a window of requests on their way, sent and taken 32 at a time, so that this process costs less than any server.
"""

from __future__ import annotations

import ctypes
import json
import select
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from appliance.dataplane.udp_slots import Heads, Region, libc
from appliance.wire.ntp import client_request

BURST = 32
WINDOW = 128  # well below what a default socket buffer holds
LOST_AFTER_S = 0.06  # our server drops what waited 50 ms


def flood(sock: socket.socket, seconds: float) -> dict[str, float]:
    """Replies a second, requests lost, and this process's share of a core."""
    requests, replies, nothing = Region(BURST, 48), Region(BURST, 64), Region(BURST, 8)
    for number, piece in enumerate(requests.pieces):
        piece[:] = client_request(number + 1)
    out, into = Heads(requests, nothing, 0, 0, 0), Heads(replies, nothing, 0, 0, 0)
    for heads in (out, into):
        for head in heads.heads:  # a connected socket needs no addresses
            head.header.name = head.header.control = None
    descriptor = sock.fileno()
    flying = got = lost = 0
    began, cpu_began = time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - began) < seconds:
        while flying + BURST <= WINDOW:
            sent = libc().sendmmsg(descriptor, out.base, BURST, socket.MSG_DONTWAIT)
            if sent <= 0:
                break
            flying += sent
        if not select.select([sock], [], [], LOST_AFTER_S)[0]:
            lost += flying
            flying = 0
            continue
        taken = libc().recvmmsg(descriptor, into.base, BURST, socket.MSG_DONTWAIT, None)
        if taken > 0:
            got += taken
            flying = max(0, flying - taken)
        elif taken < 0 and ctypes.get_errno() == 111:
            raise ConnectionRefusedError
    return {"replies_per_s": got / elapsed, "lost": lost, "load": (time.process_time() - cpu_began) / elapsed}


def ping(sock: socket.socket, seconds: float) -> dict[str, float]:
    """Round trips of single requests with pauses, as few clients make them: median and 99th percentile in µs."""
    sock.settimeout(1)
    trips: list[float] = []
    end = time.perf_counter() + seconds
    request = client_request(1)
    while time.perf_counter() < end:
        began = time.perf_counter()
        sock.send(request)
        try:
            sock.recv(100)
        except TimeoutError:
            continue
        trips.append((time.perf_counter() - began) * 1e6)
        select.select([], [], [], 0.002)
    return {"median_us": statistics.median(trips), "p99_us": statistics.quantiles(trips, n=100)[98]}


if __name__ == "__main__":
    port, seconds, how = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        print(json.dumps((flood if how == "flood" else ping)(sock, seconds)))
