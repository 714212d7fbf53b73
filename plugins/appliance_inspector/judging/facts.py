# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""What a packet says of itself, as names that rules can ask for. Pure: bytes in, facts out; no byte of it is trusted."""

from __future__ import annotations

import math
import struct
from collections import Counter
from typing import TypeAlias

from appliance_inspector.judging.frames import Packet

Facts: TypeAlias = "dict[str, int | float | str | bool]"

_DNS_HEAD = struct.Struct("!HHHHHH")
#: Types that a rule may want to name.
_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 48: "DNSKEY",
          64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY"}  # fmt: skip
_MOST_LABELS = 127

#: What rules may ask for, and what it is: the manual's table is made of this.
FIELDS: dict[str, tuple[type, str]] = {
    "service": (str, '"ntp" or "dns"'),
    "size": (int, "bytes of the packet"),
    "port": (int, "port it came from"),
    "reason": (str, "why the service treated it as it did"),
    "ntp.version": (int, "version number, 0 to 7"),
    "ntp.mode": (int, "mode, 0 to 7: 3 is a client, 4 a server, 6 control, 7 private"),
    "ntp.stratum": (int, "stratum"),
    "ntp.poll": (int, "poll interval that it claims, log2 s"),
    "ntp.opcode": (int, "mode 6: operation; 2 reads variables"),
    "ntp.implementation": (int, "mode 7: implementation number"),
    "ntp.request": (int, "mode 7: request code; 20 and 42 list monitored clients"),
    "ntp.response": (bool, "mode 6 and 7: the response bit"),
    "ntp.extra": (int, "bytes after the header of 48"),
    "dns.response": (bool, "the QR bit"),
    "dns.opcode": (int, "0 is a query, 4 NOTIFY, 5 UPDATE"),
    "dns.type": (str, 'type asked for, such as "TXT"'),
    "dns.class": (int, "1 is IN, 3 CHAOS"),
    "dns.name": (str, "name asked for, in lower case"),
    "dns.below": (str, "the name without its first label"),
    "dns.label": (str, "its first label"),
    "dns.label_length": (int, "length of its longest label"),
    "dns.name_length": (int, "length of the name"),
    "dns.entropy": (float, "bits for each character of the first label"),
    "dns.questions": (int, "number of questions"),
    "malformed": (str, "what is wrong with its form; empty when nothing is"),
}


def facts_of(packet: Packet) -> Facts:
    """Everything that can be said of it."""
    facts: Facts = {
        "service": "dns" if packet.dns else "ntp",
        "size": packet.size,
        "port": packet.port,
        "reason": packet.reason,
        "malformed": "",
    }
    (_dns if packet.dns else _ntp)(packet.content, packet.size, facts)
    return facts


def _ntp(content: bytes, size: int, facts: Facts) -> None:
    if not content:
        facts["malformed"] = "empty"
        return
    mode = content[0] & 7
    facts["ntp.version"], facts["ntp.mode"] = content[0] >> 3 & 7, mode
    if mode == 6 and len(content) >= 12:  # RFC 9327 section 2
        facts["ntp.response"], facts["ntp.opcode"] = bool(content[1] & 0x80), content[1] & 0x1F
    elif (
        mode == 7 and len(content) >= 4
    ):  # ntp_request.h of the reference implementation: R M VN MODE, auth/seq, impl, code
        facts["ntp.response"] = bool(content[0] & 0x80)
        facts["ntp.implementation"], facts["ntp.request"] = content[2], content[3]
    elif len(content) >= 48:
        facts["ntp.stratum"] = content[1]
        facts["ntp.poll"] = content[2] - 256 if content[2] > 127 else content[2]
        facts["ntp.extra"] = size - 48
    else:
        facts["malformed"] = "shorter than its mode allows"


def _dns(content: bytes, size: int, facts: Facts) -> None:
    if len(content) < _DNS_HEAD.size:
        facts["malformed"] = "shorter than a header"
        return
    _, flags, questions, *_ = _DNS_HEAD.unpack_from(content)
    facts["dns.response"], facts["dns.opcode"] = bool(flags >> 15), flags >> 11 & 15
    facts["dns.questions"] = questions
    if not questions:
        return
    labels, at = _labels(content)
    if at < 0 or at + 4 > len(content):
        facts["malformed"] = "the question is cut off, or points elsewhere"
        return
    qtype, qclass = struct.unpack_from("!HH", content, at)
    facts["dns.type"], facts["dns.class"] = _TYPES.get(qtype, f"TYPE{qtype}"), qclass
    text = [label.lower().decode("ascii", "backslashreplace") for label in labels]
    first = text[0] if text else ""
    facts["dns.name"], facts["dns.below"], facts["dns.label"] = ".".join(text), ".".join(text[1:]), first
    facts["dns.label_length"] = max(map(len, labels), default=0)
    facts["dns.name_length"] = sum(len(label) + 1 for label in labels)
    facts["dns.entropy"] = entropy(first)


def _labels(content: bytes) -> tuple[list[bytes], int]:
    """Labels of the first question and where they end; -1 when they do not. A question has no pointers (RFC 1035 4.1.4)."""
    labels: list[bytes] = []
    at = _DNS_HEAD.size
    while at < len(content) and len(labels) <= _MOST_LABELS:
        length = content[at]
        at += 1
        if length == 0:
            return labels, at
        if length > 63 or at + length > len(content):
            break
        labels.append(content[at : at + length])
        at += length
    return labels, -1


def entropy(text: str) -> float:
    """Bits for each character, by how often each occurs in `text`."""
    if not text:
        return 0.0
    counts = Counter(text)
    return round(-sum(n / len(text) * math.log2(n / len(text)) for n in counts.values()), 2) + 0.0
