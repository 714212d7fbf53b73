"""Where builds keep what they can use again: shared by all working copies of a machine."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """$TIMEBALL_IMAGE_CACHE, else a folder in the home of whoever builds."""
    return Path(os.environ.get("TIMEBALL_IMAGE_CACHE") or Path.home() / ".cache/timeball/images")
