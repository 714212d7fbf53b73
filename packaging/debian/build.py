#!/usr/bin/env python3
"""Makes the Debian package: `make deb`, or `make deb ARGS="arm64"`. See appliance/docs/install.md and ADR 23."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

# Commands are described as this tree has them, whatever tree the interpreter's environment was made in.
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "plugins"))
sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
sys.path.append(str(Path(__file__).resolve().parent.parent))  # for licences

import archive
import around
import documents
import entries
import native_plane
import python_files
from release import ARCHITECTURES, HERE, PYTHON, ROOT, Architecture, Release, release

BUILT = ROOT / "build" / "deb"
LIBRARIES = f"usr/lib/timeball/lib/python{PYTHON[0]}.{PYTHON[1]}/site-packages"
#: Of our units those that the package enables and starts; the others are for images, which take the whole machine.
ENABLED = ("timeball-agent.socket", "timeball-gps.socket", "timeball-time-sources.path", "timeball.service")
LAUNCHER = """#!/usr/lib/timeball/bin/python3 -I
from appliance.cli import main

main()
"""


def make(architecture: Architecture, about: Release, stage: Path) -> None:
    """Lay the package out in the folder `stage`."""
    site = stage / LIBRARIES
    python_files.libraries(site, architecture)
    python_files.application(site)
    try:
        archive.put(stage, f"{LIBRARIES}/{native_plane.PLACE}", native_plane.build(architecture))
        native_plane.strip(site, architecture)
        native = True
    except native_plane.CannotBuild as why:
        print(f"{architecture.name}: without the native data plane: {why}", file=sys.stderr)
        native = False
    _interpreter(stage)
    archive.put(stage, "usr/bin/timeball", LAUNCHER)
    archive.put(stage, "usr/lib/sysusers.d/timeball.conf", (HERE / "sysusers.conf").read_bytes())
    archive.put(stage, "usr/lib/tmpfiles.d/timeball.conf", (HERE / "tmpfiles.conf").read_bytes())
    for place in ("etc/timeball/config.toml", "usr/share/timeball/config.toml"):
        archive.put(stage, place, (HERE / "config.toml").read_bytes())
    around.put(stage)
    documents.put(stage, LIBRARIES, architecture, about, native=native)
    _control(stage, architecture, about)
    archive.seal(stage, about.epoch_s)


def _interpreter(stage: Path) -> None:
    """What makes Debian's Python look for its libraries here and nowhere else."""
    home = stage / "usr/lib/timeball"
    version = f"{PYTHON[0]}.{PYTHON[1]}"
    archive.put(stage, "usr/lib/timeball/pyvenv.cfg", f"home = /usr/bin\nversion = {version}\n")
    (home / "bin").mkdir()
    (home / "bin" / "python3").symlink_to(f"../../../bin/python{version}")


def _control(stage: Path, architecture: Architecture, about: Release) -> None:
    units = " ".join(name for name in ENABLED if (stage / "usr/lib/systemd/system" / name).exists())
    for script in ("postinst", "prerm", "postrm"):
        text = (HERE / script).read_text(encoding="utf-8")
        archive.put(stage, f"DEBIAN/{script}", text.replace("@UNITS@", units))
    configuration = sorted(p.relative_to(stage) for p in (stage / "etc").rglob("*") if p.is_file())
    archive.put(stage, "DEBIAN/conffiles", "".join(f"/{name}\n" for name in configuration))
    archive.put(stage, "DEBIAN/md5sums", archive.sums(stage))
    filled = {
        "MAINTAINER": entries.MAINTAINER,
        "VERSION": about.version,
        "ARCHITECTURE": architecture.name,
        "INSTALLED_SIZE": str(archive.installed_kib(stage)),
        "PYTHON": f"{PYTHON[0]}.{PYTHON[1]}",
        "NEXT_PYTHON": f"{PYTHON[0]}.{PYTHON[1] + 1}",
    }
    text = (HERE / "control.in").read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value)
    archive.put(stage, "DEBIAN/control", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture", nargs="*", default=list(ARCHITECTURES), metavar="ARCHITECTURE",
                        help=f"{' or '.join(ARCHITECTURES)}; both without one")  # fmt: skip
    chosen = parser.parse_args()
    unknown = set(chosen.architecture) - set(ARCHITECTURES)
    if unknown:
        parser.error(
            f"there is no package for {', '.join(sorted(unknown))}; choose {' or '.join(ARCHITECTURES)}"
        )
    about = release()
    os.environ["SOURCE_DATE_EPOCH"] = str(about.epoch_s)
    for architecture in (ARCHITECTURES[name] for name in dict.fromkeys(chosen.architecture)):
        began = time.monotonic()
        deb = BUILT / f"timeball_{about.version}_{architecture.name}.deb"
        with tempfile.TemporaryDirectory(prefix="timeball-deb-") as scratch:
            stage = Path(scratch, "stage")
            make(architecture, about, stage)
            digest = archive.pack(stage, deb, about.epoch_s)
            for old in BUILT.glob(f"timeball_*_{architecture.name}.deb"):
                if old != deb:
                    old.unlink()
            unpacked = archive.installed_kib(stage)
        print(f"{deb.relative_to(ROOT)}: {deb.stat().st_size / 1e6:.1f} MB, {unpacked / 1e3:.1f} MB installed, "
              f"SHA-256 {digest}, {time.monotonic() - began:.0f} s")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
