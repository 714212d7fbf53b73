"""DNS on the wire: names, types and resource records into bytes and back (RFC 1035, RFC 3597).

Names are compared in lower case (RFC 4343); `lowered` relies on no length byte looking like an ASCII letter, which holds
because labels have at most 63 octets.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

from appliance.wire.errors import WireError

HEADER_BYTES = 12
MAX_NAME_BYTES = 255
MAX_LABEL_BYTES = 63
ROOT = b"\0"

#: Pointer to the name right after the header: the owner of everything that answers the question (RFC 1035 4.1.4).
QUESTION_POINTER = b"\xc0\x0c"

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV = 1, 2, 5, 6, 12, 13, 15, 16, 28, 33
DNAME, OPT, DS, TKEY, TSIG, IXFR, AXFR, MAILB, MAILA, ANY, CAA = (
    39,
    41,
    43,
    249,
    250,
    251,
    252,
    253,
    254,
    255,
    257,
)
CLASS_IN, CLASS_CH, CLASS_ANY = 1, 3, 255

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, NOTAUTH, BADVERS = 0, 1, 2, 3, 4, 5, 9, 16
BADCOOKIE = 23
OPCODE_QUERY, OPCODE_NOTIFY = 0, 4

TYPE_NAMES = {
    A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", PTR: "PTR", HINFO: "HINFO", MX: "MX", TXT: "TXT", AAAA: "AAAA",
    SRV: "SRV", 35: "NAPTR", DNAME: "DNAME", OPT: "OPT", DS: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY",
    50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 59: "CDS", 60: "CDNSKEY", 64: "SVCB", 65: "HTTPS", 99: "SPF",
    TKEY: "TKEY", TSIG: "TSIG", IXFR: "IXFR", AXFR: "AXFR", MAILB: "MAILB", MAILA: "MAILA", ANY: "ANY", 256: "URI",
    CAA: "CAA",
}  # fmt: skip
TYPE_NUMBERS = {name: number for number, name in TYPE_NAMES.items()}

RCODE_NAMES = {
    NOERROR: "NOERROR", FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", NOTIMP: "NOTIMP",
    REFUSED: "REFUSED", NOTAUTH: "NOTAUTH", BADVERS: "BADVERS",
    BADCOOKIE: "BADCOOKIE",
}  # fmt: skip

_RECORD = struct.Struct("!HHIH")


def type_number(text: str) -> int:
    """Number of a type's name, such as "AAAA" or "TYPE666" (RFC 3597 section 5).

    Raises:
        WireError: no such type.
    """
    upper = text.upper()
    if upper in TYPE_NUMBERS:
        return TYPE_NUMBERS[upper]
    digits = upper.removeprefix("TYPE")
    if upper.startswith("TYPE") and digits.isascii() and digits.isdigit() and int(digits) <= 65535:
        return int(digits)
    raise WireError(f"{text!r} is not a DNS record type; try A, AAAA, NS, SOA, TXT or TYPE<number>")


def type_name(number: int) -> str:
    """Name of a type, "TYPE666" when it has none here."""
    return TYPE_NAMES.get(number, f"TYPE{number}")


def lowered(name: bytes) -> bytes:
    """A wire name in lower case, for comparing."""
    return name.lower()


def _ascii_form(text: str) -> str:
    """A colon and what a name with letters beyond ASCII is in ASCII (IDNA); nothing where it has no such form."""
    try:
        return f": {text.encode('idna').decode('ascii')}"
    except UnicodeError:
        return ""


def encode_name(text: str) -> bytes:
    r"""Wire form of a name in presentation form, case kept; "@" is nothing special here, "." is the root.

    A final dot changes nothing: every name is taken as complete. `\.` and `\DDD` are understood (RFC 1035 5.1).

    Raises:
        WireError: an empty or long label, a long name, characters beyond ASCII.
    """
    if text in (".", ""):
        return ROOT
    wire = b"".join(bytes((len(label),)) + label for label in _labels(text)) + ROOT
    if len(wire) > MAX_NAME_BYTES:
        raise WireError(
            f"the name {text[:40]!r}... has {len(wire)} octets, at most {MAX_NAME_BYTES} are allowed"
        )
    return wire


def _labels(text: str) -> Iterator[bytes]:
    try:
        octets = text.removesuffix(".").encode("ascii") if not text.endswith("\\.") else text.encode("ascii")
    except UnicodeEncodeError:
        raise WireError(f"{text!r} is not ASCII; write it in its xn-- form{_ascii_form(text)}") from None
    label = bytearray()
    at = 0
    while at <= len(octets):
        if at == len(octets) or octets[at] == 0x2E:
            if not 0 < len(label) <= MAX_LABEL_BYTES:
                raise WireError(
                    f"{text!r} has a label of {len(label)} octets; 1 to {MAX_LABEL_BYTES} are allowed"
                )
            yield bytes(label)
            label.clear()
            at += 1
        elif octets[at] == 0x5C:
            digits = octets[at + 1 : at + 4]
            if len(digits) == 3 and digits.isdigit():
                if int(digits) > 255:
                    raise WireError(f"{text!r} has an escape past \\255")
                label.append(int(digits))
                at += 4
            elif at + 1 < len(octets):
                label.append(octets[at + 1])
                at += 2
            else:
                raise WireError(f"{text!r} ends in the middle of an escape")
        else:
            label.append(octets[at])
            at += 1


def name_text(wire: bytes) -> str:
    """Presentation form of an uncompressed wire name, without the final dot ("." for the root), escapes where needed."""
    labels = []
    at = 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        labels.append("".join(_printable(octet) for octet in label))
        at += 1 + wire[at]
    return ".".join(labels) or "."


def _printable(octet: int) -> str:
    if octet in b'."\\;@()$':
        return "\\" + chr(octet)
    return chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"


def parents(name: bytes) -> Iterator[bytes]:
    """The names above a wire name, nearest first, the root last."""
    while name != ROOT:
        name = name[1 + name[0] :]
        yield name


def is_below(name: bytes, zone: bytes) -> bool:
    """Whether a lower-case wire name is `zone` or below it, on a label boundary."""
    return name == zone or zone in parents(name)


def record(
    rrtype: int, ttl_s: int, rdata: bytes, *, rrclass: int = CLASS_IN, owner: bytes = QUESTION_POINTER
) -> bytes:
    """One resource record; its owner is the question's name unless told otherwise."""
    return owner + _RECORD.pack(rrtype, rrclass, ttl_s, len(rdata)) + rdata


def address_type(address: str) -> int:
    """A or AAAA, whichever an address belongs into."""
    return AAAA if ":" in address else A


def address_rdata(address: str) -> bytes:
    """RDATA of an A or AAAA record for an address in canonical text."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def character_string(octets: bytes) -> bytes:
    """One length-prefixed string (RFC 1035 section 3.3).

    Raises:
        WireError: longer than 255 octets.
    """
    if len(octets) > 255:
        raise WireError(f"a character-string has at most 255 octets, not {len(octets)}")
    return bytes((len(octets),)) + octets


def txt_rdata(text: str) -> bytes:
    """RDATA of a TXT record: UTF-8 in strings of 255 octets."""
    octets = text.encode()
    parts: Iterable[bytes] = (octets[i : i + 255] for i in range(0, max(1, len(octets)), 255))
    return b"".join(character_string(part) for part in parts)


def txt_text(text: str) -> str:
    """Presentation form of the TXT record that `txt_rdata` makes."""
    octets = text.encode()
    parts = (octets[i : i + 255] for i in range(0, max(1, len(octets)), 255))
    return " ".join('"' + "".join(_quoted(octet) for octet in part) + '"' for part in parts)


def _quoted(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet <= 0x7E else f"\\{octet:03d}"


def mx_rdata(preference: int, exchange: bytes) -> bytes:
    """RDATA of an MX record; preference 0 and the root say that there is no mail here (RFC 7505)."""
    return struct.pack("!H", preference) + exchange
