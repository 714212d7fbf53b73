"""Lists of servers are in the order in which people look for them."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from appliance.core import ordering


def test_addresses_are_sorted_by_their_number_and_names_by_theirs():
    servers = [
        ("", "127.0.0.11", 123), ("", "127.0.0.11", 11124), ("", "127.0.0.100", 123), ("", "2001:db8::9", 123), ("", "2001:db8::10", 123),
        ("NTP2.example", "192.0.2.1", 123), ("ntp9.example", "192.0.2.9", 123), ("ntp9.example", "192.0.2.10", 123),
        ("ntp10.example", "192.0.2.2", 123),
    ]  # fmt: skip
    backwards = servers[::-1]
    assert sorted(backwards, key=lambda s: ordering.server(*s)) == servers


texts = (
    st.text(max_size=8) | st.text("09a.:[]٣²", max_size=30) | st.sampled_from(["9" * 5000, "::1", "10.0.0.1"])
)


@given(st.lists(st.tuples(texts, texts, st.integers(0, 65535)), max_size=6))
def test_any_texts_can_be_compared(servers):
    ordered = sorted(servers, key=lambda s: ordering.server(*s))
    for one, other in itertools.pairwise(ordered):
        assert ordering.server(*one) <= ordering.server(*other)
