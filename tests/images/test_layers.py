"""The cache of layers forgets what nobody asks for, and nothing else."""

from __future__ import annotations

import os
import time

from images.builder import layers

HASH = "0123456789abcdef"
NOW_S = time.clock_gettime(time.CLOCK_REALTIME)


def test_layers_of_a_month_and_remains_of_dead_builds_go(tmp_path):
    dead = 2**22 + 5  # above the kernel's limit of process ids
    names = [f"tools-{HASH}", f"base-amd64-{HASH}.tar", f"start-arm64-{HASH}", f"loaders-arm64-{HASH}"]
    for name in names:
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (NOW_S - layers.UNUSED_S - 1, 0))
    remains = [f"work-timeball-vm-amd64-{dead}", f"base-amd64-{HASH}.{dead}.tar", f"tools-{HASH}.{dead}"]
    alive = [f"work-timeball-vm-amd64-{os.getpid()}", f"base-amd64-{HASH}.{os.getpid()}.tar"]
    others = ["logs", "development.key", "development.pub"]
    for name in (*remains, *alive, *others):
        (tmp_path / name).write_text("")
    layers.used(tmp_path / names[0])
    assert layers.made_on(tmp_path / names[0]) == "1970-01-01", "using it does not make it younger"
    assert set(layers.tidy(tmp_path, NOW_S)) == {*names[1:], *remains}
    assert {path.name for path in tmp_path.iterdir()} == {names[0], *alive, *others}
