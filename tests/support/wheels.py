"""Wheels: ours as it is released, and small ones made by hand, with whatever metadata a test needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.tree import ROOT, tracked


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    *,
    requires: Sequence[str] = (),
    plugins: Mapping[str, str] | None = None,
) -> Path:
    """Write `name-version-py3-none-any.whl` into `folder`; returns its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    about = f"{stem}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    inside = dict(files) | {
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if plugins:
        points = "".join(f"{key} = {value}\n" for key, value in plugins.items())
        inside[f"{about}/entry_points.txt"] = f"[appliance.plugins]\n{points}"
    record = "".join(f"{path},,\n" for path in (*inside, f"{about}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in (*inside.items(), (f"{about}/RECORD", record)):
            archive.writestr(path, text)
    return made


def build_our_wheel(folder: Path) -> Path:
    """The wheel of a copy of the committed files, built by the locked build backend without an index."""
    tree = folder / "tree"
    for path in tracked():
        target = tree / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    script = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    command = [sys.executable, "-W", "ignore", "-c", script, tree / "dist"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return next((tree / "dist").glob("*.whl"))
