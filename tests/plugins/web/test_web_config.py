"""What is wrong with `[plugins.web]` is told before the start, with the place and what would be right; the contract's listen is right."""

from __future__ import annotations

import pytest

from appliance.core.config import BadConfig, read_text
from appliance.core.config_check import validate
from appliance.dataplane.interface import Endpoint
from appliance_web.config import WebConfig, beside


def configured(text):
    return validate([read_text(f"[plugins.web]\n{text}", "test.toml")], {"web": WebConfig}).plugins["web"]


@pytest.mark.parametrize(
    ("text", "plain", "tls"),
    [
        ("", ["127.0.0.1:8080"], ["127.0.0.1:8443"]),
        ('listen = "0.0.0.0:80"', ["0.0.0.0:80"], ["0.0.0.0:443"]),
        ('listen = ["0.0.0.0:80", "[::]:80"]', ["0.0.0.0:80", "[::]:80"], ["0.0.0.0:443", "[::]:443"]),
        ('listen = "127.0.0.1:0"', ["127.0.0.1:0"], ["127.0.0.1:0"]),
        ('listen = "127.0.0.1:65400"', ["127.0.0.1:65400"], []),
        ('listen = "0.0.0.0:80"\nlisten_tls = []', ["0.0.0.0:80"], []),
        ('listen = "0.0.0.0:80"\nlisten_tls = "192.0.2.1:8443"', ["0.0.0.0:80"], ["192.0.2.1:8443"]),
    ],
)
def test_where_it_listens(text, plain, tls):
    config = configured(text)
    assert [str(endpoint) for endpoint in config.endpoints()] == plain
    assert [str(endpoint) for endpoint in config.tls_endpoints()] == tls


@pytest.mark.parametrize(
    ("text", "key", "word"),
    [
        ('listen = "80"', "plugins.web.listen", 'expected "ADDRESS:PORT"'),
        ('listen = "ball.local:80"', "plugins.web.listen", 'expected "ADDRESS:PORT"'),
        ("listen = []", "plugins.web.listen", "enabled = false"),
        ('listen_tls = "443"', "plugins.web.listen_tls", 'expected "ADDRESS:PORT"'),
        ('listen_tls = ["auto", "127.0.0.1:443"]', "plugins.web.listen_tls", '"auto" alone'),
        ('listen = "0.0.0.0:80"\nlisten_tls = "0.0.0.0:80"', "plugins.web", "0.0.0.0:80 stands twice"),
        ('listen = ["0.0.0.0:80", "0.0.0.0:80"]', "plugins.web", "stands twice"),
        ('hosts = ["http://time.example.org/"]', "plugins.web.hosts[0]", "host name"),
        ('hosts = ["a", "time.example.org:80"]', "plugins.web.hosts[1]", "host name"),
        ('proxies = ["10.0.0.0/33"]', "plugins.web.proxies[0]", "address or a network"),
        ('proxies = ["the proxy"]', "plugins.web.proxies[0]", "address or a network"),
        ("changes_per_minute = 0", "plugins.web.changes_per_minute", "greater"),
        ('allow_http_admin = "yes"', "plugins.web.allow_http_admin", "true or false"),
        ('hsts = "on"', "plugins.web.hsts", "auto"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, key, word):
    with pytest.raises(BadConfig) as bad:
        configured(text)
    (problem,) = bad.value.problems
    assert problem.key.startswith(key.partition("[")[0])
    assert word in problem.message
    assert problem.position is not None


def test_https_stands_beside_http():
    assert beside([Endpoint("::", 80), Endpoint("127.0.0.1", 8080)]) == (
        Endpoint("::", 443),
        Endpoint("127.0.0.1", 8443),
    )
