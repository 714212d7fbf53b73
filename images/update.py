#!/usr/bin/env python3
"""Makes update bundles from built images: `python3 images/update.py vm-amd64`. Needs root; see --help."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from images.builder.bundle import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
