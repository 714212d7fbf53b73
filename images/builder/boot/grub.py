"""GRUB for BIOS and UEFI: one configuration, one environment block, no installer.

`grub.cfg` and `slots.grub` (images/boot) choose the slot; appliance/boot says what the environment block holds.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from appliance.boot import grub_block
from appliance.boot.scheme import BootState
from images.builder.boot.loaders import unpacked
from images.builder.build import Build
from images.builder.disk import first_sector
from images.builder.spec import FOLDER

COMMON = (
    *("part_gpt", "part_msdos", "fat", "normal", "configfile", "linux", "loadenv", "test", "true", "echo"),
    *(
        "search",
        "search_label",
        "serial",
        "terminal",
        "terminfo",
        "reboot",
        "halt",
        "sleep",
        "minicmd",
        "ls",
        "cat",
    ),
    *("gzio", "all_video", "keystatus"),
)
#: Target of grub-mkimage: its own modules, and the name that UEFI firmware looks for.
EFI = {"amd64": ("x86_64-efi", "BOOTX64.EFI"), "arm64": ("arm64-efi", "BOOTAA64.EFI")}
#: Offsets in GRUB's boot.img and diskboot.img (include/grub/i386/pc/boot.h): where the rest is read from.
KERNEL_SECTOR, BLOCK_LIST = 0x5C, 0x1F4
#: Bytes of the first sector before the partition table and the disk's signature.
BOOT_CODE = 440


def slot(build: Build) -> None:
    """Kernel, initramfs, and what GRUB has to know about them."""
    folder = build.slot_files
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(build.kernel.image, folder / "vmlinuz")
    shutil.copyfile(build.kernel.initrd, folder / "initrd.img")
    (folder / "slot.cfg").write_text(
        f'set slot_title="Timeball {build.release.version}"\n'
        f'set slot_arguments="{" ".join(build.spec.arguments)}"\n'
    )


def boot(build: Build) -> None:
    """GRUB itself, its configuration, its environment, and slot A."""
    tree = build.boot_tree
    (tree / "grub").mkdir(parents=True)
    (tree / "EFI/BOOT").mkdir(parents=True)
    shutil.copytree(build.slot_files, tree / "a")
    (tree / "b").mkdir()
    layout = build.spec.layout
    text = (FOLDER / "boot/grub.cfg").read_text()
    for role in ("root-a", "root-b"):
        text = text.replace(f"@{role}@", layout.role(role).partuuid(layout))
    (tree / "grub/grub.cfg").write_text(text)
    shutil.copyfile(FOLDER / "boot/slots.grub", tree / "grub/slots.cfg")
    factory = BootState()
    (tree / "grub/grubenv").write_bytes(grub_block.encode(factory, {}))
    (tree / "last_good.env").write_bytes(grub_block.pack({"LAST_GOOD": factory.last_good}))
    target, name = EFI[build.spec.architecture]
    _mkimage(build, target, tree / "EFI/BOOT" / name, "/grub", ())


def contents(build: Build) -> dict[str, Path]:
    """GRUB's core for BIOS machines; its place on the disk is written into it by `finish`."""
    if not _bios(build):
        return {}
    core = build.work / "core.img"
    number = build.spec.layout.role("boot").number
    _mkimage(build, "i386-pc", core, f"(,gpt{number})/grub", ("biosdisk",))
    return {"bios-boot": core}


def finish(build: Build, disk: Path) -> None:
    """The first sector's code, and the two places that say where GRUB's core lies."""
    if not _bios(build):
        return
    core = first_sector(disk, build.spec.layout, "bios-boot")
    code = bytearray((build.tools.root / "usr/lib/grub/i386-pc/boot.img").read_bytes())
    struct.pack_into("<Q", code, KERNEL_SECTOR, core)
    with disk.open("r+b") as file:
        file.write(code[:BOOT_CODE])
        file.seek(core * 512 + BLOCK_LIST)
        file.write(struct.pack("<Q", core + 1))


def _bios(build: Build) -> bool:
    return any(partition.role == "bios-boot" for partition in build.spec.layout.partitions)


def _mkimage(build: Build, target: str, out: Path, prefix: str, more: tuple[str, ...]) -> None:
    """`grub-mkimage`; modules come from the tools, or, for another architecture, from a package of its own."""
    modules = f"usr/lib/grub/{target}"
    # What a tool sees of itself has no folder in front.
    folder, inside = build.tools.root / modules, Path("/") / modules
    if not folder.exists():
        folder = inside = unpacked(build, (f"grub-efi-{build.spec.architecture}-bin",)) / modules
    names = [name for name in (*COMMON, *more) if (folder / f"{name}.mod").exists()]
    build.tools.run("grub-mkimage", "-O", target, "-d", inside, "-p", prefix, "-o", out, *names)
