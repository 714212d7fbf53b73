"""Snapshots of the state: whole, with their rights, and no more of them than are needed."""

from __future__ import annotations

import json
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance_updates import record, snapshots


def test_a_snapshot_has_everything_with_its_rights_and_a_restore_takes_away_what_came_later(box):
    state = box.root / "data/timeball"
    (state / "secrets").mkdir(mode=0o700)
    (state / "secrets/key").write_text("k")
    (state / "secrets/key").chmod(0o600)
    (state / "updates/uploads").mkdir(parents=True)
    (state / "updates/uploads/big.raucb").write_text("not kept")
    (state / "link").symlink_to("secrets/key")
    snapshots.take(box.root, "one")
    (state / "secrets/key").write_text("changed")
    (state / "later").write_text("new")
    (state / "link").unlink()
    snapshots.restore(box.root, "one", "aside")
    assert (state / "secrets/key").read_text() == "k"
    assert (state / "secrets/key").stat().st_mode & 0o777 == 0o600
    assert (state / "link").readlink().name == "key"
    assert not (state / "later").exists()
    assert (state / "updates/uploads/big.raucb").exists()
    assert (box.root / snapshots.PLACE / "aside/state/later").read_text() == "new"


def test_of_snapshots_the_latest_stay_and_those_that_are_needed(box):
    for name in "abcdef":
        snapshots.take(box.root, name)
    snapshots.prune(box.root, {"a"})
    assert "a" in snapshots.names(box.root)
    assert len(snapshots.names(box.root)) == snapshots.KEPT


def test_a_database_that_is_written_to_is_copied_whole(box):

    live = sqlite3.connect(box.root / "data/timeball/timeball.db")
    live.execute("INSERT INTO written VALUES ('not committed')")
    try:
        snapshots.take(box.root, "live")
    finally:
        live.rollback()
        live.close()
    copy = sqlite3.connect(box.root / snapshots.PLACE / "live/state/timeball.db")
    assert copy.execute("SELECT what FROM written").fetchall() == [("by the old one",)]
    copy.close()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
@settings(max_examples=50)
def test_a_hostile_record_is_an_empty_one(tmp_path_factory, value):
    root = tmp_path_factory.mktemp("r")
    (root / "data/updates").mkdir(parents=True)
    (root / record.FILE).write_text(json.dumps(value))
    assert record.load(root).pending is None
