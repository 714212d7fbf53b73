"""Bundles for tests of updates, made from what the build left: newer ones, broken ones, and such as must be refused."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from images.builder.bundle import ABOUT, bundle
from images.builder.cache import default_cache
from images.builder.progress import Progress
from images.builder.tools import Tree, tools

#: The system's version is its place in a file of so many bytes: another one of the same length needs no new squashfs.
STICK_MIB_SPARE = 32


class Bundles:
    """Makes bundles in a folder.

    Args:
        parts: what the build of the image left.
        folder: of the tests, on the same file system.
    """

    def __init__(self, parts: Path, folder: Path) -> None:
        self.parts = parts
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        cache = default_cache().resolve()
        self._cache = cache
        self._tools: Tree = tools(cache, Progress(folder / "logs"), (cache, folder.resolve()))
        self.version = self._about()["version"]

    def _about(self) -> dict[str, str]:
        return dict(re.findall(r'^(\w+) = "?([^"\n]*)"?$', (self.parts / ABOUT).read_text(), re.MULTILINE))

    def make(
        self,
        name: str,
        version: str,
        *,
        arguments: str = "",
        compatible: str = "",
        real: bool = False,
        minimum: str = "",
    ) -> Path:
        """One bundle.

        Args:
            name: of its file, without the ending.
            version: that it says it is.
            arguments: more words for its kernel.
            compatible: another board's.
            real: the system in it says that it is this version, too (a minute).
            minimum: the oldest version to update from.
        """
        target = self.folder / f"{name}.raucb"
        if target.exists():
            return target
        work = self.folder / f"work-{name}"
        shutil.rmtree(work, ignore_errors=True)
        parts = work / "parts"
        shutil.copytree(self.parts / "boot", parts / "boot")
        about = self._about()
        fresh = {
            "version": version,
            "built": str(int(about["built"]) + 60),
            "compatible": compatible or about["compatible"],
        }
        text = (self.parts / ABOUT).read_text()
        for key, value in fresh.items():
            text = re.sub(rf'^({key} = "?)[^"\n]*', rf"\g<1>{value}", text, flags=re.MULTILINE)
        (parts / ABOUT).write_text(text)
        shutil.copyfile(self.parts / "packages.txt", parts / "packages.txt")
        if arguments:
            config = parts / "boot/slot.cfg"
            config.write_text(re.sub(r'(slot_arguments=".*)"', rf'\1 {arguments}"', config.read_text()))
        if real:
            self._repack(work, parts, text)
        else:
            _same(self.parts / "root.squashfs", parts / "root.squashfs")
        (work / "made").mkdir()
        bundle(parts, target, self._cache, work / "made", self._tools, minimum=minimum)
        shutil.rmtree(work)
        return target

    def _repack(self, work: Path, parts: Path, about: str) -> None:
        """The same system with another image.toml."""
        root = work / "root"
        self._tools.run(
            "unsquashfs", "-no-progress", "-quiet", "-d", root, self._near(work, self.parts / "root.squashfs")
        )
        (root / "usr/lib/timeball/image.toml").write_text(about)
        self._tools.run(
            "mksquashfs", root, parts / "root.squashfs", "-noappend", "-no-progress", "-quiet", "-xattrs",
            "-comp", "zstd", "-Xcompression-level", "1",
        )  # fmt: skip

    def _near(self, work: Path, path: Path) -> Path:
        """The file where the tools see it."""
        near = work / path.name
        _same(path, near)
        return near

    def stranger(self, name: str, version: str) -> Path:
        """One that nobody whom the image trusts has signed."""
        key, certificate = self.folder / "stranger.key", self.folder / "stranger.pem"
        if not key.exists():
            self._tools.run(
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-days",
                    "30",
                ),
                *("-subj", "/O=Stranger/CN=Stranger", "-keyout", key, "-out", certificate),
            )
        kept = {n: os.environ.get(n) for n in ("TIMEBALL_UPDATE_KEY", "TIMEBALL_UPDATE_CERT")}
        os.environ |= {"TIMEBALL_UPDATE_KEY": str(key), "TIMEBALL_UPDATE_CERT": str(certificate)}
        try:
            return self.make(name, version)
        finally:
            for variable, value in kept.items():
                if value is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = value

    def damaged(self, name: str, good: Path, *, cut: int = 0, at: int = 0) -> Path:
        """A good one without its last bytes, or with one byte changed."""
        target = self.folder / f"{name}.raucb"
        shutil.copyfile(good, target)
        with target.open("r+b") as file:
            if cut:
                file.truncate(good.stat().st_size - cut)
            else:
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1]))
        return target

    def stick(self, *bundles: Path) -> Path:
        """A USB stick with these bundles in its root folder, as people format it."""
        path = self.folder / "stick.fat"
        size = sum(each.stat().st_size for each in bundles) + (STICK_MIB_SPARE << 20)
        with path.open("wb") as file:
            file.truncate(-(-size // (1 << 20)) << 20)
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        subprocess.run(
            ["mkfs.vfat", "-F", "32", "-n", "UPDATES", path], check=True, capture_output=True, env=environment
        )
        for each in bundles:
            subprocess.run(["mcopy", "-i", path, each, "::"], check=True)
        return path


def _same(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
