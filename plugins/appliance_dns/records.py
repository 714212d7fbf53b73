"""Static records of the zone: collected by name, checked against each other, turned into wire and text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from appliance.api.contrib import AnswerRecord
from appliance.dataplane.dns_snapshot import Node, Section
from appliance.wire.dns import (
    AAAA,
    ANY,
    CNAME,
    DNAME,
    NS,
    OPT,
    SOA,
    TSIG,
    TXT,
    A,
    address_rdata,
    address_type,
    encode_name,
    is_below,
    name_text,
    parents,
    record,
    txt_rdata,
    type_name,
    type_number,
)
from appliance.wire.errors import WireError

#: One string of a TXT record without anything that needs an escape.
_PLAIN_STRING = re.compile(r'"[ !#-\[\]-~]{0,255}"')
#: Types that would change what the zone is, or that no zone can hold.
_NEVER = frozenset({SOA, NS, DNAME, OPT, TSIG, ANY})


@dataclass(frozen=True, slots=True)
class ZoneRecord:
    """One record: owner as lower-case wire name, RDATA in both forms."""

    owner: bytes
    rrtype: int
    ttl_s: int
    rdata: bytes
    text: str


@dataclass(slots=True)
class Records:
    """What is added to a zone, and what was refused and why.

    Attributes:
        pool_names: names that rotate: nobody may put addresses or aliases there.
    """

    zone: bytes
    pool_names: frozenset[bytes]
    problems: list[str] = field(default_factory=list)
    _by_name: dict[bytes, dict[int, list[ZoneRecord]]] = field(default_factory=dict)

    def add(self, owner: bytes, rrtype: int, ttl_s: int, rdata: bytes, text: str) -> None:
        """Add one of our own records; a record that is there already is not added again."""
        there = self._by_name.setdefault(owner.lower(), {}).setdefault(rrtype, [])
        if all(other.rdata != rdata for other in there):
            # The records of one set share one TTL (RFC 2181 section 5.2).
            ttl_s = there[0].ttl_s if there else ttl_s
            there.append(ZoneRecord(owner.lower(), rrtype, ttl_s, rdata, text))

    def add_address(self, owner: bytes, address: str, ttl_s: int) -> None:
        self.add(owner, address_type(address), ttl_s, address_rdata(address), address)

    def add_contributed(self, contributed: Iterable[AnswerRecord], source: str) -> None:
        """Add what a plugin contributes; what cannot be in our zone becomes a problem in words."""
        for entry in contributed:
            try:
                self._add_contributed(entry)
            except (WireError, ValueError) as error:
                self.problems.append(f"{source}: {entry.owner} {entry.rrtype}: {error}")

    def _add_contributed(self, entry: AnswerRecord) -> None:
        owner = (
            self.zone if entry.owner == "@" else encode_name(f"{entry.owner}.{name_text(self.zone)}").lower()
        )
        rrtype = type_number(entry.rrtype)
        if not is_below(owner, self.zone):
            raise WireError("the owner is not inside the zone")
        if rrtype in _NEVER:
            raise WireError("this type cannot be contributed")
        if owner in self.pool_names and rrtype in (A, AAAA, CNAME):
            raise WireError("the name gives members; nobody may put other addresses there")
        there = self._by_name.get(owner, {})
        if (rrtype == CNAME and there) or (rrtype != CNAME and CNAME in there):
            raise WireError("an alias cannot stand beside other records (RFC 1034 section 3.6.2)")
        if not 0 <= entry.ttl_s < 1 << 31:
            raise WireError("a TTL is 0 to 2147483647 seconds")
        rdata, text = _from_text(rrtype, entry.rdata, self.zone)
        self.add(owner, rrtype, entry.ttl_s, rdata, text)

    def addresses(self, owner: bytes) -> list[ZoneRecord]:
        """Address records of a name, for the additional section."""
        there = self._by_name.get(owner.lower(), {})
        return [*there.get(A, ()), *there.get(AAAA, ())]

    def __iter__(self) -> Iterator[ZoneRecord]:
        for types in self._by_name.values():
            for group in types.values():
                yield from group

    def names(self) -> Iterator[bytes]:
        """Every name with a record, and every name above one that is inside the zone."""
        for name in self._by_name:
            yield name
            for above in parents(name):
                if not is_below(above, self.zone):
                    break
                yield above

    def sections(self, name: bytes) -> dict[int, Section]:
        """The name's static sections by type."""
        return {rrtype: self._section(group) for rrtype, group in self._by_name.get(name, {}).items()}

    def node(self, name: bytes) -> Node:
        """The name without anything that rotates."""
        sections = self.sections(name)
        return Node(static=sections, alias=sections.get(CNAME))

    def _section(self, group: list[ZoneRecord]) -> Section:
        body = b"".join(record(r.rrtype, r.ttl_s, r.rdata) for r in group)
        if group[0].rrtype != NS:
            return Section(len(group), body)
        glue = [g for r in group for g in self.addresses(r.rdata)]
        extra = b"".join(record(g.rrtype, g.ttl_s, g.rdata, owner=g.owner) for g in glue)
        return Section(len(group), body, len(glue), extra)


def rdata_from_text(rrtype: int, text: str, zone: bytes) -> bytes:
    """RDATA from presentation form.

    Raises:
        WireError: it is not right for the type.
    """
    if rrtype == TXT and _PLAIN_STRING.fullmatch(text):
        return txt_rdata(text[1:-1])
    try:
        if (rrtype == A and ":" not in text) or (rrtype == AAAA and ":" in text):
            return address_rdata(text)
    except OSError:
        pass  # no address after all: the library has the better words for it
    return _from_text(rrtype, text, zone)[0]


def _from_text(rrtype: int, text: str, zone: bytes) -> tuple[bytes, str]:
    """RDATA from presentation form; relative names are inside the zone."""
    # Only plugins write records as text, and most appliances have none: the library stays out of memory until then.
    import dns.exception
    import dns.name
    import dns.rdata

    origin = dns.name.from_wire(zone, 0)[0]
    try:
        parsed = dns.rdata.from_text("IN", type_name(rrtype), text, origin=origin, relativize=False)
        wire = parsed.to_wire()
        assert wire is not None  # it is None only when it was written into a file
        return wire, parsed.to_text()
    except (dns.exception.DNSException, ValueError) as error:
        raise WireError(f"{text[:60]!r} is not right for this type: {error}") from None
