"""Which licence every locked package has: prints the table, writes packaging/licences.md with `--write`.

Read from the metadata of what is installed in `.venv`. Ends with 1 when a package has a licence that is not on the list:
everything that runs inside our process must be fit to be shipped with Apache-2.0 code.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: SPDX identifiers that we may ship. MPL-2.0 is bounded by the file; the others ask for a notice at most.
PERMISSIVE = {
    "0BSD", "Public Domain", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
    "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
#: Packages under another licence that never run inside our process: why that is fit.
APART = {
    "scapy": "runs in the inspector's child process and nowhere else; the Debian package brings it, pip only as an extra"
}
#: What packages write in place of an SPDX identifier.
_SPOKEN = {
    "Apache Software License": "Apache-2.0", "Apache License 2.0": "Apache-2.0", "Apache 2": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0", "Apache 2.0": "Apache-2.0", "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause", "ISC License (ISCL)": "ISC", "MIT License": "MIT", "MPL-2.0": "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "Python Software Foundation License": "PSF-2.0",
    "Dual License": "Apache-2.0 OR BSD-3-Clause",
}  # fmt: skip


def locked(name: str) -> dict[str, str]:
    """Versions by package name in a constraints file, without what never applies on Linux."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)(.*)", line) for line in lines)
    return {match[1].lower(): match[2] for match in found if match and "win32" not in match[3]}


def licence(name: str) -> str:
    """SPDX expression of an installed package, or what it says instead."""
    return stated(importlib.metadata.metadata(name))


def stated(about: importlib.metadata.PackageMetadata) -> str:
    """The same from a package's metadata."""
    expression = about.get("License-Expression")
    if expression:
        return str(expression)
    short = (about.get("License") or "").strip()
    if short and len(short) < 60:
        return _SPOKEN.get(short, short)
    classified = [
        text.rpartition(":: ")[2] for text in about.get_all("Classifier", []) if text.startswith("License ::")
    ]
    return " AND ".join(_SPOKEN.get(text, text) for text in classified) or "unknown"


def acceptable(expression: str) -> bool:
    """Whether the expression lets us choose only licences of the list."""
    groups = re.sub(r"[()]", "", expression).split(" OR ")
    return any(
        all(part.strip() in PERMISSIVE for part in re.split(" AND | WITH ", group)) for group in groups
    )


def table() -> tuple[str, list[str]]:
    """The table as Markdown, and the packages whose licence is not on the list."""
    lines = [
        "# Licences of the locked packages",
        "",
        "Made by `make lock` from the packages' own metadata.",
        "",
    ]
    wrong: list[str] = []
    for title, name in (
        ("To run", "constraints.txt"),
        ("To test besides (not shipped)", "constraints-test.txt"),
    ):
        lines += [f"## {title}", "", "| package | licence |", "|---|---|"]
        for package in locked(name):
            expression = licence(package)
            apart = APART.get(package)
            lines.append(f"| {package} | {expression}{f' ({apart})' if apart else ''} |")
            if not acceptable(expression) and not apart:
                wrong.append(f"{package}: {expression}")
        lines.append("")
    return "\n".join(lines), wrong


def main() -> int:
    text, wrong = table()
    if "--write" in sys.argv[1:]:
        (HERE / "licences.md").write_text(text, encoding="utf-8")
    else:
        print(text)
    for line in wrong:
        print(f"not on the list of licences we ship: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
