"""Reads the declarative file of an image. Everything is checked here, so that the steps need not."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import uuid
from pathlib import Path
from typing import Any

from images.builder.errors import BuildError

FOLDER = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("amd64", "arm64")
BOOTS = ("grub", "uboot")
FORMATS = ("raw", "qcow2", "ova", "img.xz", "img.bmap", "rpi-imager-manifest")
ROLES = ("bios-boot", "boot", "root-a", "root-b", "data")
TABLES = ("gpt", "mbr")


@dataclasses.dataclass(frozen=True)
class Partition:
    """One partition; `id` is its GPT UUID, "" in an MBR (where the disk's signature makes the PARTUUID)."""

    name: str
    role: str
    size_mib: int
    id: str
    number: int

    def partuuid(self, layout: Layout) -> str:
        """What `root=PARTUUID=` takes."""
        if layout.table == "gpt":
            return self.id
        return f"{int(layout.disk_id, 16):08x}-{self.number:02x}"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The partitions of the disk, in order. `disk_id`: a UUID (GPT) or 0x and eight hex digits (MBR)."""

    table: str
    disk_id: str
    partitions: tuple[Partition, ...]

    def role(self, role: str) -> Partition:
        return next(partition for partition in self.partitions if partition.role == role)


@dataclasses.dataclass(frozen=True)
class Spec:
    """An image, as its file declares it."""

    id: str
    compatible: str
    title: str
    architecture: str
    boot: str
    formats: tuple[str, ...]
    suite: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    epoch: int
    packages: tuple[str, ...]
    pins: tuple[str, ...]
    users: dict[str, int]
    groups: dict[str, int]
    folders: tuple[Path, ...]
    enable: tuple[str, ...]
    enable_if_there: tuple[str, ...]
    disable: tuple[str, ...]
    mask: tuple[str, ...]
    mask_generators: tuple[str, ...]
    arguments: tuple[str, ...]
    modules: tuple[str, ...]
    drop: tuple[str, ...]
    squash_level: int
    squash_block_kib: int
    layout: Layout
    #: Keys that only a boot loader's own module reads, such as [firmware].
    more: dict[str, Any]


def names() -> list[str]:
    """The images that have a file."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if "id" in _table(path))


def load(name: str) -> Spec:
    """Read images/NAME.toml.

    Raises:
        BuildError: there is no such file, or what it says cannot be built; with the file and the key.
    """
    path = FOLDER / f"{name}.toml"
    if not path.exists():
        raise BuildError(f"there is no image {name!r}. There are: {', '.join(names())}")
    return parse(_merged(path), path)


def parse(table: dict[str, Any], path: Path) -> Spec:
    """The image that a table declares; `path` stands in errors."""
    read = _Reader(table, path)
    layout = _layout(read)
    spec = Spec(
        id=read.text("id"),
        compatible=read.text("compatible"),
        title=read.text("title"),
        architecture=read.one("architecture", ARCHITECTURES),
        boot=read.one("boot", BOOTS),
        formats=read.some("formats", FORMATS),
        suite=read.text("system.suite"),
        suites=read.texts("system.suites"),
        components=read.texts("system.components"),
        epoch=read.number("system.epoch"),
        packages=tuple(sorted(set(read.texts("system.packages")))),
        pins=read.texts("system.pins"),
        users=read.numbers("system.users"),
        groups=read.numbers("system.groups"),
        folders=tuple(FOLDER / folder for folder in read.texts("files.folders")),
        enable=read.texts("units.enable"),
        enable_if_there=read.texts("units.enable_if_there"),
        disable=read.texts("units.disable"),
        mask=read.texts("units.mask"),
        mask_generators=read.texts("units.mask_generators"),
        arguments=read.texts("kernel.arguments"),
        modules=read.texts("kernel.modules"),
        drop=read.texts("kernel.drop"),
        squash_level=read.number("squash.level"),
        squash_block_kib=read.number("squash.block_kib"),
        layout=layout,
        more={name: table[name] for name in table if name not in _OURS},
    )
    if not re.fullmatch(r"timeball-[a-z0-9-]+", spec.id):
        raise read.wrong("id", "timeball- and small letters, digits, hyphens")
    for folder in spec.folders:
        if not folder.is_dir():
            raise read.wrong("files.folders", f"folders that are there; {folder} is not")
    return spec


_OURS = {
    *("base", "id", "compatible", "title", "architecture", "boot", "formats"),
    *("system", "files", "units", "kernel", "squash", "layout"),
}


def _layout(read: _Reader) -> Layout:
    table = read.one("layout.table", TABLES)
    raw = read.value("layout.partition", list, [])
    partitions = tuple(
        Partition(
            name=str(entry.get("name", "")),
            role=str(entry.get("role", "")),
            size_mib=int(entry.get("size_mib", 0)),
            id=str(entry.get("id", "")),
            number=number,
        )
        for number, entry in enumerate(raw, start=1)
    )
    roles = [partition.role for partition in partitions]
    if len(set(roles)) != len(roles) or not set(roles) <= set(ROLES):
        raise read.wrong("layout.partition", f"each of the roles {', '.join(ROLES)} at most once")
    if not {"boot", "root-a", "root-b"} <= set(roles) or roles[-1:] != ["data"]:
        raise read.wrong("layout.partition", "boot, root-a, root-b, and data as the last one (it grows)")
    disk_id = read.text("layout.disk_id")
    if table == "mbr":
        if len(partitions) > 4:
            raise read.wrong("layout.partition", "four partitions at most in an MBR")
        if not re.fullmatch(r"0x[0-9a-f]{8}", disk_id):
            raise read.wrong("layout.disk_id", "0x and eight hex digits")
    else:
        for identity in (disk_id, *(partition.id for partition in partitions)):
            try:
                uuid.UUID(identity)
            except ValueError:
                raise read.wrong(
                    "layout", f"a fixed UUID for the disk and each partition, not {identity!r}"
                ) from None
    if any(partition.size_mib < 1 for partition in partitions):
        raise read.wrong("layout.partition", "size_mib of at least 1")
    return Layout(table, disk_id, partitions)


class _Reader:
    """Values by dotted key, with errors that name file and key."""

    def __init__(self, table: dict[str, Any], path: Path) -> None:
        self._table = table
        self._path = path

    def wrong(self, key: str, expected: str) -> BuildError:
        return BuildError(f"{self._path.name}: {key}: expected {expected}")

    def value(self, key: str, kind: type, default: Any = None) -> Any:
        here: Any = self._table
        for word in key.split("."):
            here = here.get(word) if isinstance(here, dict) else None
        if here is None:
            here = default
        if not isinstance(here, kind) or isinstance(here, bool):
            raise self.wrong(key, f"a {kind.__name__}, not {here!r}")
        return here

    def text(self, key: str) -> str:
        text = str(self.value(key, str))
        if not text:
            raise self.wrong(key, "some text")
        return text

    def number(self, key: str) -> int:
        return int(self.value(key, int))

    def texts(self, key: str) -> tuple[str, ...]:
        texts = self.value(key, list, [])
        if not all(isinstance(text, str) and text for text in texts):
            raise self.wrong(key, "a list of texts")
        return tuple(texts)

    def numbers(self, key: str) -> dict[str, int]:
        table = self.value(key, dict, {})
        if not all(isinstance(number, int) for number in table.values()):
            raise self.wrong(key, "numbers")
        return dict(table)

    def one(self, key: str, allowed: tuple[str, ...]) -> str:
        text = self.text(key)
        if text not in allowed:
            raise self.wrong(key, f"one of {', '.join(allowed)}, not {text!r}")
        return text

    def some(self, key: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        texts = self.texts(key)
        if not texts or not set(texts) <= set(allowed):
            raise self.wrong(key, f"some of {', '.join(allowed)}")
        return texts


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise BuildError(f"{path.name}: {error}") from error


def _merged(path: Path) -> dict[str, Any]:
    """The file on top of the one that it names as its base: lists are appended, tables merged, the rest replaced."""
    table = _table(path)
    base = table.get("base")
    if base is None:
        return table
    return _over(_merged(path.parent / str(base)), table)


def files(name: str) -> list[Path]:
    """The file of an image and those that it stands on, itself first."""
    path = FOLDER / f"{name}.toml"
    found = [path]
    while base := _table(path).get("base"):
        path = path.parent / str(base)
        found.append(path)
    return found


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = below.get(name)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[name] = _over(under, value)
        elif isinstance(under, list) and isinstance(value, list):
            merged[name] = [*under, *value]
        else:
            merged[name] = value
    return merged
