"""Real NTP servers as pool members. None of them can touch this machine's clock."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.netns import Namespace
from tests.support.programs import need
from tests.support.wait import wait_until

_ERA_S = 2_208_988_800  # from 1900 to 1970


@dataclass(frozen=True)
class Seen:
    """What a server says to one plain request; times in seconds."""

    leap: int
    stratum: int
    refid: bytes
    offset_s: float
    transmit: int


def look(
    address: str, port: int = 123, *, inside: Namespace | None = None, timeout_s: float = 1.0
) -> Seen | None:
    """Ask once, with nothing of the appliance's own code; None when no answer comes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside.entered() if inside else contextlib.nullcontext():
        asking = socket.socket(family, socket.SOCK_DGRAM)
    with asking:
        asking.settimeout(timeout_s)
        t1 = time.time()  # noqa: TID251 - an independent look needs its own clock
        try:
            asking.sendto(b"\x23" + bytes(39) + os.urandom(8), (address, port))
            reply = asking.recv(1024)
        except OSError:
            return None
        t4 = time.time()  # noqa: TID251
    first, stratum = reply[:2]
    receive, transmit = struct.unpack("!QQ", reply[32:48])
    t2, t3 = (stamp / 2**32 - _ERA_S for stamp in (receive, transmit))
    return Seen(first >> 6, stratum, reply[12:16], ((t2 - t1) + (t3 - t4)) / 2, transmit)


class Daemon:
    """One server as a child process, to be started and stopped as a test likes."""

    def __init__(
        self,
        folder: Path,
        address: str,
        port: int,
        command: Sequence[str],
        *,
        inside: Namespace | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = address
        self.port = port
        self._command = inside.command(command) if inside else list(command)
        self._inside = inside
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder
            )

    def stop(self) -> None:
        """As when the power goes: no farewell."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def look(self) -> Seen | None:
        return look(self.address, self.port, inside=self._inside)

    def wait_synchronised(self) -> Seen:
        """Until it serves time that it believes in."""

        def synchronised() -> Seen | None:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "log").read_text()
            seen = self.look()
            return seen if seen and seen.leap != 3 and 0 < seen.stratum < 16 else None

        return wait_until(synchronised, f"{self.address} to be synchronised", timeout_s=40, interval_s=0.2)

    def wait_answering(self) -> Seen:
        """Until it answers anything at all."""
        return wait_until(self.look, f"{self.address} to answer", timeout_s=20, interval_s=0.2)


def unable_to_set_a_clock() -> list[str]:
    """In front of a command: it runs without the capability, even as root."""
    return [need("setpriv"), "--bounding-set=-sys_time"] if os.geteuid() == 0 else []


def chronyd(folder: Path, address: str, port: int, *lines: str, inside: Namespace | None = None) -> Daemon:
    """A chronyd that serves and steers no clock (-x); without `lines` it never is synchronised."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "chrony.conf"
    bind = f"bindaddress {address}\n"
    config.write_text(
        f"port {port}\n{bind}cmdport 0\npidfile {folder}/pid\nallow\n" + "\n".join(lines) + "\n"
    )
    user = pwd.getpwuid(os.geteuid()).pw_name
    command = [need("chronyd"), "-x", "-U", "-u", user, "-d", "-f", str(config)]
    return Daemon(folder, address, port, [*unable_to_set_a_clock(), *command], inside=inside)


def ntpsec(folder: Path, address: str, inside: Namespace, *lines: str) -> Daemon:
    """NTPsec's ntpd on port 123 of a namespace; in orphan mode it is synchronised after a few seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "ntp.conf"
    # Without a limit of ours it falls silent towards a client that asks more than once a second, as a test does.
    patient = ("restrict default", "limit average 100 burst 1000")
    config.write_text("\n".join(("tos minsane 1 orphan 5 orphanwait 1", *(lines or patient))) + "\n")
    command = [*unable_to_set_a_clock(), need("ntpd"), "-n", "-c", str(config)]
    return Daemon(folder, address, 123, command, inside=inside)


# OpenNTPD serves only once it has set a clock, and takes five minutes for that. It gets a clock of its own to set, and an
# idea of time in which its pauses are twenty times shorter; what it reads, measures and sends stays as it is.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
enum { FASTER = 20 };
int adjtime(const struct timeval *delta, struct timeval *old) { if (old) memset(old, 0, sizeof *old); return 0; }
int adjtimex(struct timex *t) { memset(t, 0, sizeof *t); return 0; }
int settimeofday(const struct timeval *tv, const struct timezone *tz) { return 0; }
int clock_gettime(clockid_t id, struct timespec *ts) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(id, ts);
  if (id == CLOCK_MONOTONIC) {
    unsigned long long ms = (ts->tv_sec * 1000ULL + ts->tv_nsec / 1000000) * FASTER;
    ts->tv_sec = ms / 1000; ts->tv_nsec = ms % 1000 * 1000000;
  }
  return result;
}
int poll(struct pollfd *fds, nfds_t count, int timeout) {
  static int (*real)(struct pollfd *, nfds_t, int);
  if (!real) real = dlsym(RTLD_NEXT, "poll");
  return real(fds, count, timeout > 0 ? timeout / FASTER + 1 : timeout);
}
"""


def openntpd(folder: Path, address: str, source: str, inside: Namespace) -> Daemon:
    """OpenNTPD on port 123 of a namespace, following `source`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shim.c").write_text(_SHIM)
    subprocess.run(
        [need("cc"), "-O1", "-shared", "-fPIC", "-o", "shim.so", "shim.c", "-ldl"], cwd=folder, check=True
    )
    (folder / "ntpd.conf").write_text(f"listen on {address}\nserver {source}\n")
    # Its user, its folders and its socket exist for it alone.
    for name, line in (("passwd", "ntpd:x:64123:64123::/run/ntpd:/bin/false"), ("group", "ntpd:x:64123:")):
        (folder / name).write_text(Path("/etc", name).read_text() + line + "\n")
    private = (
        "mount --bind passwd /etc/passwd && mount --bind group /etc/group && mount -t tmpfs none /run && mkdir /run/ntpd"
        " && mount -t tmpfs none /var/lib && mkdir -p /var/lib/openntpd/db /var/lib/openntpd/run"
        f' && LD_PRELOAD={folder}/shim.so exec "$@"'
    )
    command = [*unable_to_set_a_clock(), need("openntpd"), "-d", "-s", "-f", str(folder / "ntpd.conf")]
    return Daemon(folder, address, 123, ["sh", "-c", private, "sh", *command], inside=inside)


class RateLimiter:
    """A server that answers every request with the kiss code RATE (RFC 5905 section 7.4), as a full public server does."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._thread = threading.Thread(target=self._serve, name="rate limiter", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            request, client = self._socket.recvfrom(1024)
            if not request:
                return
            now = struct.pack("!Q", int((time.time() + _ERA_S) * 2**32))  # noqa: TID251 - a server has a clock
            reply = (
                b"\xe4\x00"
                + request[2:3]
                + b"\xe8"
                + bytes(8)
                + b"RATE"
                + bytes(8)
                + request[40:48]
                + now
                + now
            )
            self._socket.sendto(reply, client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as goodbye:
            goodbye.sendto(b"", (self.address, self.port))
        self._thread.join()
        self._socket.close()
