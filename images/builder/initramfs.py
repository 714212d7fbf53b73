"""Kernel and initramfs of a root file system, taken out of it: they lie on the boot partition.

Building one takes ten seconds, under emulation a minute: it is kept as long as packages, scripts and modules stay.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from images.builder.digest import key
from images.builder.errors import BuildError
from images.builder.layers import used
from images.builder.progress import Progress
from images.builder.spec import Spec
from images.builder.tools import Tree

#: zstd's level.
LEVEL = 19
#: Parts of the files' folders that get into an initramfs.
INTO = ("usr/share/initramfs-tools", "etc/initramfs-tools", "etc/e2fsck.conf")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What a boot loader loads."""

    version: str
    image: Path
    initrd: Path


def kernel(
    spec: Spec, base: str, root: Path, cache: Path, tools: Tree, progress: Progress, *, refresh: bool = False
) -> Kernel:
    """Kernel and initramfs of the tree `root`, whose base has the key `base`; unneeded drivers are dropped from it."""
    versions = sorted(path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    if len(versions) != 1:
        raise BuildError(f"an image has one kernel; the packages bring {', '.join(versions) or 'none'}")
    version = versions[0]
    _drop(spec, root, version, tools)
    (root / "etc/initramfs-tools/modules").write_text("\n".join(_modules(spec, root, version)) + "\n")

    scripts = [folder / part for folder in spec.folders for part in INTO if (folder / part).exists()]
    folder = (
        cache
        / f"start-{spec.architecture}-{key(4, LEVEL, base, spec.modules, spec.drop, spec.epoch, *scripts)}"
    )
    made = Kernel(version, folder / "vmlinuz", folder / "initrd.img")
    if made.initrd.exists() and not refresh:
        progress.cached("kernel and initramfs", folder.name)
        used(folder)
    else:
        with progress.stage("kernel and initramfs"):
            # Under emulation compressing takes minutes: in there as little as possible, and outside once more.
            Tree(root, progress).run(
                *("mkinitramfs", "-c", "zstd", "-l", "1", "-o", "/boot/timeball-initrd", version),
                environment={"SOURCE_DATE_EPOCH": str(spec.epoch)},
            )
            folder.mkdir(exist_ok=True)
            shutil.copyfile(root / f"boot/vmlinuz-{version}", made.image)
            plain = folder / "initrd"
            tools.run("zstd", "-q", "-f", "-d", root / "boot/timeball-initrd", "-o", plain)
            tools.run("zstd", "-q", "-f", "-T1", f"-{LEVEL}", plain, "-o", folder / "initrd.new")
            plain.unlink()
            # Last, and in one step: it is what tells that the folder is complete.
            (folder / "initrd.new").rename(made.initrd)
    shutil.rmtree(root / "boot")
    for name in ("vmlinuz", "initrd.img", "vmlinuz.old", "initrd.img.old"):
        (root / name).unlink(missing_ok=True)
    return made


def tidy(root: Path, version: str) -> None:
    """Leave out of the system what lies on the boot partition: newer packages keep kernel and device trees with the modules."""
    folder = root / f"usr/lib/modules/{version}"
    for name in ("vmlinuz", "System.map"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "dtb", ignore_errors=True)
    shutil.rmtree(root / f"usr/lib/linux-image-{version}", ignore_errors=True)


def _modules(spec: Spec, root: Path, version: str) -> list[str]:
    """The modules that this kernel has; others of the list are built in, or another architecture's."""
    there = {
        path.name.split(".ko")[0].replace("-", "_")
        for path in (root / f"usr/lib/modules/{version}").rglob("*.ko*")
    }
    return [name for name in dict.fromkeys(spec.modules) if name.replace("-", "_") in there]


def _drop(spec: Spec, root: Path, version: str, tools: Tree) -> None:
    modules = root / f"usr/lib/modules/{version}"
    for name in spec.drop:
        shutil.rmtree(modules / name, ignore_errors=True)
    # They are compressed again with everything else; the kernel need not do that one by one, with a big dictionary each.
    tools.run("find", modules, "-name", "*.ko.xz", "-exec", "xz", "-d", "{}", "+")
    tools.run("depmod", "-b", root, version)
