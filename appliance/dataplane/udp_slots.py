"""Packets in and out through memory that is laid out once, so that a packet costs no allocation.

Two ways with one shape: `BatchSlots` takes and sends up to 16 packets with one system call each (recvmmsg, sendmmsg,
through ctypes), `SingleSlot` one at a time with what the socket module has. `slots_for` takes the first that works: a
hardened service may be forbidden to load ctypes.

Both never wait.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from appliance.dataplane.udp_socket import IP_PKTINFO, SO_TIMESTAMPNS_NEW
from appliance.dataplane.udp_stamps import STAMP_ME, sent_stamps

#: size, source address, source port, own address, receive time in ns since 1970. `size` is larger than the slot for a
#: packet that was cut off. Addresses and port are bytes in network order, as they stand in a sockaddr: nothing is converted
#: on its way. The own address is zero and the receive time 0 when the kernel did not say.
Envelope = tuple[int, bytes, bytes, bytes, int]

SLOT_BYTES = 2048
REPLY_BYTES = 48

_NS = 1_000_000_000
_MSG_TRUNC = 0x20  # as input to recvmsg: return the real length of a packet that was cut off
_AGAIN = (errno.EAGAIN, errno.EINTR)


class Slots(Protocol):
    """Room for the packets of one socket.

    Attributes:
        kind: the system call it rests on.
        packets: where received packets lie.
        replies: where replies are written.
    """

    kind: str
    packets: tuple[memoryview, ...]
    replies: tuple[memoryview, ...]

    def receive(self) -> Iterator[Envelope]:
        """Take what has arrived: one envelope for each of `packets` that is filled, in order.

        Raises:
            OSError: the socket has something to say about itself.
        """
        ...

    def address(self, reply: int, packet: int) -> None:
        """Address `replies[reply]` to where `packets[packet]` came from, from the address that it was sent to."""
        ...

    def send(self, count: int) -> list[int]:
        """Send the first `count` replies; returns the indexes of those that the kernel did not take."""
        ...

    def send_alone(self, packet: int, reply: bytes, *, stamp: bool) -> bool:
        """Send `reply` at once to where `packets[packet]` came from; `stamp`: `stamps` will say when it left.

        For the few replies that are longer than `replies`, or of which the kernel is to tell; False if it did not take it.
        """
        ...

    def stamps(self) -> Iterator[tuple[bytes, int]]:
        """What was sent with `stamp` and when it left, ns since 1970; the frame may begin with headers of lower layers."""
        ...


class _Family(NamedTuple):
    """How an address family looks in memory; the port is always bytes 2 and 3 of a sockaddr.

    Attributes:
        address_at, address_bytes: the address within a sockaddr.
        name_bytes: length of a sockaddr.
        level, kind: of the control message that holds the pktinfo.
        own_at: where our own address stands in the pktinfo.
        info_bytes: length of the pktinfo.
    """

    address_at: int
    address_bytes: int
    name_bytes: int
    level: int
    kind: int
    own_at: int
    info_bytes: int


_FAMILIES = {
    # struct sockaddr_in: family, port, address; struct in_pktinfo: interface, address to answer from, address asked
    socket.AF_INET: _Family(4, 4, 16, socket.IPPROTO_IP, IP_PKTINFO, 4, 12),
    # struct sockaddr_in6: family, port, flow, address, scope; struct in6_pktinfo: address, interface
    socket.AF_INET6: _Family(8, 16, 28, socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, 0, 20),
}

# A control message begins with its length, level and type, in the machine's own sizes (16 bytes, 12 on 32-bit ones).
_CONTROL_HEAD = struct.Struct("Nii")
_WORD = struct.calcsize("N")
#: level and type of a control message
_MARK = struct.Struct("=ii")
_TIME = struct.Struct("=qq")
#: The beginning of an envelope, for a sockaddr of either family.
_NAME_ROOM = 32


def _control_space(payload: int) -> int:
    return (_CONTROL_HEAD.size + payload + _WORD - 1) // _WORD * _WORD


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vector_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint))


@functools.cache
def libc() -> ctypes.PyDLL:
    """The C library, called without giving up the interpreter lock: these calls do not wait.

    Giving it up would cost a switch of threads each time, and up to 5 ms until a busy event loop hands it back.
    """
    library = ctypes.PyDLL(None, use_errno=True)
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.recvmmsg.argtypes = [number, pointer, ctypes.c_uint, number, pointer]
    library.sendmmsg.argtypes = [number, pointer, ctypes.c_uint, number]
    return library


class Region:
    """`count` pieces of memory of `stride` bytes each, in a row."""

    def __init__(self, count: int, stride: int) -> None:
        self._memory = (ctypes.c_char * (count * stride))()
        self.base = ctypes.addressof(self._memory)
        self.stride = stride
        self.view = memoryview(self._memory).cast("B")
        self.pieces = tuple(self.view[at : at + stride] for at in range(0, count * stride, stride))

    def at(self, index: int) -> int:
        return self.base + index * self.stride


class _EnvelopeLayout:
    """Where things stand in an envelope: a sockaddr, then receive time and pktinfo, in the order of the kernel."""

    def __init__(self, family: _Family) -> None:
        head = _CONTROL_HEAD.size
        time_at = _NAME_ROOM + head
        info_at = _NAME_ROOM + _control_space(_TIME.size)
        self.own_at = info_at + head + family.own_at
        self.info_at = info_at
        self.info_space = _control_space(family.info_bytes)
        self.stride = (info_at + self.info_space + 7) // 8 * 8
        self.control_bytes = info_at + self.info_space - _NAME_ROOM
        #: port, address, mark and time of the first control message, mark of the second and own address
        self.fields = struct.Struct(
            f"=2x2s{family.address_at - 4}x{family.address_bytes}s"
            f"{time_at - 8 - family.address_at - family.address_bytes}x8sqq"
            f"{info_at + head - 8 - time_at - _TIME.size}x8s{family.own_at}x{family.address_bytes}s"
            f"{self.stride - self.own_at - family.address_bytes}x"
        )
        self.time_mark = _MARK.pack(socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW)
        self.info_mark = _MARK.pack(family.level, family.kind)


class BatchSlots:
    """Up to `count` packets with one recvmmsg, their replies with one sendmmsg.

    Raises:
        OSError, AttributeError, MemoryError: the C library cannot be reached from here.
    """

    kind = "recvmmsg"

    def __init__(self, sock: socket.socket, count: int = 16) -> None:
        family = _FAMILIES[sock.family]
        layout = _EnvelopeLayout(family)
        self._recvmmsg, self._sendmmsg = libc().recvmmsg, libc().sendmmsg
        self._sock, self._family = sock, family
        self._fd = sock.fileno()
        self._count = count
        self._layout = layout

        packets, replies = Region(count, SLOT_BYTES), Region(count, REPLY_BYTES)
        self.packets, self.replies = packets.pieces, replies.pieces
        self._in, self._out = Region(count, layout.stride), Region(count, layout.stride)
        self._in_blank = bytes(self._in.view)
        self._in_heads = Heads(packets, self._in, _NAME_ROOM, _NAME_ROOM, layout.control_bytes)
        self._in_heads_blank = bytes(self._in_heads.view)
        self._out_heads = Heads(replies, self._out, family.name_bytes, layout.info_at, layout.info_space)

        names, owns = slice(0, family.name_bytes), slice(layout.own_at, layout.own_at + family.address_bytes)
        self._in_names = tuple(piece[names] for piece in self._in.pieces)
        self._out_names = tuple(piece[names] for piece in self._out.pieces)
        self._in_owns = tuple(piece[owns] for piece in self._in.pieces)
        self._out_owns = tuple(piece[owns] for piece in self._out.pieces)
        for piece in self._out.pieces:
            # The interface stays 0: the way back is the routing table's business.
            _CONTROL_HEAD.pack_into(
                piece, layout.info_at, _CONTROL_HEAD.size + family.info_bytes, family.level, family.kind
            )

    def receive(self) -> Iterator[Envelope]:
        # The kernel wrote lengths over ours; and what it does not write this time must not look as if it had.
        self._in_heads.view[:] = self._in_heads_blank
        self._in.view[:] = self._in_blank
        got = self._recvmmsg(
            self._fd, self._in_heads.base, self._count, socket.MSG_DONTWAIT | _MSG_TRUNC, None
        )
        if got < 0:
            code = ctypes.get_errno()
            if code in _AGAIN:
                return iter(())
            raise OSError(code, os.strerror(code))
        return self._envelopes(got)

    def _envelopes(self, count: int) -> Iterator[Envelope]:
        layout = self._layout
        time_mark, info_mark = layout.time_mark, layout.info_mark
        lengths = _LENGTH.iter_unpack(self._in_heads.view[: count * _LENGTH.size])
        fields = layout.fields.iter_unpack(self._in.view[: count * layout.stride])
        for (size,), (port, address, first, seconds, ns, second, own) in zip(lengths, fields, strict=True):
            if first == time_mark and second == info_mark:
                yield size, address, port, own, seconds * _NS + ns
            else:
                yield size, address, port, bytes(len(own)), 0

    def address(self, reply: int, packet: int) -> None:
        self._out_names[reply][:] = self._in_names[packet]
        self._out_owns[reply][:] = self._in_owns[packet]

    def send(self, count: int) -> list[int]:
        failed: list[int] = []
        sent = 0
        while sent < count:
            # The call stops at the first message that fails, and says why only if that is the first one of the call.
            done = self._sendmmsg(
                self._fd, self._out_heads.base + sent * _LENGTH.size, count - sent, socket.MSG_DONTWAIT
            )
            if done > 0:
                sent += done
            elif ctypes.get_errno() != errno.EINTR:
                failed.append(sent)
                sent += 1
        return failed

    def send_alone(self, packet: int, reply: bytes, *, stamp: bool) -> bool:
        name, family = self._in_names[packet], self._family
        at, end = family.address_at, family.address_at + family.address_bytes
        to: tuple[Any, ...] = (
            socket.inet_ntop(self._sock.family, bytes(name[at:end])),
            int.from_bytes(name[2:4]),
        )
        if self._sock.family == socket.AF_INET6:
            to += (0, int.from_bytes(name[24:28], sys.byteorder))
        return _send_alone(self._sock, family, bytes(self._in_owns[packet]), to, reply, stamp=stamp)

    def stamps(self) -> Iterator[tuple[bytes, int]]:
        return sent_stamps(self._sock)


class Heads:
    """A row of `struct mmsghdr`, one for each piece of `data` with its envelope."""

    def __init__(
        self, data: Region, envelopes: Region, name_bytes: int, control_at: int, control_bytes: int
    ) -> None:
        count = len(data.pieces)
        self._vectors = (_IoVec * count)()
        self.heads = (_MMsgHdr * count)()
        self._pointed_at = (data, envelopes)
        for i in range(count):
            self._vectors[i] = _IoVec(data.at(i), data.stride)
            vector = ctypes.addressof(self._vectors) + i * ctypes.sizeof(_IoVec)
            envelope = envelopes.at(i)
            self.heads[i].header = _MsgHdr(
                envelope, name_bytes, vector, 1, envelope + control_at, control_bytes, 0
            )
        self.base = ctypes.addressof(self.heads)
        self.view = memoryview(self.heads).cast("B")


#: The length of a received packet, at the end of its `struct mmsghdr`.
_LENGTH = struct.Struct(f"={_MMsgHdr.length.offset}xI{ctypes.sizeof(_MMsgHdr) - _MMsgHdr.length.offset - 4}x")


class SingleSlot:
    """One packet at a time, with the socket module alone."""

    kind = "recvmsg"

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._family = _FAMILIES[sock.family]
        self.packets: tuple[memoryview, ...] = (memoryview(bytearray(SLOT_BYTES)),)
        self.replies: tuple[memoryview, ...] = (memoryview(bytearray(REPLY_BYTES)),)
        self._source: Any = None
        self._own = b""
        self._to: Any = None
        self._from: list[tuple[int, int, bytes]] = []

    def receive(self) -> Iterator[Envelope]:
        family = self._family
        try:
            size, controls, _, source = self._sock.recvmsg_into(
                self.packets, 128, socket.MSG_DONTWAIT | _MSG_TRUNC
            )
        except (BlockingIOError, InterruptedError):
            return iter(())
        self._source, self._own = source, bytes(family.address_bytes)
        rx_ns = 0
        for level, kind, data in controls:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW) and len(data) == _TIME.size:
                seconds, ns = _TIME.unpack(data)
                rx_ns = seconds * _NS + ns
            elif (level, kind) == (family.level, family.kind) and len(data) == family.info_bytes:
                self._own = data[family.own_at : family.own_at + family.address_bytes]
        address = socket.inet_pton(self._sock.family, source[0])
        return iter(((size, address, source[1].to_bytes(2), self._own, rx_ns),))

    def address(self, reply: int, packet: int) -> None:
        family = self._family
        self._to = self._source
        info = bytearray(family.info_bytes)
        info[family.own_at : family.own_at + family.address_bytes] = self._own
        self._from = [(family.level, family.kind, bytes(info))]

    def send(self, count: int) -> list[int]:
        try:
            self._sock.sendmsg(self.replies, self._from, socket.MSG_DONTWAIT, self._to)
        except OSError:
            return list(range(count))
        return []

    def send_alone(self, packet: int, reply: bytes, *, stamp: bool) -> bool:
        return _send_alone(self._sock, self._family, self._own, self._source, reply, stamp=stamp)

    def stamps(self) -> Iterator[tuple[bytes, int]]:
        return sent_stamps(self._sock)


def _send_alone(
    sock: socket.socket, family: _Family, own: bytes, to: tuple[Any, ...], reply: bytes, *, stamp: bool
) -> bool:
    info = bytearray(family.info_bytes)
    info[family.own_at : family.own_at + family.address_bytes] = own
    controls = [(family.level, family.kind, bytes(info)), *([STAMP_ME] if stamp else [])]
    try:
        sock.sendmsg([reply], controls, socket.MSG_DONTWAIT, to)
    except OSError:
        return False
    return True


def slots_for(sock: socket.socket) -> Slots:
    """The fastest slots that work in this process."""
    try:
        return BatchSlots(sock)
    except (OSError, AttributeError, MemoryError):
        return SingleSlot(sock)
