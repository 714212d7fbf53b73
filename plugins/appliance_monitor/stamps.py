"""Kernel timestamps of one UDP socket: when a packet left and when one came (SO_TIMESTAMPING, Linux)."""

from __future__ import annotations

import contextlib
import socket
import struct

#: Linux numbers that the socket module has no names for. The _NEW form has 64-bit seconds on every machine.
SO_TIMESTAMPING_NEW = 65
_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE, _OPT_TSONLY = 1 << 1, 1 << 3, 1 << 4, 1 << 11
_MSG_ERRQUEUE = 0x2000
#: struct scm_timestamping64: software, deprecated, hardware; seconds and nanoseconds each.
_STAMPS = struct.Struct("=6q")
_ROOM = 512


def ask_for_stamps(sock: socket.socket) -> bool:
    """Ask the kernel for software times of both directions; False when it cannot."""
    try:
        sock.setsockopt(
            socket.SOL_SOCKET, SO_TIMESTAMPING_NEW, _TX_SOFTWARE | _RX_SOFTWARE | _SOFTWARE | _OPT_TSONLY
        )
    except OSError:
        return False
    return True


def sent_ns(sock: socket.socket) -> int | None:
    """When the last packet left, from the error queue; None when the kernel has not said (yet)."""
    found = None
    with contextlib.suppress(OSError):
        while True:
            _, ancillary, _, _ = sock.recvmsg(0, _ROOM, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            found = _read(ancillary) or found
    return found


def receive(sock: socket.socket, size: int = 2048) -> tuple[bytes, int | None]:
    """One packet and when it came.

    Raises:
        OSError: none is there (BlockingIOError), or the network said no (ConnectionRefusedError, ...).
    """
    packet, ancillary, _, _ = sock.recvmsg(size, _ROOM, socket.MSG_DONTWAIT)
    return packet, _read(ancillary)


def _read(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING_NEW and len(data) >= _STAMPS.size:
            seconds, ns = _STAMPS.unpack_from(data)[:2]
            return seconds * 1_000_000_000 + ns if seconds else None
    return None
