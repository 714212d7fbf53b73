"""Keys of the cache: a hash over everything that a result depends on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def key(*parts: Any) -> str:
    """Sixteen hex digits of a hash over values (JSON), files and folders (their names, modes and contents)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            _path(digest, part)
        else:
            digest.update(json.dumps(part, sort_keys=True).encode() + b"\0")
    return digest.hexdigest()[:16]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path(digest: Any, root: Path) -> None:
    for path in sorted([root, *root.rglob("*")]) if root.is_dir() else [root]:
        if "__pycache__" in path.parts:
            continue
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            digest.update(f"l {name} {path.readlink()}\0".encode())
        elif path.is_file():
            digest.update(f"f {name} {path.stat().st_mode & 0o111}\0".encode() + path.read_bytes() + b"\0")
