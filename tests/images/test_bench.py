"""The bench of image tests: cases do not get in each other's way."""

from __future__ import annotations

from pathlib import Path

from images.testing.bench import Bench, Case, Failed, run
from images.testing.machine import Hardware, Machine


class Counted(Machine):
    """A machine that tells whether it was switched off; no QEMU is needed for that."""

    on = True

    def cut(self) -> None:
        self.on = False


def test_a_machine_that_a_failed_case_leaves_behind_is_off_before_the_next_case(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"")
    left = Counted(disk, tmp_path / "left", Hardware())
    seen = []

    def fails(bench: Bench) -> str:
        bench.keep(left)
        raise Failed("on purpose")

    def looks(_bench: Bench) -> str:
        seen.append(left.on)
        return ""

    cases = [
        Case(1, "fails", (), slow=False, shared=False, check=fails),
        Case(2, "looks", (), slow=False, shared=False, check=looks),
    ]
    assert run(Bench("vm-amd64", tmp_path, tmp_path), cases) == 1
    assert seen == [False]
