"""What is special to the Raspberry Pi: its firmware's files, device trees of its models, overlays for what is plugged in."""

from __future__ import annotations

import shutil
from pathlib import Path

from images.builder.build import Build
from images.builder.errors import BuildError
from images.builder.spec import FOLDER

FILES = FOLDER / "boot/pi"
#: Read by the boot ROM (bootcode.bin; models 3 and Zero 2 W) or the EEPROM (models 4 and 5, which need none of them).
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
#: Device trees, as the kernel calls them; the firmware (upstream_kernel=1) and U-Boot look for these names.
MODELS = {
    "bcm2837-rpi-3-a-plus.dtb": "3 A+",
    "bcm2837-rpi-3-b.dtb": "3 B",
    "bcm2837-rpi-3-b-plus.dtb": "3 B+",
    "bcm2837-rpi-zero-2-w.dtb": "Zero 2 W",
    "bcm2711-rpi-4-b.dtb": "4 B",
    "bcm2711-rpi-400.dtb": "400",
    "bcm2712-rpi-5-b.dtb": "5 B",
    "bcm2712-d-rpi-5-b.dtb": "5 B, second stepping",
}
#: Families of chips: what differs is where pins and buses are.
FAMILIES = ("2835", "2712")
#: Clock chips by the name in hardware.txt: name in a device tree, address (hexadecimal). Each has a driver in Debian's kernel.
CLOCKS = {
    "ds1307": ("dallas,ds1307", "68"),
    "ds3231": ("maxim,ds3231", "68"),
    "pcf8523": ("nxp,pcf8523", "68"),
    "pcf8563": ("nxp,pcf8563", "51"),
    "pcf85063": ("nxp,pcf85063a", "51"),
}


def firmware(loaders: Path, tree: Path) -> None:
    """Files that the Pi itself looks for in the root of the first partition, and those that people write into."""
    for name in FIRMWARE:
        shutil.copyfile(loaders / "usr/lib/raspi-firmware" / name, tree / name)
    for name in ("config.txt", "hardware.txt", "cmdline.txt"):
        # Windows' editors of old show one long line without the carriage returns.
        (tree / name).write_bytes((FILES / name).read_bytes().replace(b"\n", b"\r\n"))
    shutil.copyfile(loaders / "usr/share/doc/raspi-firmware/copyright", tree / "LICENCE-firmware.txt")


def device_trees(root: Path, version: str, folder: Path) -> None:
    """The kernel's own device trees.

    Raises:
        BuildError: the kernel has none for one of the models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = (
        root / f"usr/lib/modules/{version}/dtb/broadcom",
        root / f"usr/lib/linux-image-{version}/broadcom",
    )
    for name, model in MODELS.items():
        found = next((place / name for place in places if (place / name).exists()), None)
        if found is None:
            raise BuildError(f"kernel {version} has no device tree for the Raspberry Pi {model} ({name})")
        shutil.copyfile(found, folder / name)


def overlays(build: Build, folder: Path, trees: Path) -> None:
    """Device tree overlays that U-Boot puts on top, for what hardware.txt names.

    Raises:
        BuildError: one of them does not fit onto a model's tree.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        for name, (compatible, address) in CLOCKS.items():
            text = (FILES / f"overlays/rtc-{family}.dts").read_text()
            text = text.replace("@compatible@", compatible).replace("@address@", address)
            _compile(build, text, folder / f"rtc-{name}-{family}.dtbo")
        _compile(build, (FILES / f"overlays/pps-{family}.dts").read_text(), folder / f"pps-{family}.dtbo")
    for tree, model in MODELS.items():
        family = "2712" if tree.startswith("bcm2712") else "2835"
        build.tools.run(
            *("fdtoverlay", "-i", trees / tree, "-o", build.work / "overlaid.dtb"),
            *sorted(folder.glob(f"*-{family}.dtbo")),
            hint=f"The kernel's device tree of the Raspberry Pi {model} has other labels than images/boot/pi/overlays expect.",
        )


def _compile(build: Build, text: str, target: Path) -> None:
    source = build.work / "overlay.dts"
    source.write_text(text)
    build.tools.run("dtc", "-@", "-q", "-I", "dts", "-O", "dtb", "-o", target, source)
