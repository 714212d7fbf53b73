"""The appliance on top of Debian's packages: its files, its application, which units start, and what /var starts from."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from images.builder.errors import BuildError
from images.builder.progress import Progress
from images.builder.spec import Spec
from images.builder.tools import Tree

#: Where the state of /var at each start is copied from.
VAR = "usr/lib/timeball/var"
#: dpkg's list of packages, for `dpkg -l` and for programs that look for known holes.
DPKG = "usr/lib/sysimage/dpkg"
UNITS = ("etc/systemd/system", "usr/lib/systemd/system")


@dataclasses.dataclass(frozen=True)
class Release:
    """What is built, as it stands in /usr/lib/timeball/image.toml."""

    version: str
    commit: str
    built: int
    build: str

    def toml(self, spec: Spec) -> str:
        return (
            f'id = "{spec.id}"\nversion = "{self.version}"\nbuilt = {self.built}\n'
            f'compatible = "{spec.compatible}"\ncommit = "{self.commit}"\nbuild = "{self.build}"\n'
        )


def unpack(tar: Path, root: Path, tools: Tree) -> None:
    """The base into a folder of its own."""
    root.mkdir(parents=True)
    tools.run("tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", root, "-f", tar)


def copy_files(spec: Spec, root: Path) -> None:
    """The folders of files that the image's declaration names; later ones go over earlier ones."""
    for folder in spec.folders:
        for path in sorted(folder.rglob("*")):
            target = root / path.relative_to(folder)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif path.is_symlink():
                target.unlink(missing_ok=True)
                target.symlink_to(path.readlink())
            else:
                shutil.copyfile(path, target)
                target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def install(root: Path, deb: Path | None, tools: Tree, progress: Progress) -> None:
    """The application's package: unpacked and configured in the tree, by its own scripts."""
    if deb is None:
        progress.say("  no package of the application (make deb): the image starts without it")
        return
    inside = root / deb.name
    shutil.copyfile(deb, inside)
    try:
        Tree(root, progress).run(
            "dpkg",
            *("--force-confold", "--path-include=/usr/share/doc/timeball/*", "--install", f"/{deb.name}"),
            environment={"INITRD": "No", "PYTHONDONTWRITEBYTECODE": "1"},
            hint="A package that it depends on and that is missing belongs into system.packages of images/common.toml.",
        )
    finally:
        inside.unlink()
    code = root / "usr/lib/timeball"
    for cache in list(code.rglob("__pycache__")):
        shutil.rmtree(cache)
    tools.run(
        *("python3", "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"),
        *("-s", root, "-p", "/", code),
    )


def units(spec: Spec, root: Path, tools: Tree) -> None:
    """Enable, disable and mask what the declaration says.

    Raises:
        BuildError: a unit that must be there is not.
    """
    there = [name for name in spec.enable_if_there if _has(root, name)]
    for name in spec.enable:
        if not _has(root, name):
            raise BuildError(f"units.enable: no package of the image brings {name}")
    disable = [name for name in spec.disable if _has(root, name)]
    systemctl = ("systemctl", f"--root={root}", "--quiet")
    if disable:
        tools.run(*systemctl, "disable", *disable)
    tools.run(*systemctl, "enable", *spec.enable, *there)
    for name in spec.mask:
        mask = root / "etc/systemd/system" / name
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    generators = root / "etc/systemd/system-generators"
    generators.mkdir(exist_ok=True)
    for name in spec.mask_generators:
        (generators / name).symlink_to("/dev/null")


def finish(spec: Spec, root: Path, release: Release) -> None:
    """What makes a root file system one that is never written to."""
    for name in ("data", "boot", "var", "proc", "sys", "dev", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.symlink_to("/run/systemd/resolve/resolv.conf")
    (root / "etc/machine-id").write_bytes(b"")
    _lock_root(root)
    (root / "usr/lib/timeball").mkdir(exist_ok=True)
    (root / "usr/lib/timeball/image.toml").write_text(release.toml(spec))
    os_release = root / "usr/lib/os-release"
    lines = [line for line in os_release.read_text().splitlines() if not line.startswith("IMAGE_")]
    os_release.write_text("\n".join([*lines, f"IMAGE_ID={spec.id}", f"IMAGE_VERSION={release.version}", ""]))
    # systemd takes this file's time as the earliest that it can be, on a board without a clock.
    epoch = root / "usr/lib/clock-epoch"
    epoch.write_bytes(b"")
    os.utime(epoch, (release.built, release.built))
    _move_var(root)
    for folder in ("run", "tmp"):
        for path in (root / folder).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in ("etc/.pwd.lock", "etc/.updated", "usr/lib/timeball/var/.updated"):
        (root / name).unlink(missing_ok=True)
    for path in [*root.glob("etc/*-"), *root.glob("etc/ssh/ssh_host_*")]:
        path.unlink()


def _move_var(root: Path) -> None:
    """/var is a tmpfs; what packages expect in it is copied there at each start."""
    var, start = root / "var", root / VAR
    dpkg = root / DPKG
    dpkg.parent.mkdir(parents=True, exist_ok=True)
    if not dpkg.exists():
        (var / "lib/dpkg").rename(dpkg)
        (var / "lib/dpkg").symlink_to(f"/{DPKG}")
    for name in ("lib/dpkg/lock", "lib/dpkg/lock-frontend", "lib/dpkg/triggers/Lock"):
        (var / name).unlink(missing_ok=True)
    for name in (
        "cache",
        "lib/apt",
        "lib/ucf",
        "backups",
        "log",
        "lib/initramfs-tools",
        "lib/timeball",
        "lib/chrony",
    ):
        for path in [*(var / name).glob("*")]:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.rmtree(start, ignore_errors=True)
    start.mkdir(parents=True)
    for path in var.iterdir():
        path.rename(start / path.name)


def _lock_root(root: Path) -> None:
    """Nobody signs in as root by a password."""
    shadow = root / "etc/shadow"
    lines = [
        "root:!*:19000:0:99999:7:::" if line.startswith("root:") else line
        for line in shadow.read_text().splitlines()
    ]
    shadow.write_text("\n".join(lines) + "\n")


def _has(root: Path, unit: str) -> bool:
    name, at, rest = unit.partition("@")
    template = f"{name}@.{rest.rpartition('.')[2]}" if at else unit
    return any((root / folder / candidate).exists() for folder in UNITS for candidate in (unit, template))
