"""What survives a restart: nothing is forgotten by a write that fails, or that is cancelled half way."""

from __future__ import annotations

import asyncio

import pytest

from appliance.api.errors import StoreError
from appliance.core.cells import Cell
from appliance.core.clock import FakeClock
from appliance_monitor.board import Board
from appliance_monitor.keeping import keep
from appliance_monitor.standing import Standing


class Store:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    async def write(self, fn):
        if self.error:
            raise self.error


def board() -> Board:
    made = Board(Cell({}, clock=FakeClock()), lambda event: None)
    made.standings["m1"] = Standing("m1")
    made.dirty.add("m1")
    return made


async def test_what_was_written_is_clean():
    kept = board()
    await keep(Store(None), kept)
    assert kept.dirty == set()


async def test_a_failed_write_leaves_it_for_the_next_time():
    kept = board()
    await keep(Store(StoreError("disk full")), kept)
    assert kept.dirty == {"m1"}


async def test_a_cancelled_write_too():
    kept = board()
    with pytest.raises(asyncio.CancelledError):
        await keep(Store(asyncio.CancelledError()), kept)
    assert kept.dirty == {"m1"}
