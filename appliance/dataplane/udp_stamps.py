"""When a packet left, told by the kernel through the error queue of its socket.

A packet asks for its own stamp (SO_TIMESTAMPING as a control message), so all others cost nothing. The socket asks for
times with SO_TIMESTAMPNS alone, which the kernel then uses for the error queue as well: with SO_TIMESTAMPING switched on for
the socket every received packet would carry its time twice.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from appliance.dataplane.udp_socket import SO_TIMESTAMPNS_NEW

#: From Linux' asm-generic/socket.h and linux/net_tstamp.h.
_SO_TIMESTAMPING = 37
_TX_SOFTWARE = 1 << 1
_MSG_ERRQUEUE = 0x2000

#: The control message that asks for a stamp.
STAMP_ME = (socket.SOL_SOCKET, _SO_TIMESTAMPING, struct.pack("=I", _TX_SOFTWARE))

_TIME = struct.Struct("=qq")
#: Headers of Ethernet and IPv6 with room to spare, and the longest reply.
_FRAME_BYTES = 512
#: A time, a pktinfo, an extended error with the address of its origin.
_CONTROL_BYTES = 512


def sent_stamps(sock: socket.socket) -> Iterator[tuple[bytes, int]]:
    """Each packet that came back and when it left, ns since 1970, until the queue is empty.

    What comes back begins with whatever headers the lower layers put in front.
    """
    while True:
        try:
            frame, controls, _, _ = sock.recvmsg(
                _FRAME_BYTES, _CONTROL_BYTES, _MSG_ERRQUEUE | socket.MSG_DONTWAIT
            )
        except OSError:
            return  # empty, or the socket has something to say that the next call says again
        for level, kind, data in controls:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW) and len(data) == _TIME.size:
                seconds, ns = _TIME.unpack(data)
                yield frame, seconds * 1_000_000_000 + ns
