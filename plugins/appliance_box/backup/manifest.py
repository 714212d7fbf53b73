"""What an archive says of itself, checked as what a stranger may have written."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from appliance_box.backup import BOX, CONFIG, DATABASE, FORMAT, STATE, BadArchive

MOST_MANIFEST_BYTES: Final = 8 << 20
MOST_FILES: Final = 50_000
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def safe_name(name: str) -> str:
    """Raises ValueError: a name that leads out of the archive, or could be read as another one."""
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") and part.isprintable() and "\\" not in part for part in parts)
    if not plain or len(name) > 500 or PurePosixPath(name).is_absolute():
        raise ValueError("this is no name for a file of an archive")
    if parts[0] not in (STATE, CONFIG, BOX) or len(parts) < 2:
        raise ValueError("it belongs to no part of an archive")
    return name


class Part(BaseModel):
    """Strangers' keys are left alone: newer versions of the same format may say more."""

    model_config = ConfigDict(defer_build=True, extra="ignore", frozen=True)


class Entry(Part):
    """One file."""

    size: int = Field(ge=0, le=1 << 42)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    mode: int = Field(default=0o600, ge=0, le=0o777)


class Plugin(Part):
    """A plugin that somebody installed."""

    name: str = Field(max_length=200)
    version: str = Field(default="", max_length=100)
    source: str = Field(default="", max_length=1000)


class Manifest(Part):
    """All of it.

    Attributes:
        format: of the archive; a newer one is not read.
        version: of the appliance that made it.
        created: epoch seconds.
        host: name of the box.
        machine: architecture, as in "aarch64".
        python: version of the interpreter, "3.13": what installed plugins with compiled parts are tied to.
        image: id of the image, or "".
        steps: steps of the database that were applied, by plugin.
        plugins: what was installed.
        compiled: installed plugins have compiled parts.
        links: symbolic links in the state folder, target by name; both without folders above.
        files: every file by its name in the archive.
    """

    format: int = Field(ge=1)
    product: str = Field(pattern="^timeball$")
    version: str = Field(max_length=50)
    created: float
    host: str = Field(default="", max_length=255)
    machine: str = Field(default="", max_length=50)
    python: str = Field(default="", max_length=20)
    image: str = Field(default="", max_length=100)
    steps: dict[str, list[str]] = Field(default_factory=dict)
    plugins: tuple[Plugin, ...] = Field(default=(), max_length=1000)
    compiled: bool = False
    links: dict[Annotated[str, AfterValidator(safe_name)], str] = Field(default_factory=dict)
    files: dict[Annotated[str, AfterValidator(safe_name)], Entry] = Field(max_length=MOST_FILES)

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.files.values())

    def of(self, part: str) -> list[str]:
        """Names of the files of one part."""
        return [name for name in self.files if name.startswith(f"{part}/")]


def read(content: bytes) -> Manifest:
    """Raises BadArchive: it is none, or of a format that this version does not know."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadArchive(
            "not_ours", f"this is no backup of ours: its manifest is wrong at {where}: {first['msg']}"
        ) from None
    if manifest.format > FORMAT:
        raise BadArchive(
            "newer", f"this backup is of format {manifest.format}; version {manifest.version} of the appliance made it, and this one "
            f"reads formats up to {FORMAT}", "update this box first, then restore",
        )  # fmt: skip
    for name, target in manifest.links.items():
        if "/" in target or target in ("", ".", "..") or not name.startswith(f"{STATE}/"):
            raise BadArchive("not_ours", f"the link {name} leads somewhere else")
    if f"{STATE}/{DATABASE}" not in manifest.files:
        raise BadArchive("not_ours", "this backup holds no database")
    return manifest


def fits(manifest: Manifest, version: str) -> None:
    """Whether the appliance of `version` may take the archive: its own version's and any older one's.

    Raises:
        BadArchive: a newer one made it: its tables may mean something that we do not know.
    """
    theirs, ours = _parts(manifest.version), _parts(version)
    if theirs > ours:
        raise BadArchive(
            "newer", f"this backup was made by version {manifest.version}, and this box runs {version}", "update this box first, then restore",
        )  # fmt: skip


def _parts(version: str) -> tuple[int, ...]:
    found = _VERSION.match(version)
    return tuple(map(int, found.groups())) if found else (0, 0, 0)
