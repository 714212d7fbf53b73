"""The pages with 500 members: how long the server takes for each, and what travels, compressed.

One of the members has a year of history. Beside what a visitor waits stands the processor time of the thread that makes the
page, which other programs do not blur, and that of all threads: those that read the database work while the first one waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from _box import Box, box
from _common import Row, cpu_s, main
from _year import lived

from appliance_members.addresses import member_id

MEMBERS, ROUNDS = 500, 100
ADDRESSES = tuple(f"127.9.{i // 256}.{i % 256}" for i in range(1, MEMBERS + 1))
#: How long the event stream is looked at: a whole round of probes, which come close together.
STREAM_S = 60.0
#: So many pages stay open at once.
TABS = 50
PATHS = (
    "/",
    "/members",
    "/members/{id}",
    "/members/{id}?range=7d",
    "/members/{id}?range=30d",
    "/members/{id}?range=1y",
    "/api/v1/members/{id}/chart",
    "/api/v1/members/{id}/chart?range=7d&points=1100",
    "/api/v1/members/{id}/chart?range=30d&points=1100",
    "/api/v1/members/{id}/chart?range=1y&points=1100",
    "/dns",
    "/log",
    "/time",
    "/clock",
    "/plugins",
    "/status",
    "/api/v1/members",
    "/metrics",
)


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes, bytes]:
    """Status, what travelled, and what it says."""
    connection.request("GET", path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    reply = connection.getresponse()
    body = reply.read()
    return (
        reply.status,
        body,
        gzip.decompress(body) if reply.getheader("Content-Encoding") == "gzip" else body,
    )


def main_thread_ms(pid: int) -> float:
    """Processor time of a process's first thread so far, as the scheduler counts it."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6


def share_of_tabs(port: int, pid: int) -> float:
    """Processor time, as a share of a core, that so many open pages cost beside what is spent without them."""
    spent = []
    for number in (0, TABS):
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as waiting:
            for _ in range(number):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                sock.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert sock.recv(65536).startswith(b"HTTP/1.1 200"), (
                    "a page more than the appliance lets live"
                )
                waiting.register(sock, selectors.EVENT_READ)
            begun, before = time.monotonic(), cpu_s(pid)
            while (left := begun + STREAM_S - time.monotonic()) > 0:
                for key, _ in waiting.select(left):
                    assert key.fileobj.recv(65536), "the stream of a page ended"  # type: ignore[union-attr]
            spent.append((cpu_s(pid) - before) / (time.monotonic() - begun))
    return spent[1] - spent[0]


def stream_rate(port: int) -> tuple[float, int]:
    """Bytes a second that one open page is sent by the event stream, and how many events came meanwhile."""
    with socket.create_connection(("127.0.0.1", port), timeout=STREAM_S) as sock:
        sock.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received, events, begun = 0, 0, time.monotonic()
        while (left := begun + STREAM_S - time.monotonic()) > 0:
            sock.settimeout(left)
            with contextlib.suppress(TimeoutError):
                part = sock.recv(65536)
                received, events = received + len(part), events + part.count(b"event: ")
        return received / STREAM_S, events


def measure() -> Iterable[Row]:
    whole = box(ADDRESSES)
    member = member_id(ADDRESSES[0], whole.members)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(lived(Path(folder, "timeball.db"), member))
        yield from rows(whole, Path(folder), member)


def rows(whole: Box, folder: Path, member: str) -> Iterable[Row]:
    with (
        whole.simulated(),
        whole.running(folder, "[plugins.monitor]\ninterval_s = 60\nsamples = 1\n", "reads_per_minute = 100000\nmax_streams = 100\n") as child,
    ):  # fmt: skip
        connection, web, pid = whole.until_all_are_in(), whole.web, child.pid
        for path in PATHS:
            filled = path.replace("{id}", member)
            times, worked, of_all, size = [], [], [], 0
            for _ in range(ROUNDS):
                begun, before, all_before = time.perf_counter(), main_thread_ms(pid), cpu_s(pid)
                status, body, _ = get(connection, filled)
                times.append((time.perf_counter() - begun) * 1e3)
                worked.append(main_thread_ms(pid) - before)
                of_all.append((cpu_s(pid) - all_before) * 1e3)
                size = len(body)
                assert status == 200, f"{filled}: {status}"
            ordered, work, everything = sorted(times), sorted(worked), sorted(of_all)
            yield Row(
                f"{path}, {MEMBERS} members",
                f"{ordered[int(0.95 * ROUNDS)]:.1f} ms",
                "at most 15 ms (p95)",
                note=f"median {statistics.median(ordered):.1f} ms of {ROUNDS}; processor p95 {work[int(0.95 * ROUNDS)]:.1f} ms, "
                f"median {statistics.median(work):.1f} ms; of all threads p95 {everything[int(0.95 * ROUNDS)]:.1f} ms, "
                f"median {statistics.median(everything):.1f} ms; {size / 1000:.1f} kB",
            )
        connection.close()
        rate, events = stream_rate(web)
        yield Row(
            f"/api/v1/events, {MEMBERS} members",
            f"{rate / 1000:.2f} kB/s",
            "at most 1 kB/s",
            note=f"{events} events in {STREAM_S:.0f} s, probed every 60 s",
        )
        yield Row(
            f"{TABS} open pages, {MEMBERS} members",
            f"{share_of_tabs(web, pid):.2%} of a core",
            "at most 3 %",
            note="beside the same time without them",
        )


if __name__ == "__main__":
    main(measure)
