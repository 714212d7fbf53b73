"""Message authentication codes: the vectors of the standards, and how much of a digest stands on the wire."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.ntp_mac import MAX_DIGEST, MIN_DIGEST, MacType, digester, same

#: RFC 4493 section 4: one key, and the first bytes of one message.
KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_the_vectors_of_rfc_4493(size, digest):
    assert digester(MacType.AES128, KEY)(MESSAGE[:size]).hex() == digest


def test_the_vectors_of_rfc_8573():
    """It takes those of RFC 4493 for AES-128, tested above; for AES-256 those of NIST SP 800-38B count."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    assert digester(MacType.AES256, key)(b"").hex() == "028962f61b7bf89efc6b551f4667d983"
    assert digester(MacType.AES256, key)(MESSAGE).hex() == "e1992190549f6ed5696a2c056c315410"


@given(
    st.sampled_from(["MD5", "SHA1", "SHA256", "SHA384", "SHA512"]),
    st.binary(max_size=99),
    st.binary(max_size=99),
)
def test_a_hash_is_that_of_key_and_message(label, secret, message):
    assert digester(MacType[label], secret)(message) == hashlib.new(label, secret + message).digest()


def test_version_4_has_room_for_20_bytes_of_a_digest():
    on_wire = {kind.label: (kind.digest_on_wire(3), kind.digest_on_wire(4)) for kind in MacType}
    assert on_wire == {
        "MD5": (16, 16), "SHA1": (20, 20), "SHA256": (32, 20), "SHA384": (48, 20), "SHA512": (64, 20),
        "AES128": (16, 16), "AES256": (16, 16),
    }  # fmt: skip
    sizes = {size for kind in MacType for size in on_wire[kind.label]}
    assert (min(sizes), max(sizes)) == (MIN_DIGEST, MAX_DIGEST)


@pytest.mark.parametrize("kind", [MacType.AES128, MacType.AES256])
@pytest.mark.parametrize("size", [0, 15, 24, 33])
def test_a_cipher_wants_its_length_of_key(kind, size):
    with pytest.raises(ValueError, match=f"has {kind.key_bytes} bytes, this one {size}"):
        digester(kind, bytes(size))


def test_digests_are_compared():
    assert same(b"ab", b"ab")
    assert not same(b"ab", b"ac")
    assert not same(b"ab", b"abc")
