"""RAUC in the image: which slots there are, who may sign, and where it keeps what it remembers."""

from __future__ import annotations

from pathlib import Path

from images.builder.spec import Spec

CONFIG, KEYRING = "etc/rauc/system.conf", "etc/rauc/keyring.pem"
#: Name of the slot for RAUC, its folder on the boot partition, role of its partition.
SLOTS = (("A", "a", "root-a"), ("B", "b", "root-b"))


def config(spec: Spec) -> str:
    """`system.conf` (RAUC manual, "System configuration file")."""
    text = f"""\
# Written when the image was built. The boot loader's state is kept by our own backend: appliance/boot.
[system]
compatible={spec.compatible}
bootloader=custom
bundle-formats=verity
data-directory=/data/updates/rauc
mountprefix=/run/rauc/mnt

[keyring]
path=/{KEYRING}
# A box whose clock is wrong must be able to take an update all the same.
use-bundle-signing-time=true

[handlers]
bootloader-custom-backend=/usr/libexec/timeball/rauc-boot
pre-install=/usr/libexec/timeball/rauc-allowed
"""
    for number, (name, folder, role) in enumerate(SLOTS):
        partuuid = spec.layout.role(role).partuuid(spec.layout)
        text += f"""
[slot.rootfs.{number}]
device=/dev/disk/by-partuuid/{partuuid}
type=raw
bootname={name}

[slot.boot.{number}]
device=/boot/{folder}
type=raw
parent=rootfs.{number}
"""
    return text


def install(spec: Spec, root: Path, keyring: bytes) -> None:
    """Put configuration and keyring into the root file system."""
    folder = root / "etc/rauc"
    folder.mkdir(parents=True, exist_ok=True)
    (root / CONFIG).write_text(config(spec))
    (root / KEYRING).write_bytes(keyring)
