"""Browsers are called what their owners call them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_people.browsers import called

CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME}", "Chrome on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Edg/141.0.0.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {CHROME}", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox on a Mac"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile Safari/604.1", "Safari on an iPhone"),
        ("curl/8.14.1", "curl/8.14.1"),
        ("Python/3.11 aiohttp/3.14.5", "Python/3.11 aiohttp/3.14.5"),
        ("", "unknown"),
    ],
)  # fmt: skip
def test_a_browser_and_its_system_in_words(agent, name):
    assert called(agent) == name


@given(st.text(max_size=400))
def test_any_agent_is_called_something_short(agent):
    assert 0 < len(called(agent)) <= 60
