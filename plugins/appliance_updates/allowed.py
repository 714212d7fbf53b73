"""Before RAUC writes: is this what was checked? Its "pre-install" handler, which it runs as root with the bundle mounted.

Between the check and the installation somebody who owns the file could put another one in its place. A person who runs
`rauc install` by hand has not gone through our checks, and is not held up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from appliance_updates.rauc import ALLOWED


def same(allowed: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    """Whether RAUC is about to write exactly the images that were checked (RAUC manual, "handlers")."""
    numbers = [
        name.removeprefix("RAUC_IMAGE_CLASS_") for name in environment if name.startswith("RAUC_IMAGE_CLASS_")
    ]
    about = {
        environment[f"RAUC_IMAGE_CLASS_{n}"]: environment.get(f"RAUC_IMAGE_DIGEST_{n}", "") for n in numbers
    }
    return about == dict(allowed)


def main(root: Path, environment: Mapping[str, str]) -> int:
    try:
        allowed = json.loads((root / ALLOWED).read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    if same(allowed, environment):
        return 0
    sys.stderr.write("this is not the bundle that was checked\n")
    return 1
