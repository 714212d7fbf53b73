"""The image as it lies there: what must be in it, and what must not."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tomllib
import uuid
from pathlib import Path

from images.testing.bench import Bench, Failed, case, check

SECTOR = 512
#: Programs with another's rights; everything else of that kind is a mistake.
SETUID = {
    "usr/bin/chfn", "usr/bin/chsh", "usr/bin/gpasswd", "usr/bin/mount", "usr/bin/newgrp", "usr/bin/passwd", "usr/bin/su",
    "usr/bin/umount", "usr/lib/dbus-1.0/dbus-daemon-launch-helper", "usr/lib/openssh/ssh-keysign", "usr/bin/chage",
    "usr/bin/expiry", "usr/sbin/unix_chkpwd", "usr/bin/ssh-agent", "usr/bin/crontab",
}  # fmt: skip


@case(2, "image lint: partitions", shared=True)
def partitions(bench: Bench) -> str:
    """The table is the declared one; labels are there, root B is empty."""
    layout = bench.spec.layout
    found = _gpt(bench.image) if layout.table == "gpt" else _mbr(bench.image)
    check(
        len(found) == len(layout.partitions), f"{len(found)} partitions instead of {len(layout.partitions)}"
    )
    for declared, (identity, first, count) in zip(layout.partitions, found, strict=True):
        check(identity == declared.partuuid(layout), f"{declared.name}: PARTUUID {identity}")
        check(count * SECTOR == declared.size_mib << 20, f"{declared.name}: {count} sectors")
        check(first % 2048 == 0, f"{declared.name}: not aligned to 1 MiB")
    starts = {p.role: first for p, (_, first, _) in zip(layout.partitions, found, strict=True)}
    boot = _read(bench.image, starts["boot"], SECTOR)
    check(boot[71:82] == b"TIMEBALL   ", f"boot has the label {boot[71:82]!r}")
    data = _read(bench.image, starts["data"], 4096)
    check(data[1024 + 120 :][:16].rstrip(b"\0") == b"timeball-data", "data has not its label")
    check(not any(_read(bench.image, starts["root-b"], 1 << 20)), "root B is not empty")
    return (
        f"{bench.image.stat().st_size >> 20} MiB, {bench.image.stat().st_blocks * 512 >> 20} MiB of it used"
    )


@case(2, "image lint: root file system", shared=True)
def root(bench: Bench) -> str:
    """No secret, no identity, no password, no address of a mirror; a licence for every package."""
    squashed = bench.folder / f"{bench.id}.parts/root.squashfs"
    tree = bench.work / "root"
    if not tree.exists():
        program = shutil.which("unsquashfs", path="/usr/bin:/usr/sbin")
        check(program, "unsquashfs is missing: sudo packaging/install-image-tools.sh")
        subprocess.run(
            [str(program), "-no-progress", "-quiet", "-d", str(tree), str(squashed)],
            check=True, capture_output=True,
        )  # fmt: skip
    slot_mib = bench.spec.layout.role("root-a").size_mib
    check(squashed.stat().st_size <= slot_mib << 19, "root takes more than half of its slot")
    check((tree / "etc/machine-id").read_bytes() == b"", "/etc/machine-id is not empty")
    check(not list(tree.glob("etc/ssh/ssh_host_*")), "there are SSH host keys")
    check(
        not list((tree / "etc/apt").rglob("*.list")) + list((tree / "etc/apt").rglob("*.sources")),
        "apt sources",
    )
    check(
        not list((tree / "boot").iterdir()) and not list((tree / "data").iterdir()),
        "/boot or /data is not empty",
    )
    open_ = [
        line for line in (tree / "etc/shadow").read_text().splitlines() if line.split(":")[1][:1] not in "!*"
    ]
    check(not open_, f"accounts with a password, or with none: {open_}")
    image = tomllib.loads((tree / "usr/lib/timeball/image.toml").read_text())
    check(image["id"] == bench.id, f"image.toml says {image}")
    _owners(bench, tree)
    _rights(tree)
    _keys(tree)
    return f"{squashed.stat().st_size >> 20} MiB, {_licences(tree)} packages"


def _owners(bench: Bench, tree: Path) -> None:
    users = dict(re.findall(r"^([^:]+):[^:]*:(\d+):", (tree / "etc/passwd").read_text(), re.MULTILINE))
    for name, number in bench.spec.users.items():
        check(users.get(name) == str(number), f"user {name} has the number {users.get(name)}, not {number}")


def _rights(tree: Path) -> None:
    special = {
        str(path.relative_to(tree))
        for path in tree.rglob("*")
        if not path.is_symlink() and path.is_file() and path.stat().st_mode & 0o6000
    }
    check(special <= SETUID, f"programs with another's rights: {sorted(special - SETUID)}")


def _keys(tree: Path) -> None:
    mark = b"-----BEGIN " + b"PRIVATE KEY"
    kinds = (mark, b"-----BEGIN OPENSSH " + b"PRIVATE KEY", b"-----BEGIN RSA " + b"PRIVATE KEY")
    for folder in ("etc", "root", "home", "usr/share/timeball", "usr/lib/timeball"):
        for path in (tree / folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix not in {".py", ".pyc", ".so", ".md"}:
                check(not any(kind in path.read_bytes() for kind in kinds), f"{path} has a private key")


def _licences(tree: Path) -> int:
    """Every package has its copyright file (or shares the folder of one that has)."""
    status = (tree / "usr/lib/sysimage/dpkg/status").read_text()
    names = re.findall(r"^Package: (\S+)$", status, re.MULTILINE)
    for name in names:
        check((tree / "usr/share/doc" / name / "copyright").exists(), f"no licence of {name}")
    return len(names)


def _gpt(image: Path) -> list[tuple[str, int, int]]:
    entries = []
    for at in range(1024, 1024 + 128 * 128, 128):
        entry = _read(image, 0, at + 128)[at:]
        if any(entry[:16]):
            first, last = struct.unpack("<QQ", entry[32:48])
            entries.append((str(uuid.UUID(bytes_le=entry[16:32])), first, last - first + 1))
    return entries


def _mbr(image: Path) -> list[tuple[str, int, int]]:
    block = _read(image, 0, SECTOR)
    if block[510:] != b"\x55\xaa":
        raise Failed("no partition table")
    (signature,) = struct.unpack("<I", block[440:444])
    entries = []
    for number in range(4):
        first, count = struct.unpack("<II", block[446 + 16 * number + 8 :][:8])
        if count:
            entries.append((f"{signature:08x}-{number + 1:02x}", first, count))
    return entries


def _read(image: Path, sector: int, count: int) -> bytes:
    with image.open("rb") as file:
        file.seek(sector * SECTOR)
        return file.read(count)
