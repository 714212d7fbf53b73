"""Resolve the dependencies for every supported machine and write the two constraints files.

One file serves Python 3.11 and newer on all architectures (environment markers say where a line applies), and names no
package index. uv does the resolving; it comes from the package index into a folder that is thrown away.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Made by `make lock`: name, version and hashes of {what}. Do not edit.\n"


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        uv = _uv(Path(scratch))
        # The build backend belongs to the locked set: the project is built in this same environment.
        build = Path(scratch, "build.in")
        build.write_text("\n".join(project["build-system"]["requires"]) + "\n", encoding="utf-8")
        run = _resolve(uv, str(build))
        known = Path(scratch, "run.txt")
        known.write_text("".join(run.values()), encoding="utf-8")
        test = _resolve(uv, str(build), "--extra", "test", "--constraint", str(known))
    _write("constraints.txt", "what it takes to run", run)
    _write(
        "constraints-test.txt",
        "what it takes to test besides",
        {k: v for k, v in test.items() if k not in run},
    )
    return 0


def _uv(scratch: Path) -> str:
    found = shutil.which("uv")
    if found:
        return found
    subprocess.run([sys.executable, "-m", "venv", scratch / "uv"], check=True)
    subprocess.run([scratch / "uv/bin/pip", "install", "--quiet", "uv"], check=True)
    return str(scratch / "uv/bin/uv")


def _resolve(uv: str, *arguments: str) -> dict[str, str]:
    """Requirement blocks (line, continuation lines with hashes) by name."""
    options = ("--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade")
    silence = ("--quiet", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links")
    done = subprocess.run(
        [uv, "pip", "compile", "pyproject.toml", *arguments, *options, *silence],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"uv cannot resolve the dependencies:\n{done.stderr}")
    blocks = re.findall(r"^(?:[^\s#-].*\n)(?:[ \t].*\n?)*", done.stdout, re.MULTILINE)
    return {re.match(r"[A-Za-z0-9._-]+", block)[0].lower(): block for block in blocks}  # type: ignore[index]


def _write(name: str, what: str, blocks: dict[str, str]) -> None:
    text = HEADER.format(what=what) + "".join(blocks.values())
    if "://" in text:
        sys.exit(f"{name} would hold an address; not written")
    path = ROOT / "packaging" / name
    path.write_text(text, encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(blocks)} packages")


if __name__ == "__main__":
    sys.exit(main())
