"""`images/build.py NAME`: one image from its declaration to what people download."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from images.builder import bundle, ext4, fat, host, initramfs, rauc, spec, squash, system, update_keys
from images.builder.base import base, base_key
from images.builder.boot import grub, uboot
from images.builder.build import Build
from images.builder.cache import default_cache
from images.builder.digest import key, sha256
from images.builder.disk import disk
from images.builder.errors import BuildError
from images.builder.formats import bmap, imager, ova, qcow2, xz
from images.builder.layers import tidy
from images.builder.papers import contents, sbom, sums
from images.builder.programs import output
from images.builder.progress import Progress
from images.builder.spec import Spec
from images.builder.tools import tools

ROOT = Path(__file__).resolve().parent.parent.parent
BOOTS: dict[str, ModuleType] = {"grub": grub, "uboot": uboot}
FORMATS: dict[str, Callable[[Build, Path, Path], None]] = {
    "qcow2": qcow2.qcow2,
    "ova": ova.ova,
    "img.xz": xz.xz,
    "img.bmap": bmap.bmap,
    "rpi-imager-manifest": imager.imager,
}
LABEL = "TIMEBALL"
#: zstd's level for a build that is looked at once.
FAST_LEVEL = 3


def main(arguments: list[str]) -> int:
    """Build; the exit code, with a person's remedy on standard error when it is 1."""
    options = _options(arguments)
    if options.list:
        for name in spec.names():
            print(f"{name:<12} {spec.load(name).title}")
        return 0
    try:
        host.check()
        for name in options.image:
            _build(spec.load(name), options)
    except BuildError as error:
        print(f"\nimages: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nimages: stopped; nothing half-made was left in the output folder", file=sys.stderr)
        return 130
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="images/build.py", description=__doc__)
    parser.add_argument("image", nargs="*", metavar="IMAGE", help=f"one of: {', '.join(spec.names())}")
    parser.add_argument("--list", action="store_true", help="say which images there are")
    parser.add_argument("--deb", type=Path, help="the application's package (default: what make deb left)")
    parser.add_argument("--output", type=Path, default=ROOT / "build/images", help="default: build/images")
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        help="default: $TIMEBALL_IMAGE_CACHE or ~/.cache/timeball/images",
    )
    parser.add_argument(
        "--refresh", action="store_true", help="fetch Debian's packages anew, whatever the cache has"
    )
    parser.add_argument(
        "--fast", action="store_true", help="compress little: for a build that is looked at once"
    )
    parser.add_argument(
        "--only", action="append", choices=spec.FORMATS, help="make this format alone (may be repeated)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the root file system's folder for a look")
    options = parser.parse_args(arguments)
    if not options.image and not options.list:
        parser.error(f"which image? There are: {', '.join(spec.names())}")
    return options


def _build(image: Spec, options: argparse.Namespace) -> None:
    cache, out = options.cache.resolve(), options.output.resolve()
    for folder in (cache, out):
        folder.mkdir(parents=True, exist_ok=True)
    work = cache / f"work-{image.id}-{os.getpid()}"
    progress = Progress(cache / "logs" / f"{image.id}-{os.getpid()}")
    progress.say(f"{image.id} ({image.architecture})")
    try:
        work.mkdir()
        _steps(image, options, cache, work, out, progress)
    finally:
        if options.keep:
            progress.say(f"  kept for a look: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    for name in tidy(cache):
        progress.say(f"  forgotten: {name}, which nobody asked for in a month, or whose build died")
    progress.say(f"done in {progress.total_s():.0f} s: {out}")


def _steps(
    image: Spec, options: argparse.Namespace, cache: Path, work: Path, out: Path, progress: Progress
) -> None:
    kit = tools(cache, progress, (cache, out), refresh=options.refresh)
    tar = base(image, cache, kit, progress, refresh=options.refresh)
    deb = _deb(options, image)
    release = _release(image, deb, tar.name)

    root, parts = work / "root", work / "parts"
    parts.mkdir()
    with progress.stage("unpack"):
        system.unpack(tar, root, kit)
        system.copy_files(image, root)
    kernel = initramfs.kernel(image, base_key(image), root, cache, kit, progress, refresh=options.refresh)
    address = os.environ.get("TIMEBALL_DOWNLOADS", "").rstrip("/") or out.as_uri()
    build = Build(image, release, kernel, root, cache, work, parts, kit, progress, address, fast=options.fast)
    loader = BOOTS[image.boot]
    with progress.stage("boot files"):
        loader.slot(build)
        build.boot_tree.mkdir()
        loader.boot(build)
        files: dict[str, Path] = dict(loader.contents(build))
        initramfs.tidy(root, kernel.version)
    with progress.stage("application"):
        system.install(root, deb, kit, progress)
    with progress.stage("settings"):
        system.units(image, root, kit)
        rauc.install(image, root, update_keys.keyring(cache, kit))
        system.finish(image, root, release)
        bundle.leave(parts, root, release.toml(image))
    with progress.stage("squashfs"):
        squashed = parts / "root.squashfs"
        level = FAST_LEVEL if options.fast else None
        squash.squash(image, root, squashed, kit, epoch=release.built, level=level)
    with progress.stage("disk"):
        files |= {"boot": work / "boot.fat", "root-a": squashed, "data": work / "data.ext4"}
        size = image.layout.role("boot").size_mib
        fat.fat(build.boot_tree, files["boot"], size, kit, label=LABEL, epoch=release.built)
        ext4.data(files["data"], image.layout.role("data").size_mib, kit, epoch=release.built)
        raw = work / f"{image.id}.raw"
        disk(image.layout, files, raw, work, kit)
        loader.finish(build, raw)
    wanted = options.only or image.formats
    made = [raw] if "raw" in wanted else []
    for name in wanted:
        if name != "raw":
            with progress.stage(name):
                made.append(raw.with_suffix(f".{name}"))
                FORMATS[name](build, raw, made[-1])
    if "rpi-imager-manifest" in wanted:
        made.append(imager.icon(build))
    with progress.stage("papers"):
        made += _papers(build)
        _publish(image, parts, made, out)
        progress.say(f"  signed: {sums.write(out, cache, kit)}")


def _papers(build: Build) -> list[Path]:
    """What is in it, for people and for programs."""
    found = contents.contents(build.root)
    packages = build.work / f"{build.spec.id}.packages.txt"
    packages.write_text("".join(f"{each.kind} {each.name} {each.version}\n" for each in found))
    bill = build.work / f"{build.spec.id}.cdx.json"
    bill.write_text(sbom.cyclonedx(build.spec, build.release, found))
    return [packages, bill]


def _publish(image: Spec, parts: Path, made: list[Path], out: Path) -> None:
    """Everything is complete: put it into the output folder, in place of what was there."""
    kept = out / f"{image.id}.parts"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(parts, kept)
    for path in made:
        fresh = out / f"{path.name}.new"
        output(["cp", "--sparse=always", path, fresh])
        fresh.rename(out / path.name)


def _deb(options: argparse.Namespace, image: Spec) -> Path | None:
    """The application's package: the newest of build/deb for this architecture."""
    if options.deb:
        path = Path(options.deb).resolve()
        if not path.exists():
            raise BuildError(f"there is no {path}; make deb builds the package")
        return path
    found = [
        *ROOT.glob(f"build/deb/timeball_*_{image.architecture}.deb"),
        *ROOT.glob("build/deb/timeball_*_all.deb"),
    ]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _release(image: Spec, deb: Path | None, tar: str) -> system.Release:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    commit = output(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"]).strip()
    if output(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"]).strip():
        commit += "+changes"
    built = int(output(["git", "-C", ROOT, "log", "-1", "--format=%ct"]))
    declared = spec.files(image.id.removeprefix("timeball-"))
    inputs = key(tar, commit, sha256(deb) if deb else "", *declared, *image.folders, Path(__file__).parent)
    return system.Release(version, commit, built, inputs)
