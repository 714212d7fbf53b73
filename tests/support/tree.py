"""The tree as it is committed: what the tests about the repository itself look at."""

from __future__ import annotations

import functools
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: What a copy without git's index is not asked about.
_NOT_OURS = {".git", ".venv", ".cache", "build", "dist", "node_modules", "target", "vendor", "__pycache__"}


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Every committed file; in a copy without git, every file that does not come from a build."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    if len(listed) > 1:
        return tuple(path for path in (ROOT / name for name in listed if name) if path.is_file())
    return tuple(p for p in ROOT.rglob("*") if p.is_file() and not _NOT_OURS & set(p.relative_to(ROOT).parts))


def tracked_text() -> list[tuple[str, str]]:
    """(path from the root, content) of every committed text file."""
    found = []
    for path in tracked():
        content = path.read_bytes()
        # Inputs that a fuzzer kept are bytes, even those that happen to hold no zero.
        if b"\0" not in content and "corpus" not in path.parts:
            found.append((str(path.relative_to(ROOT)), content.decode("utf-8")))
    return found


@functools.cache
def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def plugin_modules() -> dict[str, str]:
    """Built-in plugins: entry point name to import name."""
    points: dict[str, str] = project()["project"]["entry-points"]["appliance.plugins"]
    return points
