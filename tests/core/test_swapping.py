"""The content of a state folder is exchanged whole, whatever cut comes in between, and comes back when it does not run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from appliance.core.swapping import MOST_TRIALS, Exchange


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "exchange" not in path.parts
    }


OLD = {
    "timeball.db": "old",
    "timeball.db-wal": "old wal",
    "people/trail": "old",
    "only-old/x": "1",
    "admin.sock": "s",
    "starts.json": "{}",
}
NEW = {"timeball.db": "new", "people/trail": "new", "only-new/y": "2", "overrides.toml": "new"}
STAYING = {"admin.sock": "s", "starts.json": "{}"}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def exchange(tmp_path):
    fill(tmp_path, OLD)
    exchange = Exchange(tmp_path)
    fill(exchange.clear(), NEW)
    exchange.arrange("a restore")
    return exchange


def test_nothing_changes_before_the_start(exchange) -> None:
    assert content(exchange.state_dir) == OLD
    assert exchange.plan().phase == "ready"


def test_a_start_takes_the_new_content_and_keeps_the_old_one(exchange) -> None:
    plan = exchange.begin()
    assert (plan.phase, plan.trials) == ("trial", 1)
    assert content(exchange.state_dir) == NEW | STAYING
    assert content(exchange.before) == {}, "content() leaves the exchange's own folders out"
    assert (exchange.before / "only-old/x").read_text() == "1"
    assert (exchange.before / "timeball.db-wal").exists(), (
        "a log of the old database must not be found by the new one"
    )
    exchange.settled()
    assert exchange.begin().phase == "done"
    assert content(exchange.state_dir) == NEW | STAYING


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("after", range(24))
def test_a_cut_after_any_step_is_gone_on_from(exchange, monkeypatch, after) -> None:
    """Renames and writes are counted; after so many of them nothing happens any more."""
    left = after
    real = {name: getattr(os, name) for name in ("rename", "replace")}

    def counted(name):
        def step(*arguments, **options):
            nonlocal left
            if left <= 0:
                raise Cut
            left -= 1
            return real[name](*arguments, **options)

        return step

    for name in real:
        monkeypatch.setattr(os, name, counted(name))
    with contextlib.suppress(Cut):
        exchange.begin()
    monkeypatch.undo()
    assert Exchange(exchange.state_dir).begin().phase == "trial"
    assert content(exchange.state_dir) == NEW | STAYING
    assert (exchange.before / "timeball.db").read_text() == "old"


def test_content_that_does_not_run_goes_back_by_itself(exchange) -> None:
    for _ in range(MOST_TRIALS):
        assert exchange.begin().phase == "trial"
        (exchange.state_dir / "made-meanwhile").write_text("x")
    plan = exchange.begin()
    assert plan.phase == "returned"
    assert content(exchange.state_dir) == OLD
    assert exchange.begin().phase == "returned"
    assert not exchange.before.exists()


def test_somebody_may_go_back_later(exchange) -> None:
    exchange.begin()
    exchange.settled()
    assert exchange.arrange_return()
    assert content(exchange.state_dir) == NEW | STAYING
    assert exchange.begin().phase == "returned"
    assert content(exchange.state_dir) == OLD
    assert not exchange.arrange_return(), "there is nothing to go back to"


def test_a_new_exchange_that_is_prepared_leaves_the_way_back_until_it_is_arranged(exchange) -> None:
    exchange.begin()
    exchange.settled()
    fill(exchange.clear(), {"timeball.db": "newest"})
    assert (exchange.before / "timeball.db").read_text() == "old"
    exchange.arrange("another")
    exchange.begin()
    assert content(exchange.state_dir) == {"timeball.db": "newest"} | STAYING
    assert (exchange.before / "timeball.db").read_text() == "new"


def test_without_a_plan_nothing_is_done(tmp_path) -> None:
    fill(tmp_path, OLD)
    assert Exchange(tmp_path).begin() is None
    (tmp_path / "exchange").mkdir()
    (tmp_path / "exchange/plan.json").write_text("[")
    assert Exchange(tmp_path).begin() is None
    assert content(tmp_path) == OLD
