"""Files of packages that boot loaders are made of: unpacked beside the system, never installed into it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from images.builder import host
from images.builder.build import Build
from images.builder.digest import key
from images.builder.layers import used


def unpacked(build: Build, packages: tuple[str, ...]) -> Path:
    """A folder with the packages' files (5 s; cached by their names, like the base).

    Raises:
        BuildError: one of them cannot be had.
    """
    spec = build.spec
    name = (
        f"loaders-{spec.architecture}-{key(1, spec.suite, spec.suites, spec.components, spec.pins, packages)}"
    )
    folder = build.cache / name
    if folder.exists():
        build.progress.cached("boot loaders", name)
        used(folder)
        return folder
    fresh = build.cache / f"{name}.{os.getpid()}"
    mirrors = host.mirrors()
    try:
        build.tools.run(
            *("mmdebstrap", "--mode=root", "--variant=extract", f"--architectures={spec.architecture}"),
            *(f"--aptopt={option}" for option in mirrors.options),
            f"--include={','.join(packages)}",
            spec.suite,
            fresh,
            *mirrors.lines(spec.suites, spec.components),
            network=True,
            environment={"TMPDIR": str(build.cache)},
        )
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def licences(loaders: Path, packages: tuple[str, ...], root: Path) -> None:
    """Their licences into the system, where those of installed packages are."""
    for package in packages:
        target = root / "usr/share/doc" / package
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(loaders / "usr/share/doc" / package / "copyright", target / "copyright")
