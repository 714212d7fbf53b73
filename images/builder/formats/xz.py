"""img.xz: what Raspberry Pi Imager and every other program for cards takes."""

from __future__ import annotations

from pathlib import Path

from images.builder.build import Build


def xz(build: Build, raw: Path, target: Path) -> None:
    """Compress the card's image: the same bytes on machines with another number of processors."""
    target.unlink(missing_ok=True)
    packed = raw.with_name(f"{raw.name}.xz")
    # More than one thread cuts the stream into blocks, one does not: never one.
    level = "-0" if build.fast else "-6"
    build.tools.run("xz", "--compress", "--keep", "--force", "--check=crc64", "--threads=2", level, raw)
    packed.rename(target)
