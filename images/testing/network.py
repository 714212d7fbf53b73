"""A network of this process's own, with nothing but a loopback: what machines under test send cannot leave it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

#: sched.h, linux/if.h, linux/sockios.h
_CLONE_NEWNET, _IFF_UP, _SIOCSIFFLAGS = 0x40000000, 0x1, 0x8914


#: The network that was left.
_left: list[int] = []


def outside() -> tuple[str, ...]:
    """What to put in front of a command that needs the machine's network all the same: a build that fetches packages."""
    return ("nsenter", f"--net=/proc/{os.getpid()}/fd/{_left[0]}", "--") if _left else ()


def closed() -> None:
    """Leave the machine's network for good, with all processes that are started from now on.

    Raises:
        PermissionError: only root can do that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _left.append(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
    if libc.unshare(_CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        raise PermissionError(
            f"images are tested in a network of their own, which needs root ({why}): use sudo"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
