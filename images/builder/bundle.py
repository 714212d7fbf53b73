"""The bundle that updates an image: what its build left, a hook, and a manifest that is signed (RAUC, verity format)."""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import sys
import tomllib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from images.builder import host, spec
from images.builder.cache import default_cache
from images.builder.errors import BuildError
from images.builder.programs import output
from images.builder.progress import Progress
from images.builder.spec import FOLDER, Spec
from images.builder.tools import Tree, tools
from images.builder.update_keys import signer

ROOT = Path(__file__).resolve().parent.parent.parent
MINIMUM = "TIMEBALL_UPDATE_MINIMUM"
#: The signed part of a bundle has room for 64 KiB; the rest of the manifest takes little.
MOST_CHANGES, MOST_PACKAGES = 20_000, 20_000
ABOUT, PACKAGES = "image.toml", "packages.txt"


def leave(parts: Path, root: Path, about: str) -> None:
    """Beside squashfs and boot files, what a bundle has to say of them.

    Args:
        parts: where the build leaves what updates bring.
        root: the finished root file system.
        about: content of image.toml.
    """
    (parts / ABOUT).write_text(about)
    status = (root / "usr/lib/sysimage/dpkg/status").read_text(encoding="utf-8")
    (parts / PACKAGES).write_text(packages(status))


def packages(status: str) -> str:
    """Lines "NAME VERSION" from dpkg's list."""
    found = []
    for block in status.split("\n\n"):
        name = re.search(r"^Package: (\S+)$", block, re.MULTILINE)
        version = re.search(r"^Version: (\S+)$", block, re.MULTILINE)
        if name and version and re.search(r"^Status: .* installed$", block, re.MULTILINE):
            found.append(f"{name[1]} {version[1]}\n")
    return "".join(sorted(found))


def changes() -> str:
    """The change log: what comes next, and what came before."""
    coming = output([sys.executable, ROOT / "packaging/changelog.py"]).strip()
    before = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("<!-- releases -->")[2].strip()
    return f"## New\n\n{coming}\n\n{before}".strip()


def packed(text: str, most: int) -> str:
    """Text for the manifest, cut at a line where it is too long."""
    lines = text.splitlines()
    while True:
        made = base64.b64encode(zlib.compress("\n".join(lines).encode(), 9)).decode()
        if len(made) <= most:
            return made
        lines = lines[: len(lines) * 9 // 10]


def manifest(about: Mapping[str, Any], minimum: str, changes_: str, packages_: str) -> str:
    """`manifest.raucm` (RAUC manual, "Manifest")."""
    version = str(about["version"])
    if not re.fullmatch(r"[A-Za-z0-9.+~_-]{1,80}", version):
        raise BuildError(f"{version!r} cannot be a version")
    # RAUC takes no key without a value.
    from_ = f"minimum-from={minimum}\n" if minimum else ""
    return f"""\
[update]
compatible={about["compatible"]}
version={version}
description=Timeball {version}
build={about["built"]}

[bundle]
format=verity

[hooks]
filename=hook

[meta.timeball]
built={about["built"]}
commit={about["commit"]}
{from_}changes={packed(changes_, MOST_CHANGES)}
packages={packed(packages_, MOST_PACKAGES)}

[image.rootfs]
filename=root.squashfs

[image.boot]
filename=boot.tar
hooks=install
"""


def bundle(parts: Path, target: Path, cache: Path, work: Path, kit: Tree, *, minimum: str = "") -> bool:
    """Make one; whether a key for development signed it.

    Args:
        parts: what the build of the image left.
        target: the bundle's file, replaced when it is complete.
        cache: of the builder.
        work: an empty folder.
        kit: the tools; they see `cache`, `work` and the folder of the target.
        minimum: the oldest version that may be updated with it, or "".

    Raises:
        BuildError: something is missing or wrong.
    """
    for name in (ABOUT, PACKAGES, "root.squashfs", "boot"):
        if not (parts / name).exists():
            raise BuildError(f"there is no {parts / name}; build the image first: sudo make image-vm")
    about = tomllib.loads((parts / ABOUT).read_text())
    content = work / "content"
    content.mkdir()
    os.link(parts / "root.squashfs", content / "root.squashfs")
    kit.run(
        *(
            "tar",
            "--create",
            "--sort=name",
            f"--mtime=@{about['built']}",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
        ),
        *("--directory", parts / "boot", "--file", content / "boot.tar", "."),
    )
    shutil.copyfile(FOLDER / "boot/update-hook", content / "hook")
    (content / "hook").chmod(0o755)
    (content / "manifest.raucm").write_text(
        manifest(about, minimum, changes(), (parts / PACKAGES).read_text())
    )
    who = signer(cache, kit)
    fresh = work / "made.raucb"
    kit.run(
        "rauc", f"--cert={who.certificate}", f"--key={who.key}",
        # The content is compressed already.
        "bundle", "--mksquashfs-args=-comp zstd -Xcompression-level 1 -no-progress -quiet", content, fresh,
    )  # fmt: skip
    shutil.move(fresh, target)
    return who.development


def main(arguments: list[str]) -> int:
    """`images/update.py NAME ...`; the exit code."""
    parser = argparse.ArgumentParser(prog="images/update.py", description=__doc__)
    parser.add_argument("image", nargs="+", metavar="IMAGE", help=f"one of: {', '.join(spec.names())}")
    parser.add_argument("--output", type=Path, default=ROOT / "build/images", help="default: build/images")
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        help="default: $TIMEBALL_IMAGE_CACHE or ~/.cache/timeball/images",
    )
    parser.add_argument(
        "--minimum", default=os.environ.get(MINIMUM, ""), help=f"oldest version to update from (${MINIMUM})"
    )
    options = parser.parse_args(arguments)
    try:
        host.check()
        for name in options.image:
            _one(spec.load(name), options)
    except BuildError as error:
        print(f"\nimages: {error}", file=sys.stderr)
        return 1
    return 0


def _one(image: Spec, options: argparse.Namespace) -> None:
    cache, out = options.cache.resolve(), options.output.resolve()
    progress = Progress(cache / "logs" / f"{image.id}-update-{os.getpid()}")
    parts = out / f"{image.id}.parts"
    work = out / f".update-{image.id}-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir()
    try:
        keys = {
            Path(os.environ[n]).resolve().parent
            for n in ("TIMEBALL_UPDATE_KEY", "TIMEBALL_UPDATE_CERT")
            if os.environ.get(n)
        }
        kit = tools(cache, progress, (cache, out, *sorted(keys)))
        with progress.stage("bundle"):
            version = (
                tomllib.loads((parts / ABOUT).read_text())["version"] if (parts / ABOUT).exists() else ""
            )
            target = out / f"{image.id}-{version}.raucb"
            development = bundle(parts, target, cache, work, kit, minimum=options.minimum)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    signed = "a key for DEVELOPMENT of this machine" if development else "the release key"
    progress.say(f"{target} ({target.stat().st_size >> 20} MiB), signed by {signed}")
