"""What this box is called: its host name, and the addresses the kernel knows, by rtnetlink."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

#: linux/rtnetlink.h, linux/netlink.h, linux/if_addr.h.
_RTM_GETADDR, _NLM_F_DUMP_REQUEST, _NLMSG_ERROR, _NLMSG_DONE = 22, 0x301, 2, 3
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
#: Temporary (RFC 8981), tentative and duplicate addresses are none that anybody calls us by.
_PASSING = 0x01 | 0x40 | 0x08
_SCOPE_LINK = 253
#: A name as a certificate can carry it (RFC 5890 section 2.3.1, and the underscore that some networks use).
_DNS_NAME = re.compile(
    r"(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Names:
    """What the box is called.

    Attributes:
        dns: lower case, most useful first.
        interfaces: its addresses with the networks they stand in; no loopback.
    """

    dns: tuple[str, ...]
    interfaces: tuple[Interface, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(interface.ip for interface in self.interfaces)


def here(configured: Iterable[str] = ()) -> Names:
    """What this machine is called right now; `configured` names come first."""
    return names_of(socket.gethostname(), configured, interfaces())


def names_of(hostname: str, configured: Iterable[str], found: Iterable[Interface]) -> Names:
    """Names in the order of use: configured, the host name, its first label, that label in the local zone (RFC 6762)."""
    name = hostname.lower().rstrip(".")
    short = name.partition(".")[0]
    wanted = [text.lower().rstrip(".") for text in configured]
    if short and short != "localhost":
        wanted += [name, short, f"{short}.local"]
    dns = tuple(dict.fromkeys(text for text in wanted if is_dns_name(text)))
    return Names(dns, tuple(sorted(set(found), key=lambda i: (i.version, i.ip.packed))))


def is_dns_name(text: str) -> bool:
    """Whether a certificate may carry `text` as a name; an address is none."""
    if not _DNS_NAME.fullmatch(text):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return not text.rpartition(".")[2].isdigit()
    return False


def interfaces() -> tuple[Interface, ...]:
    """The addresses of all interfaces, without loopback, link-local and temporary ones. Empty when they cannot be asked."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(2.0)
            sock.sendto(struct.pack("=IHHIIBxxxI", 24, _RTM_GETADDR, _NLM_F_DUMP_REQUEST, 1, 0, 0, 0), (0, 0))
            return tuple(_dumped(sock))
    except OSError:
        return ()


def _dumped(sock: socket.socket) -> Iterator[Interface]:
    while True:
        data = sock.recv(65536)
        at = 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < 16:
                return
            found = _address(data[at + 16 : at + length])
            if found is not None:
                yield found
            at += (length + 3) & ~3


def _address(message: bytes) -> Interface | None:
    """One ifaddrmsg with its attributes."""
    family, prefix, flags, scope = message[:4]
    if family not in (socket.AF_INET, socket.AF_INET6) or scope >= _SCOPE_LINK:
        return None
    values: dict[int, bytes] = {}
    at = 8
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            break
        values[kind] = message[at + 4 : at + length]
        at += (length + 3) & ~3
    packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
    if packed is None or len(packed) not in (4, 16):
        return None
    if len(wide := values.get(_IFA_FLAGS, b"")) == 4:
        flags = struct.unpack("=I", wide)[0]
    if flags & _PASSING:
        return None
    interface = ipaddress.ip_interface((packed, prefix))
    return None if interface.ip.is_loopback or interface.ip.is_link_local else interface
