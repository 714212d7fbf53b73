"""Wheels made by hand: small, offline, with whatever metadata a test needs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


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
