#!/usr/bin/env python3
"""Tests images from outside: `python3 images/test.py vm-amd64 [CASE ...]`; a case by number or a part of its name."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from images.testing import network
from images.testing.bench import ROOT, Bench, chosen, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="images/test.py", description=__doc__)
    parser.add_argument("image", help="such as vm-amd64")
    parser.add_argument("case", nargs="*", help="number or part of a name; without: all that are not slow")
    parser.add_argument("--all", action="store_true", help="the slow ones too")
    parser.add_argument("--list", action="store_true", help="print the cases")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/images", help="where the image lies")
    parser.add_argument("--keep", action="store_true", help="leave disks and console logs for a look")
    options = parser.parse_intermixed_args()
    cases = chosen(options.image, options.case, slow=options.all)
    if options.list:
        for case in cases:
            print(f"{case.number:>4}  {case.name}{'  (slow)' if case.slow else ''}")
        return 0
    if not cases:
        parser.error(f"no case fits {' '.join(options.case)}; --list prints them")
    network.closed()
    work = Path(tempfile.mkdtemp(prefix="timeball-image-test-"))
    try:
        return 1 if run(Bench(options.image, options.folder.resolve(), work, keep=options.keep), cases) else 0
    finally:
        if options.keep:
            print(f"kept for a look: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
