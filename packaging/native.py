#!/usr/bin/env python3
"""Builds the native data plane where cargo is. Without cargo, or without its crates, everything works in Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUST = ROOT / "appliance" / "dataplane" / "rust"
BUILT = ROOT / "appliance" / "dataplane" / "_native.abi3.so"
TARGET = ROOT / ".cache" / "rust"
#: How long a build may take before we go on without it: a Raspberry Pi 3 needs some minutes.
PATIENCE_S = 900


def build(*, insist: bool = False) -> str:
    """Build if the sources changed; a sentence that says what happened.

    Raises:
        SystemExit: `insist`, and it cannot be built.
    """
    stamp = TARGET / "stamp"
    wanted = _digest()
    if BUILT.exists() and stamp.exists() and stamp.read_text() == wanted:
        return "the native data plane is built"
    cargo = shutil.which("cargo")
    if cargo is None:
        return _without("cargo is not installed", insist=insist)
    print("building the native data plane (once; half a minute on a PC) ...", file=sys.stderr, flush=True)
    command = [cargo, "build", "--release", "--locked", "--quiet", "--target-dir", str(TARGET)]
    environment = os.environ | {"PYO3_PYTHON": sys.executable}
    try:
        done = subprocess.run(
            command,
            cwd=RUST / "py",
            env=environment,
            check=False,
            timeout=PATIENCE_S,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return _without(f"cargo took longer than {PATIENCE_S} s", insist=insist)
    if done.returncode != 0:
        last = [line for line in done.stderr.strip().splitlines() if line.startswith("error")] or [
            "see `make native`"
        ]
        if insist:
            print(done.stderr, file=sys.stderr)
        return _without(f"cargo failed: {last[0]}", insist=insist)
    # A running appliance has the old file mapped: put the new one in its place, do not write into it.
    fresh = BUILT.with_suffix(".new")
    shutil.copyfile(TARGET / "release" / "lib_native.so", fresh)
    fresh.replace(BUILT)
    stamp.write_text(wanted)
    return "the native data plane was built"


def _without(why: str, *, insist: bool) -> str:
    text = f"the native data plane is not built ({why}); packets are answered in Python"
    if insist:
        raise SystemExit(text)
    return text


def _digest() -> str:
    """Of everything that the result depends on."""
    digest = hashlib.sha256()
    boundary = RUST.parent / "_native.pyi"
    for path in sorted([*RUST.glob("*/src/**/*.rs"), *RUST.glob("*/Cargo.*"), boundary]):
        digest.update(path.relative_to(RUST.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


if __name__ == "__main__":
    print(build(insist="--insist" in sys.argv))
