"""What somebody may do who does not sign in: decided by where it comes from and whether the box has an owner."""

from __future__ import annotations

import pytest

from appliance_web.visitors import is_private, stranger

AFAR, LAN, HERE = "203.0.113.9", "192.168.7.20", "127.0.0.1"
ANY = ("", "127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "fe80::1%eth0", "2001:db8::1", "no address")


def who(remote, *, claimed=True, public="status", trust="read", relayed=False, setup_anywhere=False):
    return stranger(
        remote,
        relayed=relayed,
        public=public,
        trust_loopback=trust,
        claimed=claimed,
        setup_anywhere=setup_anywhere,
    )


@pytest.mark.parametrize(
    "remote",
    [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.0.9",
        "169.254.1.1",
        "fe80::1%eth0",
        "fd00::1",
        "::1",
        "::ffff:10.0.0.1",
    ],
)
def test_private_addresses(remote):
    assert is_private(remote)


@pytest.mark.parametrize(
    "remote",
    ["", "x", "192.0.2.1", "100.64.0.1", "172.32.0.1", "2001:db8::1", "::ffff:203.0.113.1", "0.0.0.0"],
)
def test_addresses_that_only_look_private(remote):
    assert not is_private(remote)


def test_a_claimed_box_shows_strangers_its_status_and_this_machine_everything_that_is_no_secret():
    for remote in (AFAR, LAN, ""):
        assert who(remote).may("scores:read")
        assert not who(remote).may("servers:read")
    assert who(HERE).may("servers:read")
    assert not who(HERE).may("servers:write")
    assert not who(HERE).may("config:read")
    assert not who(HERE, trust="no").may("servers:read")


def test_the_owner_may_show_everybody_everything_that_is_no_secret_and_nothing_more():
    visitor = who(AFAR, public="read")
    assert visitor.may("servers:read")
    for kept in ("users:read", "audit:read", "config:read", "servers:write", "self:write", "setup:run"):
        assert not visitor.may(kept)


@pytest.mark.parametrize("public", ["status", "read"])
def test_a_box_without_an_owner_is_not_there_for_who_comes_from_afar(public):
    assert who(AFAR, claimed=False, public=public).grants == frozenset()
    assert who(LAN, claimed=False, public=public).may("setup:run")
    assert not who(LAN, claimed=False, public=public).may("servers:read")
    assert who(HERE, claimed=False).may("servers:read")
    assert who(AFAR, claimed=False, setup_anywhere=True).may("setup:run")


@pytest.mark.parametrize("remote", ANY)
@pytest.mark.parametrize("trust", ["no", "read", "operate"])
def test_nobody_can_set_up_a_box_that_has_an_owner(remote, trust):
    assert not who(remote, trust=trust, setup_anywhere=True).may("setup:run")


def test_behind_a_proxy_nobody_sits_on_this_machine():
    assert not who(HERE, trust="operate", relayed=True).may("servers:read")
    assert who(HERE, claimed=False, trust="operate", relayed=True).grants == frozenset()


def test_a_listed_scraper_reads_the_metrics_and_nothing_else():
    def scraper(**fields):
        values = {
            "relayed": False,
            "public": "status",
            "trust_loopback": "read",
            "claimed": True,
            "scraper": True,
        }
        return stranger(AFAR, **(values | fields))

    assert scraper().may("metrics:read")
    assert not scraper().may("servers:read")
    for fields in ({"relayed": True}, {"claimed": False}, {"scraper": False}):
        assert not scraper(**fields).may("metrics:read")
