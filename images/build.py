#!/usr/bin/env python3
"""Makes the images: `python3 images/build.py vm-amd64`. Needs root, Debian's tools and nothing else; see --help."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from images.builder.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
