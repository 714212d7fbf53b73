"""The check list, continued: header and framing, EDNS, client subnet, classes, what we do not do; see test_dns_checks.py for what is where."""

from __future__ import annotations

import struct

import dns.edns
import dns.message
import dns.rcode
import dns.tsigkeyring
import pytest

from appliance.dataplane.dns_snapshot import AnswerSnapshot
from tests.dataplane.dns_looks import (
    AA,
    QR,
    RD,
    TC,
    ask,
    header,
    only_header,
    opt,
    parsed,
)
from tests.dataplane.dns_stub import (
    NSID,
    Asker,
    OnPaper,
    edns,
    option,
    query,
    stub,
    with_header,
)

# -- header and framing


@pytest.mark.parametrize("size", range(12))
def test_034_less_than_a_header_is_met_with_silence(asker: Asker, size: int) -> None:
    assert asker.raw(query("0").to_wire()[:size]) is None


def test_035_no_question_036_a_missing_one_037_038_a_cut_one(asker: Asker) -> None:
    wire = query("0").to_wire()
    only_header(asker.raw(with_header(wire[:12], counts=(0, 0, 0, 0))), dns.rcode.FORMERR)
    for size in (12, 13, 20, len(wire) - 4, len(wire) - 3, len(wire) - 2, len(wire) - 1):
        only_header(asker.raw(wire[:size]), dns.rcode.FORMERR)


def test_039_two_questions_040_of_which_one_is_there(asker: Asker) -> None:
    wire = query("0").to_wire()
    only_header(asker.raw(with_header(wire + wire[12:], counts=(2, 0, 0, 0))), dns.rcode.FORMERR)
    only_header(asker.raw(with_header(wire, counts=(2, 0, 0, 0))), dns.rcode.FORMERR)


def test_041_replies_are_met_with_silence(asker: Asker) -> None:
    assert asker.raw(with_header(query("0").to_wire(), flags=QR)) is None
    assert asker.raw(with_header(query("0").to_wire()[:12], flags=QR | 0x7FFF)) is None


@pytest.mark.parametrize("opcode", [1, 2, 3, *range(6, 16)])
def test_042_other_opcodes_are_notimp_043_without_flags(asker: Asker, opcode: int) -> None:
    for extra in (0, RD, 0x07FF):
        wire = with_header(query("0").to_wire(), flags=opcode << 11 | extra)
        reply = asker.raw(wire)
        only_header(reply, dns.rcode.NOTIMP)
        assert header(reply or b"")[0] == QR | opcode << 11 | dns.rcode.NOTIMP


def test_044_update_is_notimp_045_notify_is_refused(asker: Asker) -> None:
    update = with_header(query("@", "SOA").to_wire(), flags=5 << 11)
    assert header(asker.raw(update) or b"") == (QR | 5 << 11 | 4, 0, 0, 0, 0)
    notify = with_header(query("@", "SOA").to_wire(), flags=4 << 11 | AA)
    assert header(asker.raw(notify) or b"") == (QR | 4 << 11 | 5, 1, 0, 0, 0)


def test_046_an_rcode_in_a_query_means_nothing(asker: Asker) -> None:
    reply = asker.raw(with_header(query("0").to_wire(), flags=5))
    assert header(reply or b"") == (QR | AA, 1, 4, 0, 0)


def test_047_records_that_do_not_belong_into_a_query_are_ignored(asker: Asker) -> None:
    wire = query("0").to_wire()
    a = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\1\2\3\4"
    aaaa = b"\1a\xc0\x0c" + struct.pack("!HHIH", 28, 1, 60, 16) + bytes(16)
    mx = b"\0" + struct.pack("!HHIH", 15, 1, 60, 4) + b"\0\1\xc0\x0c"
    stray = with_header(wire + a * 15 + aaaa * 13 + mx * 11, counts=(1, 15, 13, 11))
    reply = asker.raw(stray)
    assert header(reply or b"") == (QR | AA, 1, 4, 0, 0)
    assert header(asker.raw(wire + b"\0") or b"") == (QR | AA, 1, 4, 0, 0)


def test_048_a_record_that_is_announced_must_be_there(asker: Asker) -> None:
    for counts in ((1, 0, 0, 1), (1, 1, 0, 0), (1, 0, 1, 0), (1, 65535, 65535, 65535)):
        only_header(asker.raw(with_header(query("0").to_wire(), counts=counts)), dns.rcode.FORMERR)


def test_049_the_largest_datagram_there_is(asker: Asker) -> None:
    if isinstance(asker, OnPaper):
        assert asker.raw(bytes(65535)) is not None
    assert asker.raw(query("0").to_wire()[:12] + b"\xff" * 65000) is not None
    assert asker.raw(query("0").to_wire() + bytes(65000)) is not None


# -- EDNS


def test_050_without_opt_none_is_sent(asker: Asker) -> None:
    for name, rrtype in (("0", "A"), ("x", "A"), ("@", "NS"), ("example.net.", "A")):
        assert ask(asker, query(name, rrtype)).edns == -1


def test_051_opt_version_0_size_1232_054_do_is_copied_055_other_bits_are_not(asker: Asker) -> None:
    for name, rrtype in (("0", "A"), ("x", "A"), ("@", "NS"), ("example.net.", "A")):
        for ednsflags in (0, 0x8000, 0x7FFF, 0xFFFF):
            reply = ask(asker, edns(name, rrtype, ednsflags=ednsflags))
            assert (reply.edns, reply.payload) == (0, 1232)
            assert reply.ednsflags & 0xFFFF == ednsflags & 0x8000
            assert not any(g.rdtype == dns.rdatatype.RRSIG for g in reply.answer)


def sized(name: str, size: int, rrtype: str = "TXT") -> bytes:
    return edns(name, rrtype, payload=size).to_wire()


@pytest.mark.parametrize("size", [0, 1, 511, 512])
def test_052_small_sizes_mean_512(asker: Asker, size: int) -> None:
    reply = asker.raw(sized("big", size))
    assert reply is not None
    assert header(reply) == (QR | AA | TC, 1, 0, 0, 1)
    assert len(reply) <= 512
    assert header(asker.raw(sized("0", size, "A")) or b"")[2] == 4


def test_053_no_reply_is_longer_than_1232(asker: Asker) -> None:
    assert header(asker.raw(sized("huge", 65535)) or b"") == (QR | AA | TC, 1, 0, 0, 1)
    assert len(asker.raw(sized("big", 65535)) or b"") > 1000


@pytest.mark.parametrize(
    "options",
    [
        (),
        (option(100),),
        (option(3),),
        (option(10, bytes(8)),),
        (option(8, b"\0\1\x18\0\1\2\3"),),
        (option(9),),
        (option(10, b"x"),),
    ],
)
@pytest.mark.parametrize("ednsflags", [0, 0x8000])
def test_056_to_059_other_versions_are_badvers(
    asker: Asker, options: tuple[dns.edns.Option, ...], ednsflags: int
) -> None:
    """Decided before the options are looked at: even a broken cookie does not matter."""
    reply = asker.raw(edns("0", "A", *options, use_edns=1, ednsflags=1 << 16 | ednsflags).to_wire())
    assert reply is not None
    assert header(reply) == (QR, 1, 0, 0, 1)
    message = parsed(reply)
    assert message.rcode() == dns.rcode.BADVERS
    assert message.edns == 0
    assert not message.options
    assert message.ednsflags & 0x8000 == ednsflags


def test_060_an_extended_rcode_in_a_query_means_nothing(asker: Asker) -> None:
    wire = bytearray(edns("0").to_wire())
    wire[-6] = 0xFF
    assert parsed(asker.raw(bytes(wire))).rcode() == 0


def test_061_two_opt_062_not_at_the_root_063_elsewhere_064_065_overrun(asker: Asker) -> None:
    wire = query("0").to_wire()
    for message in (
        with_header(wire + opt() + opt(), counts=(1, 0, 0, 2)),
        with_header(wire + opt(owner=b"\1a\0"), counts=(1, 0, 0, 1)),
        with_header(wire + opt(owner=b"\xc0\x0c"), counts=(1, 0, 0, 1)),
        with_header(wire + opt(), counts=(1, 1, 0, 0)),
        with_header(wire + opt(), counts=(1, 0, 1, 0)),
        with_header(wire + opt()[:-2] + b"\0\1", counts=(1, 0, 0, 1)),
        with_header(wire + opt(b"\0\3\0\1"), counts=(1, 0, 0, 1)),
        with_header(wire + opt(b"\0\3\0"), counts=(1, 0, 0, 1)),
        with_header(wire + opt(b"\0\x64\xff\xff\0"), counts=(1, 0, 0, 1)),
    ):
        only_header(asker.raw(message), dns.rcode.FORMERR)


def test_066_unknown_options_are_not_echoed(asker: Asker) -> None:
    for code in (100, 65001, 1, 2, 12, 15):
        reply = ask(asker, edns("0", "A", option(code, b"junk")))
        assert reply.rcode() == 0
        assert not reply.options


def test_067_nsid_068_even_with_data(asker: Asker) -> None:
    for data in (b"", b"x"):
        reply = asker.raw(edns("0", "A", option(3, data)).to_wire())
        assert reply is not None
        assert reply.endswith(struct.pack("!HH", 3, len(NSID)) + NSID.encode())


def test_069_each_option_is_answered_once(asker: Asker) -> None:
    options = (option(3), option(8, b"\0\1\x18\0\xc0\0\2"), option(9), option(10, b"12345678"))
    reply = ask(asker, edns("@", "SOA", *options, *options))
    assert sorted(int(o.otype) for o in reply.options) == [3, 8, 9, 10]
    expire = next(o for o in reply.options if o.otype == 9)
    assert expire.to_wire() == struct.pack("!I", 1209600)
    assert sorted(int(o.otype) for o in ask(asker, edns("0", "A", *options)).options) == [3, 8, 10]


def test_070_keepalive_071_padding_are_ignored_over_udp(asker: Asker) -> None:
    assert not ask(asker, edns("0", "A", option(11), option(12, bytes(40)))).options


@pytest.mark.parametrize("payload", [512, 1232])
def test_072_what_does_not_fit_is_cut_whole(asker: Asker, payload: int) -> None:
    name = "big" if payload == 512 else "huge"
    wire = edns(name, "TXT", payload=payload, want_dnssec=True).to_wire()
    reply = asker.raw(wire)
    assert reply is not None
    assert header(reply) == (QR | AA | TC, 1, 0, 0, 1)
    assert len(reply) <= payload
    plain = asker.raw(query(name, "TXT").to_wire())
    assert plain is not None
    assert header(plain) == (QR | AA | TC, 1, 0, 0, 0)


def test_073_1232_bytes_fit_and_1233_do_not(asker: Asker) -> None:
    reply = asker.raw(sized("exact", 1232))
    assert reply is not None
    assert len(reply) == 1232
    assert not header(reply)[0] & TC
    # One more byte: an option of four bytes and some.
    longer = asker.raw(edns("exact", "TXT", option(3)).to_wire())
    assert header(longer or b"")[0] & TC
    assert header(asker.raw(sized("exact", 1231)) or b"")[0] & TC


@pytest.mark.parametrize("name", ["big", "huge", "exact"])
def test_074_over_tcp_it_comes_whole(asker: Asker, name: str) -> None:
    for message in (query(name, "TXT"), edns(name, "TXT", option(3))):
        reply = ask(asker, message, "tcp")
        assert not reply.flags & TC
        assert reply.answer


# -- client subnet


def subnet(family: int, prefix: int, scope: int, address: bytes) -> dns.edns.Option:
    return option(8, struct.pack("!HBB", family, prefix, scope) + address)


@pytest.mark.parametrize(
    ("family", "prefix", "address"),
    [(1, 24, b"\xc0\0\2"), (1, 0, b""), (2, 56, b"\x20\1\x0d\xb8\0\0\1"), (1, 32, b"\1\2\3\4"), (2, 128, bytes(16)), (0, 0, b""),
     (1, 20, b"\xc0\0\x10"), (2, 0, b"")],
)  # fmt: skip
def test_084_086_087_a_subnet_is_echoed_with_scope_0(
    asker: Asker, family: int, prefix: int, address: bytes
) -> None:
    reply = asker.raw(edns("0", "A", subnet(family, prefix, 0, address)).to_wire())
    assert reply is not None
    assert header(reply)[2] == 4
    assert reply.endswith(struct.pack("!HHHBB", 8, 4 + len(address), family, prefix, 0) + address)


@pytest.mark.parametrize(
    "bad",
    [
        subnet(1, 33, 0, bytes(5)), subnet(1, 24, 0, b"\1\2"), subnet(1, 24, 0, b"\1\2\3\4"), subnet(1, 20, 0, b"\xc0\0\x11"),
        subnet(1, 24, 24, b"\1\2\3"), subnet(3, 0, 0, b""), subnet(2, 129, 0, bytes(17)), subnet(0, 8, 0, b"\1"),
        option(8, b"\0\1"), option(8, b""),
    ],
)  # fmt: skip
def test_088_to_093_a_broken_subnet_is_formerr(asker: Asker, bad: dns.edns.Option) -> None:
    only_header(asker.raw(edns("0", "A", bad).to_wire()), dns.rcode.FORMERR)


def test_095_without_a_subnet_none_is_sent(asker: Asker) -> None:
    assert not ask(asker, edns("0", "A")).options


# -- class and CHAOS


@pytest.mark.parametrize("qclass", [4, 254, 0, 2, 65535])
def test_096_other_classes_are_refused(asker: Asker, qclass: int) -> None:
    wire = query("0").to_wire()
    assert header(asker.raw(wire[:-2] + struct.pack("!H", qclass)) or b"") == (QR | 5, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("version.bind.", b"timeball"),
        ("VERSION.server.", b"timeball"),
        ("id.server.", NSID.encode()),
        ("hostname.bind.", NSID.encode()),
    ],
)
def test_097_chaos_as_configured(asker: Asker, name: str, text: bytes) -> None:
    reply = ask(asker, query(name, "TXT", rdclass="CH"))
    assert reply.answer[0][0].strings == (text,)
    assert not reply.flags & AA


def test_097_chaos_when_hidden_098_anything_else() -> None:
    hidden = OnPaper(stub(nsid="", version=""))
    for name in ("version.bind.", "id.server.", "hostname.bind.", "authors.bind.", "0"):
        assert ask(hidden, query(name, "TXT", rdclass="CH")).rcode() == dns.rcode.REFUSED
    assert ask(OnPaper(stub()), query("version.bind.", "A", rdclass="CH")).rcode() == dns.rcode.REFUSED
    assert not ask(hidden, edns("0", "A", option(3))).options


def test_099_class_any_is_answered_without_authority(asker: Asker) -> None:
    reply = asker.raw(query("0", "A", rdclass="ANY").to_wire())
    assert header(reply or b"") == (QR, 1, 4, 0, 0)


# -- what we do not do


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_111_transfers_are_refused(asker: Asker, transport: str) -> None:
    for rrtype in ("AXFR", "IXFR"):
        message = query("@", rrtype)
        plain = header(asker.raw(message.to_wire(), transport) or b"")
        if transport == "tcp":
            assert plain == (QR | 5, 1, 0, 0, 0)
            told = ask(asker, edns("@", rrtype), transport)
            assert [o.code for o in told.options] == [18]
        elif rrtype == "AXFR":
            assert plain == (QR | 4, 1, 0, 0, 0)
        else:
            assert plain == (QR | 1, 0, 0, 0, 0)
            soa = b"\xc0\x0c" + struct.pack("!HHIH", 6, 1, 0, 22) + bytes(22)
            with_soa = with_header(message.to_wire() + soa, counts=(1, 0, 1, 0))
            assert header(asker.raw(with_soa) or b"") == (QR | 5, 1, 0, 0, 0)


def test_114_an_unknown_key_is_badkey(asker: Asker) -> None:
    for with_edns in (-1, 0):
        message = query("0", "A", use_edns=with_edns)
        message.use_tsig(dns.tsigkeyring.from_text({"nobody.": "c2VjcmV0IHNlY3JldCE="}))
        reply = asker.raw(message.to_wire())
        assert reply is not None
        assert header(reply) == (QR | 9, 1, 0, 0, 2 if with_edns == 0 else 1)
        assert reply[-4:-2] == struct.pack("!H", 17)
        assert reply.count(b"\x06nobody\0") == 1
    # A TSIG that is not the last record, or not in the additional section, is FORMERR.
    tsig = b"\1k\0" + struct.pack("!HHIH", 250, 255, 0, 0)
    wire = query("0").to_wire()
    only_header(asker.raw(with_header(wire + tsig + opt(), counts=(1, 0, 0, 2))), dns.rcode.FORMERR)
    only_header(asker.raw(with_header(wire + tsig, counts=(1, 1, 0, 0))), dns.rcode.FORMERR)


def test_125_ttl_is_as_configured() -> None:
    assert ask(OnPaper(stub(ttl=77)), query("0")).answer[0].ttl == 77


def test_a_server_without_a_zone_refuses_everything() -> None:
    assert header(OnPaper(AnswerSnapshot()).raw(query("0").to_wire()) or b"") == (QR | 5, 1, 0, 0, 0)
