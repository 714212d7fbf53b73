"""What is in an image: Debian's packages, and the Python distributions that the application brings."""

from __future__ import annotations

import dataclasses
import email.parser
import re
from pathlib import Path

from images.builder.system import DPKG

LIBRARIES = "usr/lib/timeball/lib"


@dataclasses.dataclass(frozen=True, order=True)
class Component:
    """One thing in an image.

    Attributes:
        kind: "deb" or "pypi", as package URLs have it.
        name, version: as its own archive calls it.
        architecture: of a Debian package, else "".
        source: name and version of the Debian source package, else "".
        licence: what it says of itself (Python), else "".
    """

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    licence: str = ""

    @property
    def purl(self) -> str:
        """Package URL (https://github.com/package-url/purl-spec)."""
        version = self.version.replace("+", "%2B").replace(":", "%3A").replace("~", "%7E")
        if self.kind == "deb":
            return f"pkg:deb/debian/{self.name}@{version}?arch={self.architecture}&distro=debian-13"
        return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{version}"


def contents(root: Path) -> list[Component]:
    """Of a finished root file system, sorted."""
    return sorted([*_debian(root), *_python(root)])


def _debian(root: Path) -> list[Component]:
    found = []
    for block in (root / DPKG / "status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", block, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            given = re.fullmatch(r"(\S+)(?: \((.+)\))?", fields.get("Source") or name)
            source = f"{given[1]} {given[2] or version}" if given else ""
            found.append(Component("deb", name, version, fields["Architecture"], source))
    return found


def _python(root: Path) -> list[Component]:
    found = []
    for path in (root / LIBRARIES).glob("python3*/site-packages/*.dist-info/METADATA"):
        # Heads only: the body is the library's README.
        heads = email.parser.Parser().parsestr(path.read_text(encoding="utf-8").split("\n\n", 1)[0])
        licence = heads.get("License-Expression") or heads.get("License") or ""
        line = str(licence).strip().splitlines()
        found.append(
            Component("pypi", str(heads["Name"]), str(heads["Version"]), licence=line[0][:80] if line else "")
        )
    return found
