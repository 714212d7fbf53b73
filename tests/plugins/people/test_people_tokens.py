"""Tokens and grants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.actor import KEPT_AREAS, ROLES, covers
from appliance_people import tokens
from appliance_people.accounts import ROLES_OF_PEOPLE
from appliance_people.sessions import MOST_S, Session, cookie_name, set_cookie, shown
from appliance_people.setup_code import ROTATE_S, SetupCode, long_code, normal, spelled

AREAS = ["servers", "dns", "config", "users", "audit", "*"]
GRANTS = st.builds(
    lambda a, v: f"{a}:{v}", st.sampled_from(AREAS), st.sampled_from(["read", "write", "read-own", "*"])
) | st.just("public")
SCOPES = [f"{a}:{v}" for a in AREAS if a != "*" for v in ("read", "write", "operate", "read-own")] + [
    "public"
]


@given(st.frozensets(GRANTS, max_size=5), st.frozensets(GRANTS, max_size=5))
def test_two_sets_of_grants_meet_in_exactly_what_both_allow(a, b):
    both = tokens.meet(a, b)
    for scope in SCOPES:
        assert covers(both, scope) == (covers(a, scope) and covers(b, scope)), (scope, both)


def test_a_token_of_any_grants_never_exceeds_its_user():
    everything = {"*:*", "public", *(f"{area}:*" for area in KEPT_AREAS)}
    for role in ROLES_OF_PEOPLE:
        met = tokens.meet(everything, ROLES[role])
        for scope in SCOPES:
            assert covers(met, scope) == covers(ROLES[role], scope)


def test_each_role_may_all_that_the_weaker_ones_may():
    for stronger, weaker in [
        ("owner", "admin"),
        ("admin", "operator"),
        ("operator", "viewer"),
        ("operator", "member"),  # who looks at all need not own anything
        ("viewer", "public"),
        ("member", "public"),
    ]:
        assert all(covers(ROLES[stronger], grant) for grant in ROLES[weaker])
        assert not all(covers(ROLES[weaker], grant) for grant in ROLES[stronger])


def test_a_token_is_told_from_what_is_none():
    text, key, kept = tokens.make()
    assert text.startswith(f"timeball_{key}_")
    assert tokens.id_of(text) == key
    assert tokens.same(text, kept)
    assert text not in kept
    for wrong in (
        "",
        text[:-1],
        text + "a",
        text.upper(),
        text.replace("timeball", "timebell"),
        text[:30] + ("a" if text[30] != "a" else "b") + text[31:],
    ):
        assert tokens.id_of(wrong) is None
        assert not tokens.same(wrong, kept)


@given(st.text())
def test_no_text_breaks_the_reader_of_tokens(text):
    tokens.id_of(text)
    tokens.same(text, "0" * 64)


def made(**fields):
    return tokens.Token(
        **(
            {
                "id": "a",
                "hash": "h",
                "account": "u",
                "label": "",
                "grants": ("servers:read",),
                "created": 0.0,
                "expires": None,
            }
            | fields
        )
    )


def test_a_token_ends_and_works_only_from_where_it_may():
    assert made().works(1e12, "203.0.113.1")
    assert not made(expires=100.0).works(100.0, "203.0.113.1")
    near = made(networks=(tokens.network("192.0.2.0/24"), tokens.network("2001:db8::1")))
    assert near.works(0, "192.0.2.77")
    assert near.works(0, "::ffff:192.0.2.77")
    assert near.works(0, "2001:db8::1")
    assert not near.works(0, "192.0.3.1")
    assert not near.works(0, "")
    with pytest.raises(ValueError, match="1922"):
        tokens.network("1922.0.2.1")


# -- sessions ----------------------------------------------------------------------------------------------------------


def session(**fields):
    return Session(
        **({"id": "s", "hash": "h", "account": "u", "created": 0.0, "seen": 0.0, "confirmed": 0.0} | fields)
    )


def test_sessions_end_when_nobody_uses_them_and_after_a_week_anyway():
    for role in ("owner", "admin", "operator"):
        assert session().lives(1799, role)
        assert not session().lives(1800, role)
    assert session().lives(12 * 3600 - 1, "viewer")
    assert not session().lives(12 * 3600, "viewer")
    assert not session(seen=MOST_S).lives(MOST_S, "viewer")
    assert not session(seen=1e9).lives(0, "viewer")
    assert session().is_confirmed(299)
    assert not session().is_confirmed(300)
    assert not session(confirmed=1e9).is_confirmed(0)


def test_the_cookie_is_bound_to_host_and_encryption_where_there_is_any():
    assert set_cookie("v", "tls") == "__Host-timeball=v; Path=/; Secure; HttpOnly; SameSite=Strict"
    for line in ("local", "lan"):
        assert set_cookie("v", line) == "timeball=v; Path=/; HttpOnly; SameSite=Strict"
    assert cookie_name("tls") != cookie_name("lan")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("", ""),
        ("timeball=v", "v"),
        ("a=b; timeball=v; c=d", "v"),
        ("xtimeball=v", ""),
        ("timeball", ""),
        ("__Host-timeball=v", ""),
        (";;=;", ""),
    ],
)
def test_our_cookie_among_others(header, value):
    assert shown(header, "lan") == value


# -- setup code --------------------------------------------------------------------------------------------------------


def test_the_setup_code_changes_every_ten_minutes_and_after_use():
    code = SetupCode()
    first, left_s = code.current(0.0)
    assert (len(first), left_s) == (8, ROTATE_S)
    assert code.current(599.0) == (first, 1.0)
    assert code.current(600.0)[0] != first
    assert not code.tried(first, 601.0)
    second, _ = code.current(601.0)
    assert code.tried(spelled(second).lower(), 602.0)
    code.use_up()
    assert not code.tried(second, 603.0)


def test_five_tries_a_minute_whoever_makes_them():
    code = SetupCode()
    for i in range(5):
        assert code.wait_s(i) == 0
        code.tried("AAAAAAAA", i)
    assert code.wait_s(5.0) == 55.0
    assert code.wait_s(60.0) == 0
    code.tried("AAAAAAAA", 60.0)
    assert code.wait_s(60.0) == 1.0


def test_codes_hold_nothing_that_is_read_as_something_else():
    for code in (SetupCode().current(0)[0], long_code()):
        assert not set(code) & set("01IOl")
        assert normal(f" {spelled(code).lower()} \n") == code
    assert len(long_code()) == 26
    assert normal("ÄÖ") == ""


@given(st.text())
def test_any_text_can_be_typed_as_code(text):
    SetupCode().tried(text, 0.0)
