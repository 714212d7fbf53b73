"""Run the benchmarks one after the other and print one table: `make bench`, or some of them: `make bench ARGS="ntp dns"`."""

from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import Row, table

HERE = Path(__file__).resolve().parent
PATIENCE_S = 900


def main(names: list[str]) -> int:
    scripts = [
        path
        for path in sorted(HERE.glob("[a-z]*.py"))
        if path.stem != "all" and (not names or path.stem in names)
    ]
    rows: list[Row] = []
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number, script in enumerate(scripts, 1):
            about = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").partition("\n")[
                0
            ]
            print(f"[{number}/{len(scripts)}] {script.stem}: {about}", file=sys.stderr, flush=True)
            began = time.monotonic()
            found = _run(script, Path(scratch, script.stem))
            failed += not found
            rows += found or [Row(script.stem, "failed", note="run it alone to see why")]
            print(f"      {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "",
    )
    print(
        f"\n{os.cpu_count()} cores {model}, Linux {platform.release()}, Python {platform.python_version()}\n"
    )
    print(table(rows))
    return 1 if failed else 0


def _run(script: Path, handed_to: Path) -> list[Row]:
    environment = os.environ | {"TIMEBALL_BENCH_ROWS": str(handed_to)}
    try:
        done = subprocess.run([sys.executable, script], env=environment, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"      stopped after {PATIENCE_S} s", file=sys.stderr)
        return []
    if done.returncode != 0 or not handed_to.exists():
        return []
    return [Row(**row) for row in json.loads(handed_to.read_text(encoding="utf-8"))]


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
