"""The root file system that Debian's packages make: one tar, cached by all that goes in.

No initramfs is built here (`INITRD=No`): it would be built three times, and under emulation takes a minute each.
"""

from __future__ import annotations

import os
from pathlib import Path

from images.builder import host
from images.builder.digest import key
from images.builder.layers import made_on, used
from images.builder.progress import Progress
from images.builder.spec import Spec
from images.builder.tools import Tree

#: Changes when this module makes another tree of the same packages.
RECIPE = 1

#: What is never unpacked; licences always are.
EXCLUDE = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/bash-completion/completions/*",
    "force-unsafe-io",
    "force-confold",
)

#: Leaves no address of a mirror and no trace of the building machine. Python's modules are compiled here, by the tools'
#: Python, which is the same version: always in the same order, and natively also for another architecture.
_CLEAN = r"""
rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/preferences.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/* "$1"/var/log/* "$1"/run/*
rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dpkg/*-old "$1"/etc/*- "$1"/var/lib/systemd/random-seed
rm -f "$1"/var/lib/dbus/machine-id
find "$1"/usr "$1"/etc -name __pycache__ -prune -exec rm -rf {} +
python3 -m compileall -q -j 1 -s "$1" -p / --invalidation-mode unchecked-hash "$1"/usr/lib/python3*
: > "$1"/etc/machine-id
"""


def base(spec: Spec, cache: Path, tools: Tree, progress: Progress, *, refresh: bool = False) -> Path:
    """The tar of the packages' root file system, from the cache when nothing changed."""
    name = f"base-{spec.architecture}-{base_key(spec)}"
    tar = cache / f"{name}.tar"
    if tar.exists() and not refresh:
        progress.cached("base root file system", f"{name}, fetched on {made_on(tar)}")
        used(tar)
        return tar
    with progress.stage("base root file system"):
        fresh = cache / f"{name}.{os.getpid()}.tar"
        # With another ending apt leaves it aside without a word.
        pins = cache / f"{name}.{os.getpid()}.pref"
        pins.write_text("".join(_pin(line) for line in spec.pins))
        try:
            _make(spec, tools, fresh, pins)
            fresh.rename(tar)
        finally:
            fresh.unlink(missing_ok=True)
            pins.unlink(missing_ok=True)
    return tar


def base_key(spec: Spec) -> str:
    """Of all that the base depends on, but the state of the archive."""
    return key(
        RECIPE,
        (spec.architecture, spec.suite, spec.suites, spec.components, spec.epoch, spec.packages, spec.pins),
        (spec.users, spec.groups),
        (EXCLUDE, _CLEAN),
    )


def _make(spec: Spec, tools: Tree, tar: Path, pins: Path) -> None:
    mirrors = host.mirrors()
    before = [f'echo "{line}" >> "$1/etc/{file}"' for file, line in _accounts(spec)]
    tools.run(
        "mmdebstrap",
        *("--mode=root", "--variant=essential", "--format=tar", f"--architectures={spec.architecture}"),
        *(f"--aptopt={option}" for option in mirrors.options),
        *(f"--dpkgopt={option}" for option in EXCLUDE),
        # The pins must be there before apt resolves anything.
        *(
            (
                f'--setup-hook=copy-in "{pins}" /etc/apt/preferences.d',
                '--setup-hook=chmod 644 "$1"/etc/apt/preferences.d/*',
            )
            if spec.pins
            else ()
        ),
        *(f"--essential-hook={line}" for line in before),
        f"--customize-hook={_CLEAN}",
        f"--include={','.join(spec.packages)}",
        spec.suite,
        tar,
        *mirrors.lines(spec.suites, spec.components),
        network=True,
        environment={
            "SOURCE_DATE_EPOCH": str(spec.epoch),
            "TMPDIR": str(tar.parent),
            "INITRD": "No",
        },
        hint="A name that apt does not find stands in images/common.toml or the image's own file under system.packages.",
    )


def _accounts(spec: Spec) -> list[tuple[str, str]]:
    """Lines of passwd, group and shadow, written before any package asks for a number."""
    lines = []
    for name, number in spec.groups.items():
        lines.append(("group", f"{name}:x:{number}:"))
    for name, number in spec.users.items():
        lines += [
            ("group", f"{name}:x:{number}:"),
            ("passwd", f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin"),
            ("shadow", f"{name}:!*:19000:0:99999:7:::"),
        ]
    return lines


def _pin(line: str) -> str:
    """`PACKAGES RELEASE PRIORITY`, as in "linux-* n=trixie-backports 900"."""
    packages, release, priority = line.split()
    return f"Package: {packages}\nPin: release {release}\nPin-Priority: {priority}\n\n"
