"""The package's copyright file: whose work is in it, and under which licence, with the texts themselves.

Libraries say it in their metadata, crates in theirs. Texts that every Debian system has are named and not repeated.
"""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import NamedTuple

import licences
from native_plane import RUST, CannotBuild
from release import Architecture

#: What is said of a licence beside its text.
_BESIDES = {
    "scapy": """Runs in the inspector's child process alone and is reached through a pipe; nothing of Timeball is linked to it. What is
    installed is its source. Parts that the inspector has no use for (contrib) are left out.""",
    "cryptography": "Its compiled part holds OpenSSL (Apache-2.0) and Rust crates that its own licence file covers.",
}
#: A sentence by which a text is known, and where Debian has it.
_COMMON = {
    "Version 2.0, January 2004": "Apache-2.0",
    "Mozilla Public License Version 2.0": "MPL-2.0",
    "GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991": "GPL-2",
}
_HEAD = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Timeball
Comment: Made together with the package from what its parts say of themselves.

Files: *
Copyright: Timeball developers
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
"""


class Part(NamedTuple):
    """Somebody else's work in the package."""

    name: str
    version: str
    files: str
    licence: str
    texts: tuple[str, ...]


def copyright_file(stage: Path, site: str, architecture: Architecture, *, native: bool) -> str:
    """The text for everything below `site` in the folder `stage`, and for what is compiled into the native plane."""
    parts = [_library(PathDistribution(path), site) for path in sorted((stage / site).glob("*.dist-info"))]
    parts = [part for part in parts if part.name != "timeball"]
    vendor = f"{site}/appliance_web/static/vendor"
    chart = (stage / vendor / "uplot-LICENSE.txt").read_text(encoding="utf-8")
    parts.append(Part("uplot", "", f"{vendor}/*", "MIT", (chart,)))
    if native:
        parts += _crates(site, architecture)
    return _HEAD + "".join(_paragraph(part) for part in parts)


def _library(about: Distribution, site: str) -> Part:
    name = about.metadata["Name"]
    tops = sorted(
        {str(path).split("/", 1)[0] for path in about.files or () if not str(path).startswith("..")}
    )
    texts = [
        Path(str(path.locate())).read_text(encoding="utf-8", errors="replace")
        for path in about.files or ()
        if re.search(r"\.dist-info/(licenses/.+|(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)$", str(path))
        and Path(str(path.locate())).is_file()
    ]
    files = " ".join(f"{site}/{top}{'' if '.' in top and 'info' not in top else '/*'}" for top in tops)
    return Part(name, about.version, files, licences.stated(about.metadata), tuple(texts))


def _crates(site: str, architecture: Architecture) -> Iterator[Part]:
    """What cargo compiles into the shared object, without what only builds it."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", architecture.rust]
    done = subprocess.run(command, cwd=RUST / "py", check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotBuild(f"cargo does not tell the licences of the crates: {done.stderr.strip()}")
    for crate in json.loads(done.stdout)["packages"]:
        if crate["source"] is not None:
            folder = Path(crate["manifest_path"]).parent
            texts = [
                p.read_text(encoding="utf-8", errors="replace")
                for p in sorted(folder.glob("LICENSE*"))
                if p.is_file()
            ]
            place = f"{site}/appliance/dataplane/_native.abi3.so"
            expression = (crate["license"] or "see the text").replace("/", " OR ")
            yield Part(f"{crate['name']} (Rust)", crate["version"], place, expression, tuple(texts))


def _paragraph(part: Part) -> str:
    # Debian's own texts name who wrote the licence, not who wrote the work.
    whole = "\n\n".join(text for text in part.texts if _common(text) in ("", "Apache-2.0"))
    holders = dict.fromkeys(
        line.strip(" *#")
        for line in whole.splitlines()
        if re.match(r"\W*Copyright\b.*\d{4}", line, re.IGNORECASE)
    )
    holders.pop("", None)
    lines = [
        f"Files: {part.files}",
        "Copyright: " + "\n ".join([*list(holders)[:20]] or [f"the authors of {part.name}"]),
        f"License: {part.licence}",
    ]
    lines += [f" {line}" if line.strip() else " ." for line in _shown(part.texts)]
    note = f"{part.name} {part.version}.".replace(" .", ".")
    besides = " ".join(_BESIDES.get(part.name.lower(), "").split())
    lines.append("Comment: " + textwrap.fill(f"{note} {besides}".strip(), 120, subsequent_indent=" "))
    return "\n" + "\n".join(lines) + "\n"


def _shown(texts: tuple[str, ...]) -> Iterator[str]:
    """The lines of all texts; of those that Debian has, where."""
    seen: set[str] = set()
    for text in texts:
        known = _common(text)
        if (known or text) in seen:
            continue
        seen.add(known or text)
        if known:
            yield f"On Debian systems the text of {known} is in /usr/share/common-licenses/{known}."
        else:
            yield from text.expandtabs().strip().splitlines()
        yield ""


def _common(text: str) -> str:
    """Which of Debian's common licences this is the text of; "" for none."""
    return next((name for mark, name in _COMMON.items() if mark in text and len(text) > 5000), "")
