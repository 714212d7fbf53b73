"""Where settings may wait for the box: the boot partition, a stick, what the hypervisor handed over, a NoCloud disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.api.agent import Runs, words
from appliance_box.preseed import MOST_BYTES, Reading, cloud, imager, own

Reader = Callable[[bytes], Reading]

IMAGER_FILES: Final[Mapping[str, Reader]] = {"rpi-preseed.toml": imager.read, "custom.toml": imager.read}
CLOUD_FILES: Final[Mapping[str, Reader]] = {
    "user-data": cloud.read_user_data,
    "network-config": cloud.read_network_config,
}
OWN_FILES: Final[Mapping[str, Reader]] = {"timeball.toml": own.read}
ALL_FILES: Final[Mapping[str, Reader]] = {**IMAGER_FILES, **CLOUD_FILES, **OWN_FILES}
#: What Imager writes for an image that it takes for another kind of system: a script.
SCRIPT: Final = "firstrun.sh"


@dataclass(frozen=True, slots=True)
class Medium:
    """One place.

    Attributes:
        called: as people know it.
        folder: where its files are now.
        files: names in the order in which they count, each with what reads it.
        ours: secrets are taken out of its files, and problems are written beside them.
    """

    called: str
    folder: Path
    files: Mapping[str, Reader]
    ours: bool = False


@contextlib.contextmanager
def media(root: Path, program: Runs, environment: Mapping[str, str]) -> Iterator[list[Medium]]:
    """Every place that there is, the one that counts most first; what had to be mounted is taken away afterwards."""
    with contextlib.ExitStack() as mounted:
        found = [Medium("boot partition", root / "boot", ALL_FILES, ours=True)]
        if folder := mounted.enter_context(_labelled(root, program, "CONFIG")):
            found.append(Medium("stick CONFIG", folder, ALL_FILES))
        if handed := environment.get("CREDENTIALS_DIRECTORY"):
            found.append(Medium("credential", Path(handed), OWN_FILES))
        for label in ("cidata", "CIDATA"):
            if folder := mounted.enter_context(_labelled(root, program, label)):
                found.append(Medium(f"disk {label}", folder, CLOUD_FILES))
                break
        yield found


@contextlib.contextmanager
def _labelled(root: Path, program: Runs, label: str) -> Iterator[Path | None]:
    """A disk with that label, mounted for reading; None when there is none that can be mounted."""
    device = root / "dev/disk/by-label" / label
    if device.is_dir():  # below another root, a folder plays the disk
        yield device
        return
    if not device.exists():
        yield None
        return
    point = root / "run/timeball-box" / f"disk-{label}"
    point.mkdir(parents=True, exist_ok=True)
    done = program("mount", "-o", "ro,nosuid,nodev,noexec", str(device), str(point), timeout_s=20.0)
    if done.status != 0:
        os.write(2, f"the disk {label} cannot be mounted: {words(done.said)}\n".encode())
        yield None
        return
    try:
        yield point
    finally:
        program("umount", str(point), timeout_s=20.0)


def content_of(file: Path) -> bytes | str | None:
    """The file's content; None when there is no such file; what is wrong, as text, when it cannot be read."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as source:
            content = source.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return content if len(content) <= MOST_BYTES else f"it is larger than {MOST_BYTES // 1024} KiB"
