# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""Describes a packet layer by layer, with scapy where it is installed. The only module that imports it."""

from __future__ import annotations

from collections.abc import Callable

from appliance_inspector.judging.frames import Packet

MOST_CHARACTERS = 2000


def plain(packet: Packet) -> str:
    """Without scapy: the bytes."""
    return packet.content[:96].hex(" ", 4)


def describer() -> tuple[Callable[[Packet], str], str]:
    """What describes packets, and the version of scapy; "" without it."""
    try:
        import scapy
        from scapy.config import conf
        from scapy.layers.dns import DNS
        from scapy.layers.ntp import NTP
    except Exception:  # noqa: BLE001 - whatever is wrong with somebody else's library, we go on without it
        return plain, ""
    conf.color_theme = type(conf.color_theme)()

    def describe(packet: Packet) -> str:
        try:
            layers = (DNS if packet.dns else NTP)(packet.content)
            return str(layers.show(dump=True))[:MOST_CHARACTERS]
        except Exception as error:  # noqa: BLE001 - hostile bytes, and they need not please scapy
            return f"scapy cannot read it ({type(error).__name__}): {plain(packet)}"

    # Once, now: what scapy looks up or imports late it cannot have any more when we are confined.
    blank = Packet(0, b"\x23" + bytes(47), 48, bytes(4), 1, bytes(4), 1, 0, "ok", 1)
    describe(blank)
    describe(blank._replace(content=b"\x16\x02" + bytes(10)))
    describe(blank._replace(content=b"\x17\x00\x03\x2a" + bytes(4)))
    describe(blank._replace(dns=1, content=bytes(5) + b"\x01" + bytes(6) + b"\x01a\x00\x00\x01\x00\x01"))
    return describe, str(scapy.__version__)
