"""SipHash against the published vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.siphash import siphash

KEY = bytes(range(16))


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 0x726FDB47DD0E0E31), (1, 0x74F839C593DC67FD), (7, 0xAB0200F58B01D137), (8, 0x93F5F5799A932462), (15, 0xA129CA6149BE45E5),
     (63, 0x958A324CEB064572)],
)  # fmt: skip
def test_siphash_2_4_is_the_published_one(size: int, expected: int) -> None:
    assert siphash(KEY, bytes(range(size))) == expected


@pytest.mark.parametrize(("size", "expected"), [(0, 0xABAC0158050FC4DC), (15, 0xD320D86D2A519956)])
def test_siphash_1_3_is_the_one_of_other_implementations(size: int, expected: int) -> None:
    assert siphash(KEY, bytes(range(size)), 1, 3) == expected


@given(st.binary(max_size=40))
def test_it_fits_into_64_bits(data: bytes) -> None:
    assert 0 <= siphash(KEY, data) < 1 << 64


def test_a_key_of_other_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        siphash(b"short", b"")
