"""Samples for chronyd's SOCK reference clocks: `struct sock_sample` of chrony's refclock_sock.c. Packing is pure; `Feed` sends."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass

#: struct timeval with 64 bits each, offset, pulse, leap, padding, magic; in the byte order of the machine.
SOCK_SAMPLE = struct.Struct("@qqdiiii")
_MAGIC = 0x534F434B


@dataclass(frozen=True, slots=True)
class Sample:
    """One comparison of the system clock with a better one.

    Attributes:
        system_ns: when, by the system clock.
        offset_s: true minus system time; of a pulse, the fraction of the second that the system clock showed.
        pulse: only the fraction of the second is known.
    """

    system_ns: int
    offset_s: float
    pulse: bool = False


def full(system_ns: int, true_ns: int) -> Sample:
    """The system clock showed `system_ns` when it was `true_ns`."""
    return Sample(system_ns, (true_ns - system_ns) / 1e9)


def bare_pulse(system_ns: int) -> Sample:
    """A pulse of some second, that of the system clock if it is right to half of one."""
    return Sample(system_ns, system_ns % 1_000_000_000 / 1e9, pulse=True)


def pack(sample: Sample) -> bytes:
    """As chronyd reads it: the moment in microseconds only, the offset in full."""
    seconds, rest_ns = divmod(sample.system_ns, 1_000_000_000)
    return SOCK_SAMPLE.pack(seconds, rest_ns // 1000, sample.offset_s, int(sample.pulse), 0, 0, _MAGIC)


class Feed:
    """The way to one socket of chronyd, which may come later, go and come again.

    Attributes:
        sent: samples that chronyd took.
        problem: why the last one was not taken; "" when it was.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.sent = 0
        self.problem = "nothing was sent yet"
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )

    def send(self, sample: Sample) -> bool:
        """Whether chronyd took it. Never waits: an old sample is worth less than none."""
        try:
            self._socket.sendto(pack(sample), self.path)
        except FileNotFoundError:
            self.problem = (
                f"chronyd has no socket {self.path}: it needs the line `refclock SOCK {self.path} refid …`"
            )
        except ConnectionRefusedError:
            self.problem = f"nobody listens on {self.path}: does chronyd run?"
        except PermissionError:
            self.problem = f"we may not write to {self.path}: it must belong to the group of this service"
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"
        else:
            self.sent += 1
            self.problem = ""
            return True
        return False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
