"""What is known of a release and of a bundle: values, and reading them from what the image and RAUC say. No I/O."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_SIGNER = re.compile(r"Verified inline signature by '([^'\n]{1,300})'")
_MOST_TEXT = 200_000


class NotABundle(Exception):
    """RAUC says something of it that we do not understand."""


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """One release, as an image carries it.

    Attributes:
        version: such as "1.4.0".
        built: epoch seconds of the source it was built from.
        commit: of that source.
    """

    version: str = ""
    built: int = 0
    commit: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, value: Any) -> Release | None:
        """From JSON of ours; None when it is none."""
        if not isinstance(value, Mapping) or not value.get("version"):
            return None
        return cls(str(value["version"]), int(value.get("built") or 0), str(value.get("commit") or ""))

    def __str__(self) -> str:
        return self.version


@dataclass(frozen=True, slots=True)
class Verity:
    """How RAUC seals a bundle's content: the hash tree's bytes behind it, the salt and the hash at the top (hexadecimal)."""

    tree_bytes: int
    salt: str
    root: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose signature was verified.

    Attributes:
        release: what it brings.
        compatible: the images that it fits.
        minimum: the oldest version that may be updated with it; "": any.
        format: RAUC's bundle format.
        images: size and SHA-256 by slot class.
        signer: of its certificate.
        verity: how its content is sealed; None when it is not.
        changes: its change log, as Markdown.
        packages: Debian packages and their versions in it.
    """

    release: Release
    compatible: str
    minimum: str
    format: str
    images: Mapping[str, tuple[int, str]]
    signer: str
    verity: Verity | None
    changes: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def development(self) -> bool:
        """Whether a key signed it that somebody made for trying things out."""
        return "(development)" in self.signer


def packed(text: str) -> str:
    """Text for the signed manifest, where there is room for 64 KiB in all."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(text: str) -> str:
    """The reverse; "" for what is none."""
    try:
        engine = zlib.decompressobj()
        return engine.decompress(base64.b64decode(text, validate=True), _MOST_TEXT).decode("utf-8", "replace")
    except (binascii.Error, ValueError, zlib.error):
        return ""


def package_lines(text: str) -> dict[str, str]:
    """Versions by name, from lines "NAME VERSION"."""
    pairs = (line.split()[:2] for line in text.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def bundle_of(said: str) -> Bundle:
    """A bundle, from what `rauc info --output-format=json-2` says, its messages included.

    Raises:
        NotABundle: it makes no sense.
    """
    begin, end = said.find("{"), said.rfind("}")
    signer = _SIGNER.search(said)
    try:
        told = json.loads(said[begin : end + 1])
        update, ours = told["update"], told.get("meta", {}).get("timeball", {})
        sealed = told.get("bundle", {})
        verity = None
        if "verity-hash" in sealed:
            verity = Verity(
                int(sealed["verity-size"]), str(sealed["verity-salt"]), str(sealed["verity-hash"])
            )
        return Bundle(
            Release(str(update["version"]), int(ours.get("built") or 0), str(ours.get("commit") or "")),
            str(update["compatible"]), str(ours.get("minimum-from") or ""), str(sealed.get("format") or ""),
            {str(i["slot-class"]): (int(i["size"]), str(i["checksum"])) for i in told["images"]},
            signer[1] if signer else "", verity, unpacked(str(ours.get("changes") or "")),
            package_lines(unpacked(str(ours.get("packages") or ""))),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotABundle(f"{type(error).__name__}: {error}") from None


def different(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, str]]:
    """Packages that differ: name, version before and after ("" where it is not there)."""
    return [
        {"name": name, "before": before.get(name, ""), "after": after.get(name, "")}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def newer_than(changes: str, version: str) -> str:
    """The part of a change log that somebody who has `version` does not know yet: up to the heading that names it."""
    kept = []
    for line in changes.splitlines():
        if line.startswith("#") and version and re.search(rf"(?<![\w.]){re.escape(version)}(?![\w.])", line):
            break
        kept.append(line)
    return "\n".join(kept).strip()
