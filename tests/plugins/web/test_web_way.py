"""From whom a request comes and who could read it: decided from the connection; headers count only from configured proxies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from appliance_web.way import Rules, Way, address_of, neighbourhood, read_networks, way_of

PROXIED = Rules(read_networks(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]))
OPEN = Rules(http_admin=True)


@pytest.mark.parametrize(
    ("peer", "headers", "rules", "secure", "line"),
    [
        ("127.0.0.1", {}, Rules(), False, "local"),
        ("::1", {}, Rules(), False, "local"),
        ("::ffff:127.0.0.1", {}, Rules(), False, "local"),
        ("127.0.0.1", {}, Rules(), True, "tls"),
        ("192.168.1.2", {}, Rules(), True, "tls"),
        ("192.168.1.2", {}, Rules(), False, "plain"),
        ("192.168.1.2", {}, OPEN, False, "lan"),
        ("fe80::1%eth0", {}, OPEN, False, "lan"),
        ("100.64.0.1", {}, OPEN, False, "plain"),
        ("fd00::1", {}, OPEN, False, "lan"),
        ("8.8.8.8", {}, OPEN, False, "plain"),
        ("2a00::1", {}, OPEN, False, "plain"),
        ("", {}, OPEN, False, "plain"),
        ("unix", {}, OPEN, False, "plain"),
    ],
)
def test_the_line_is_as_safe_as_the_connection(peer, headers, rules, secure, line):
    assert way_of(peer, CIMultiDict(headers), rules, secure=secure).line == line


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "x-forwarded-proto", "X-Forwarded-Host"]
)
@pytest.mark.parametrize("rules", [Rules(), OPEN])
def test_what_strangers_forward_is_not_believed_and_not_taken_for_the_box_itself(name, rules):
    """A proxy on the box that nobody configured makes everybody look local; its headers give it away."""
    headers = CIMultiDict({"Host": "ball", name: "127.0.0.1"})
    assert way_of("127.0.0.1", headers, rules, secure=False) == Way(
        "127.0.0.1", "http", "ball", "plain", relayed=True
    )
    assert way_of("8.8.8.8", headers, rules, secure=False) == Way(
        "8.8.8.8", "http", "ball", "plain", relayed=True
    )


@pytest.mark.parametrize(
    ("forwarded", "proto", "remote", "line"),
    [
        ("8.8.8.8", "https", "8.8.8.8", "tls"),
        ("8.8.8.8", "http", "8.8.8.8", "plain"),
        ("1.1.1.1, 8.8.8.8", "https", "8.8.8.8", "tls"),
        ("1.1.1.1, 8.8.8.8, 10.1.1.1", "https", "8.8.8.8", "tls"),
        ("[2a00::1]:4711", "https", "2a00::1", "tls"),
        ("8.8.8.8:4711", "http, https", "8.8.8.8", "tls"),
        ("unknown", "https", "127.0.0.1", "tls"),
        ("127.0.0.1", "", "127.0.0.1", "plain"),
        ("", "", "127.0.0.1", "plain"),
        ("127.0.0.5", "http", "127.0.0.5", "plain"),
        (", ".join(["8.8.8.8"] + ["10.0.0.1"] * 50), "https", "127.0.0.1", "tls"),
    ],
)
def test_a_configured_proxy_says_who_asks_and_how(forwarded, proto, remote, line):
    """The last address that is no proxy counts: what stands before it was said by the reader."""
    headers = CIMultiDict(
        {
            "Host": "inner",
            "X-Forwarded-For": forwarded,
            "X-Forwarded-Proto": proto,
            "X-Forwarded-Host": "time.example.org",
        }
    )
    found = way_of("127.0.0.1", headers, PROXIED, secure=False)
    assert (found.remote, found.line, found.host) == (remote, line, "time.example.org")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_no_header_breaks_it(forwarded, proto, peer):
    headers = CIMultiDict({"X-Forwarded-For": forwarded, "X-Forwarded-Proto": proto})
    for rules in (PROXIED, OPEN):
        assert way_of("10.1.1.1", headers, rules, secure=False).line in ("tls", "plain", "lan")
        way_of(peer, headers, rules, secure=False)


def test_one_visitor_is_an_address_or_a_network_of_one():
    assert neighbourhood(address_of("192.0.2.1")) == "192.0.2.1"
    assert neighbourhood(address_of("2001:db8::1")) == neighbourhood(address_of("2001:db8::ffff"))
    assert neighbourhood(address_of("nonsense")) == ""
