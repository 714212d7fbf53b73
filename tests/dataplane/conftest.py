"""The ways to put a DNS message before the service: every check goes all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataplane.dns_stub import Asker, OnPaper, OverSockets, plain_stub


@pytest.fixture(params=["on paper", "python", "native"])
def asker(request: pytest.FixtureRequest) -> Iterator[Asker]:
    if request.param == "on paper":
        yield OnPaper(plain_stub())
        return
    asker = OverSockets(plain_stub(), plane=request.param)
    yield asker
    asker.close()


@pytest.fixture(params=["python", "native"])
def plane(request: pytest.FixtureRequest) -> str:
    """Every data plane, for tests of what the outside sees."""
    return str(request.param)
