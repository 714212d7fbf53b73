"""U-Boot on the Raspberry Pi: the firmware starts it, and its scripts choose and start a slot (images/boot)."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

from appliance.boot import grub_block, keeping, uboot_env
from appliance.boot.scheme import BootState
from images.builder.boot import raspberry
from images.builder.boot.loaders import licences, unpacked
from images.builder.boot.uboot_binary import with_built_in
from images.builder.build import Build
from images.builder.errors import BuildError
from images.builder.spec import FOLDER

SCRIPTS = FOLDER / "boot"
PACKAGES = ("raspi-firmware", "u-boot-rpi")
#: One build for the models 3, 4, 5 and Zero 2 W.
BINARY = "usr/lib/u-boot/rpi_arm64/u-boot.bin"
#: Built-in variables that make room for ours. preboot starts USB, which only a keyboard would want.
UNUSED = {"preboot": "", "dhcpuboot": "", "usb_ignorelist": ""}
#: U-Boot unpacks into 61 MiB between the kernel's place and the device tree's (slot.uboot).
LARGEST_KERNEL = 61 * 1024 * 1024
#: From the initramfs's place to where an emulated board keeps its device tree.
LARGEST_INITRD = 32 * 1024 * 1024


def slot(build: Build) -> None:
    """Kernel, initramfs, device trees, overlays, and the script that starts them.

    Raises:
        BuildError: one of them does not fit into the memory that the script gives it.
    """
    folder = build.slot_files
    folder.mkdir(parents=True, exist_ok=True)
    image = build.kernel.image.read_bytes()
    if len(image) > LARGEST_KERNEL or build.kernel.initrd.stat().st_size > LARGEST_INITRD:
        raise BuildError(
            "kernel or initramfs are larger than the room in memory that images/boot/slot.uboot gives them"
        )
    # U-Boot reads a card slowly, and unpacks fast.
    (folder / "kernel.gz").write_bytes(gzip.compress(image, 9, mtime=0))
    shutil.copyfile(build.kernel.initrd, folder / "initrd.img")
    raspberry.device_trees(build.root, build.kernel.version, folder / "dtb/broadcom")
    raspberry.overlays(build, folder / "overlays", folder / "dtb/broadcom")
    layout = build.spec.layout
    text = (SCRIPTS / "slot.uboot").read_text()
    text = text.replace("@arguments@", " ".join(build.spec.arguments))
    for role in ("root-a", "root-b"):
        text = text.replace(f"@{role}@", layout.role(role).partuuid(layout))
    _script(build, text, folder / "boot.scr", f"Timeball {build.release.version}")


def boot(build: Build) -> None:
    """The firmware, U-Boot, its environment, what people may write into, and slot A."""
    tree = build.boot_tree
    loaders = unpacked(build, PACKAGES)
    licences(loaders, PACKAGES, build.root)
    raspberry.firmware(loaders, tree)
    raspberry.device_trees(build.root, build.kernel.version, tree)
    binary = (loaders / BINARY).read_bytes()
    (tree / "u-boot.bin").write_bytes(with_built_in(binary, uboot_env.FIXED | UNUSED))
    _script(build, boot_script(), tree / "boot.scr", "Timeball")
    factory = BootState()
    (tree / "uboot.env").write_bytes(uboot_env.encode(factory, {}))
    (tree / keeping.LAST_GOOD).write_bytes(grub_block.pack({"LAST_GOOD": factory.last_good}))
    shutil.copytree(build.slot_files, tree / "a")
    (tree / "b").mkdir()


def contents(build: Build) -> dict[str, Path]:
    """No partition but those of every image."""
    del build
    return {}


def finish(build: Build, disk: Path) -> None:
    """Nothing outside of file systems: the firmware reads files."""
    del build, disk


def boot_script() -> str:
    """The root's boot.scr, as text: the choice of the slot is a script that tests run for itself."""
    return (SCRIPTS / "boot.uboot").read_text().replace("@slots@\n", (SCRIPTS / "slots.uboot").read_text())


def _script(build: Build, text: str, target: Path, title: str) -> None:
    """Text as an image that U-Boot's `source` takes.

    Raises:
        BuildError: a placeholder was not replaced.
    """
    left = re.search(r"^[^#]*@[a-z-]+@", text, re.MULTILINE)
    if left:
        raise BuildError(f"{target.name}: not replaced: {left.group()}")
    plain = build.work / "script.txt"
    # Comments cost memory and time where a script is read byte by byte.
    plain.write_text(
        "".join(
            f"{line}\n" for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
        )
    )
    build.tools.run(
        *(
            "mkimage",
            "-A",
            "arm64",
            "-O",
            "linux",
            "-T",
            "script",
            "-C",
            "none",
            "-n",
            title,
            "-d",
            plain,
            target,
        ),
        environment={"SOURCE_DATE_EPOCH": str(build.release.built)},
    )
