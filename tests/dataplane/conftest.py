"""The two ways to put a DNS message before the service: every check goes both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataplane.dns_stub import Asker, OnPaper, OverSockets, plain_stub


@pytest.fixture(params=["on paper", "over sockets"])
def asker(request: pytest.FixtureRequest) -> Iterator[Asker]:
    if request.param == "on paper":
        yield OnPaper(plain_stub())
        return
    asker = OverSockets(plain_stub())
    yield asker
    asker.close()
