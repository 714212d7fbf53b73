"""Writes packets as a classic capture file, which Wireshark, tshark and tcpdump read.

A UDP service sees no IP header: one is written in front of each packet from what is known of it (link type RAW, 101).
Format: draft-ietf-opsawg-pcap, with times in nanoseconds.
"""

from __future__ import annotations

import ipaddress
import struct

from appliance.api.packets import TappedPacket

_LINKTYPE_RAW = 101
_SNAPLEN = 65535
_UDP = 17
_RECORD = struct.Struct("<IIII")
FILE_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW)


def record(packet: TappedPacket) -> bytes:
    """One packet with its headers; what was cut off is told by the lengths."""
    source, own = ipaddress.ip_address(packet.source), ipaddress.ip_address(packet.own)
    size = min(packet.size, 65535 - 48)
    content = packet.content[:size]
    udp = struct.pack("!HHHH", packet.port, packet.own_port, 8 + size, 0)
    if source.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + size, 0, 0, 64, _UDP, 0) + source.packed + own.packed
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    else:
        head = struct.pack("!IHBB", 6 << 28, 8 + size, _UDP, 64) + source.packed + own.packed
        if len(content) == size:  # over IPv6 it is mandatory (RFC 8200 section 8.1)
            pseudo = source.packed + own.packed + struct.pack("!II", 8 + size, _UDP)
            udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp + content) or 0xFFFF)
    frame = head + udp + content
    seconds, ns = divmod(packet.rx_ns, 1_000_000_000)
    return _RECORD.pack(seconds & 0xFFFFFFFF, ns, len(frame), len(frame) - len(content) + size) + frame


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
