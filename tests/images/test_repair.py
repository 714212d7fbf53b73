"""The data partition's repair, with the program that does it in the initramfs, on file systems in files."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import need
from tests.support.tree import ROOT

FUNCTIONS = ROOT / "images/files/common/usr/share/initramfs-tools/timeball-functions"
BLOCK, MIB = 4096, 1 << 20
#: Where the first block's copies are, in blocks: the groups 1, 3, 5 and 7 of 32768 blocks.
COPIES = (32768, 98304, 163840, 229376)
NEEDS_RECOVERY = 0x4


def debugfs(path: Path, *commands: str) -> str:
    script = path.with_suffix(".commands")
    script.write_text("\n".join(commands) + "\n")
    return subprocess.run(
        [need("debugfs"), "-w", "-f", script, path], check=True, capture_output=True, text=True
    ).stdout


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def in_use(block: bytes) -> bytes:
    """A superblock of 1024 bytes as it is while the file system is mounted: its journal has to be replayed."""
    (features,) = struct.unpack_from("<I", block, 96)
    body = bytearray(block[:1020])
    struct.pack_into("<I", body, 96, features | NEEDS_RECOVERY)
    return bytes(body) + struct.pack("<I", crc32c(body))


@pytest.fixture
def cut(tmp_path) -> Path:
    """A file system with a file in it after a cut: its first block is in the journal, and what it says is in its copies too.

    So the kernel leaves one that was grown while it was mounted.
    """
    path = tmp_path / "data"
    with path.open("wb") as file:
        file.truncate(1024 * MIB)
    subprocess.run(
        [
            need("mke2fs"),
            *[
                "-q",
                "-F",
                "-t",
                "ext4",
                "-b",
                "4096",
                "-i",
                "16384",
                "-J",
                "size=32",
                "-m",
                "0",
                "-L",
                "timeball-data",
            ],
            path,
        ],
        check=True,
    )
    kept = tmp_path / "kept"
    kept.write_bytes(bytes(range(256)) * 2000)
    debugfs(path, f"write {kept} kept")
    with path.open("r+b") as file:
        first = file.read(BLOCK)
        live = tmp_path / "first"
        live.write_bytes(first[:1024] + in_use(first[1024:2048]) + first[2048:])
    debugfs(path, "jo", f"jw -b 0 {live}", "jc")
    with path.open("r+b") as file:
        for copy in COPIES:
            file.seek(copy * BLOCK)
            block = in_use(file.read(1024))
            file.seek(copy * BLOCK)
            file.write(block)
    return path


def repaired(path: Path) -> tuple[int, str]:
    """What the initramfs does with it: exit code, and what it tells."""
    run = path.with_name("run")
    run.mkdir()
    text = FUNCTIONS.read_text().replace("/run/timeball", str(run / "timeball"))
    assert "check_data() {" in text
    (run / "functions").write_text(text)
    script = f'. "{run}/functions"; say() {{ echo "$@"; }}; data_dev="{path}"; check_data'
    done = subprocess.run(
        ["sh", "-c", script], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    note = run / "timeball" / "data-repaired"
    return done.returncode, note.read_text() if note.exists() else ""


def whole(path: Path) -> bool:
    """Whether nothing is wrong with it and the file is in it."""
    checked = subprocess.run([need("e2fsck"), "-f", "-n", path], check=False, capture_output=True)
    return checked.returncode == 0 and "kept" in debugfs(path, "ls")


def test_after_a_cut_the_journal_is_replayed_and_nothing_is_told(cut):
    assert repaired(cut) == (0, "")
    assert whole(cut)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_first_block_that_is_gone_comes_back_from_a_copy(cut, lost):
    """A pass that starts from a copy stops when it has replayed the journal; what it leaves calls itself clean."""
    with cut.open("r+b") as file:
        for block in (0, *COPIES)[:lost]:
            file.seek(block * BLOCK + (1024 if block == 0 else 0))
            file.write(bytes(1024))
    code, told = repaired(cut)
    assert (code, told.partition(";")[0]) == (0, "the data partition was damaged and has been repaired"), told
    assert whole(cut)


def test_what_has_no_first_block_left_cannot_be_repaired(cut):
    with cut.open("r+b") as file:
        for block in (0, *COPIES):
            file.seek(block * BLOCK)
            file.write(bytes(2048))
    assert repaired(cut) == (1, "")
