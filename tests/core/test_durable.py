"""A file is the old one or the new one, whatever goes wrong on the way."""

from __future__ import annotations

import os
import stat

import pytest

from appliance.core import durable


def test_a_file_is_put_whole_with_its_permissions_and_nothing_beside_it(tmp_path) -> None:
    file = tmp_path / "made" / "state.json"
    for content in (b"first", b"", b"x" * 100_000):
        durable.put(file, content, 0o600)
        assert file.read_bytes() == content
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("step", ["fsync", "open"])
def test_a_disk_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step) -> None:
    file = tmp_path / "state.json"
    durable.put(file, b"old", 0o600)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        durable.put(file, b"new", 0o600)
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_nobody_is_led_elsewhere_by_a_link_in_the_way(tmp_path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / ".state.json.new").symlink_to(victim)
    with pytest.raises(OSError):
        durable.put(tmp_path / "state.json", b"new", 0o600)
    assert victim.read_bytes() == b"mine"
