"""The building machine: what it must have, and where it gets its own packages from."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from images.builder.errors import BuildError
from images.builder.programs import output

#: Program that is looked for, and the Debian package that has it.
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "mount": "mount",
    "chroot": "coreutils",
    "tar": "tar",
    "apt-get": "apt",
    "git": "git",
}
INSTALL = "sudo packaging/install-image-tools.sh"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclasses.dataclass(frozen=True)
class Mirrors:
    """Where Debian's packages come from: addresses of the archive and of its security updates, apt options (proxies)."""

    archive: str
    security: str
    options: tuple[str, ...]

    def lines(self, suites: tuple[str, ...], components: tuple[str, ...]) -> list[str]:
        """Lines of a sources.list; a suite that ends in -security comes from the security archive."""
        return [
            f"deb [signed-by={KEYRING}] "
            f"{self.security if suite.endswith('-security') else self.archive} {suite} {' '.join(components)}"
            for suite in suites
        ]


def check(programs: dict[str, str] | None = None) -> None:
    """Raises BuildError that names everything that is missing, and the command that brings it."""
    if os.geteuid() != 0:
        raise BuildError(
            "an image is built as root: file systems with other owners and chroot need it. "
            "Try: sudo python3 images/build.py ..."
        )
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [
        f"{name} (package {package})"
        for name, package in (programs or NEEDED).items()
        if not shutil.which(name, path=path)
    ]
    if not KEYRING.exists():
        missing.append(f"{KEYRING} (package debian-archive-keyring)")
    if missing:
        raise BuildError(f"missing on this machine: {', '.join(missing)}.\nInstall it with: {INSTALL}")


def mirrors() -> Mirrors:
    """The machine's own apt sources; TIMEBALL_DEBIAN_MIRROR and TIMEBALL_SECURITY_MIRROR go before.

    Raises:
        BuildError: it has none for Debian (another distribution, or `apt-get update` was never run).
    """
    found = {
        "Debian": os.environ.get("TIMEBALL_DEBIAN_MIRROR", ""),
        "Debian-Security": os.environ.get("TIMEBALL_SECURITY_MIRROR", ""),
    }
    listed = output(["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
    for line in listed.splitlines():
        label, _, address = line.partition("|")
        if label in found and not found[label]:
            found[label] = address
    if not all(found.values()):
        raise BuildError(
            "this machine's apt knows no Debian archive"
            + (" with security updates" if found["Debian"] else "")
            + ". Run `apt-get update`; on another distribution say where Debian is:\n"
            "TIMEBALL_DEBIAN_MIRROR=http://.../debian TIMEBALL_SECURITY_MIRROR=http://.../debian-security"
        )
    return Mirrors(found["Debian"], found["Debian-Security"], _apt_options())


def _apt_options() -> tuple[str, ...]:
    """Options that say how to reach the archive: proxies, time-outs, certificates."""
    lines = output(["apt-config", "dump", "Acquire"]).splitlines()
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    return tuple(
        line.rstrip(";") + ";" for line in lines if line.startswith(wanted) and not line.endswith('"";')
    )
