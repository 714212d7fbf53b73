"""A small Debian tree with the tools, and running programs in it (or in a tree that is being built).

Programs run as root in namespaces of their own: mounts, processes, and no network unless asked for. What they leave
running dies with them. Nothing is mounted on the machine itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from images.builder import host
from images.builder.digest import key
from images.builder.errors import BuildError
from images.builder.layers import used
from images.builder.programs import run
from images.builder.progress import Progress

SUITE = "trixie"
PACKAGES = (
    "apt",
    "arch-test",
    "bmap-tools",
    "ca-certificates",
    "debian-archive-keyring",
    "device-tree-compiler",
    "dosfstools",
    "e2fsprogs",
    "genimage",
    "kmod",
    "grub-common",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "minisign",
    "mmdebstrap",
    "mtools",
    "openssl",
    "python3",
    "qemu-utils",
    "rauc",
    "squashfs-tools",
    "systemd",
    "u-boot-tools",
    "xz-utils",
    "zstd",
)

#: $1: the tree. $2: how many folders follow that are bound at their own path. Then the command.
_ENTER = r"""
set -e
tree=$1; binds=$2; shift 2
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount --rbind /sys "$tree/sys"
mount --rbind /dev "$tree/dev"
while [ "$binds" -gt 0 ]; do
    mkdir -p "$tree$1"; mount --bind "$1" "$tree$1"; shift; binds=$((binds-1))
done
exec chroot "$tree" "$@"
"""


class Tree:
    """A folder that programs can run in as if it were the machine.

    Args:
        root: the folder.
        progress: where output goes.
        shared: folders of the machine that are seen inside at the same path.
    """

    def __init__(self, root: Path, progress: Progress, shared: Sequence[Path] = ()) -> None:
        self.root = root
        self.shared = tuple(shared)
        self._progress = progress

    def run(
        self,
        *command: str | Path,
        network: bool = False,
        environment: dict[str, str] | None = None,
        hint: str = "",
    ) -> None:
        """Run a program in the tree.

        Raises:
            BuildError: it failed.
        """
        run(
            self.command(*command, network=network),
            self._progress,
            environment=self.environment(environment, network=network),
            hint=hint,
        )

    def command(self, *command: str | Path, network: bool = False) -> list[str]:
        """The command that runs another in the tree."""
        unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        if not network:
            unshare.append("--net")
        shared = [str(path) for path in self.shared]
        return [
            *unshare,
            *("sh", "-c", _ENTER, "enter", str(self.root), str(len(shared)), *shared),
            *(str(word) for word in command),
        ]

    @staticmethod
    def environment(more: dict[str, str] | None = None, *, network: bool = False) -> dict[str, str]:
        """What programs see of the environment: the same whoever builds."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if network and name.lower() in {"http_proxy", "https_proxy", "no_proxy"}
        }
        return kept | {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "DEBIAN_FRONTEND": "noninteractive",
            **(more or {}),
        }


def tools(cache: Path, progress: Progress, shared: Sequence[Path], *, refresh: bool = False) -> Tree:
    """The tools tree, made when its list of packages is new (a minute)."""
    name = f"tools-{key(SUITE, PACKAGES)}"
    root = cache / name
    if root.exists() and not refresh:
        progress.cached("tools", name)
        used(root)
    else:
        with progress.stage("tools"):
            fresh = cache / f"{name}.{os.getpid()}"
            _make(fresh, progress)
            shutil.rmtree(root, ignore_errors=True)
            fresh.rename(root)
    return Tree(root, progress, shared)


def _make(root: Path, progress: Progress) -> None:
    mirrors = host.mirrors()
    suites = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
    try:
        run(
            [
                *("mmdebstrap", "--variant=minbase"),
                *(f"--aptopt={option}" for option in mirrors.options),
                f"--include={','.join(PACKAGES)}",
                *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"),
                *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=force-unsafe-io"),
                SUITE,
                root,
                *mirrors.lines(suites, ("main",)),
            ],
            progress,
            hint="If packages cannot be fetched: apt-get update && apt-get download hello says what this machine can reach.",
        )
    except BuildError:
        shutil.rmtree(root, ignore_errors=True)
        raise
    # Name servers and proxies of this machine: packages are fetched from inside the tree, too.
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        target = root / name[1:]
        target.unlink(missing_ok=True)
        if Path(name).exists():
            shutil.copyfile(name, target)
