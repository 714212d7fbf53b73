"""What is taken for a password, and which kept forms are known."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance_people import passwords
from appliance_people.guessing import guess_bits

TOO_EASY = str.split("""
password Password1 P@ssw0rd! passwort123 12345678 123456789 87654321 qwertyuiop qwertzuiop asdfghjkl 1qaz2wsx zaq12wsx qwe123qwe
aaaaaaaa abcdefgh abcabcabc 19851231 31121985 2024-2025 timeball timeball123 raspberry1 raspberrypi ntppool1 Summer2024! michael1
johnsmith1985 iloveyou iloveyou2 letmein123 trustno1 adminadmin admin.admin administrator changeme1 football99 dragon123 drowssap
superman1 hunter42hunter42 monkeymonkey baseball qazwsxedc 1q2w3e4r welcome2025 test1234 guestguest Jennifer!
ncc1701d cheerleader lamborghini Mitsubishi1 skateboard chihuahua1 pikachu1 Juventus1! darthvader metallica1 philadelphia
""")
GOOD = [
    "correcthorsebatterystaple",
    "quiet lantern soup",
    "xkqjzvbw",
    "kv8#Lq2z",
    "Tr0ub4dor&3x",
    "ünïcödé-wörter-gehn",
    "四つ葉のクローバーの庭で",
    "  spaces are fine too  ",
]


@pytest.mark.parametrize("password", TOO_EASY)
def test_what_everybody_tries_first_is_refused(password):
    assert "too easy to guess" in (
        passwords.refusal(password) or "too short" * (len(password) < 8) or "taken"
    )


@pytest.mark.parametrize("password", GOOD)
def test_no_kind_of_character_is_asked_for_and_none_is_refused(password):
    assert passwords.refusal(password, ("ada", "box")) is None


def test_lengths():
    assert "too short: 8 characters" in passwords.refusal("kv8#Lq2")
    assert passwords.refusal("kv8#Lq2z" * 16) is None
    assert passwords.refusal("".join(random.Random(1).choices(string.printable, k=256))) is None
    assert "too long" in passwords.refusal("x" * 257)


def test_names_that_everybody_knows_make_no_password():
    assert passwords.refusal("harbourmaster-22") is None
    assert passwords.refusal("harbourmaster-22", ("Harbourmaster",)) is not None


def test_nearly_every_password_drawn_by_lot_is_taken():
    drawn = random.Random(7)
    taken = [
        passwords.refusal("".join(drawn.choices(string.ascii_lowercase, k=10))) is None for _ in range(300)
    ]
    assert sum(taken) > 290


@given(st.text(max_size=400))
@settings(deadline=None)
def test_every_text_gets_an_answer(text):
    assert guess_bits(text) >= 0
    why = passwords.refusal(text)
    assert why is None or why.startswith("too ")


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
@settings(deadline=None)
def test_more_behind_it_makes_no_password_easier_than_its_first_part_was(a, b):
    # A whole that repeats itself is told apart from its parts by the number of times alone.
    assert guess_bits(a + b) >= min(guess_bits(a), guess_bits((a + b)[: len(a) + len(b)])) - 1e-9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
        "$argon2id$v=19$m=x$y",
        "$2b$12$abcdefghijklmnopqrstuv",
    ],
)
def test_what_is_no_argon2id_hash_is_told(text):
    assert not passwords.is_hash(text)


def test_a_hash_made_elsewhere_is_taken_unless_it_would_cost_a_gigabyte():
    kept = f"$argon2id$v=19$m=19456,t=3,p=1${'c2FsdHNhbHQ' * 2}${'A' * 43}"
    assert passwords.is_hash(kept)
    assert passwords.outdated(kept)
    assert not passwords.is_hash(kept.replace("m=19456", "m=1048576"))


def test_generated_passwords_are_good_ones():
    made = {passwords.generated() for _ in range(20)}
    assert len(made) == 20
    assert all(passwords.refusal(one) is None for one in made)
