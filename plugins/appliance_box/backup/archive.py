"""Writes and reads the archive itself: tar in gzip, the manifest first, sealed or not. Everything is checked while it is read."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from appliance_box.backup import MANIFEST, BadArchive, Progress, quiet
from appliance_box.backup.gathering import Gathered
from appliance_box.backup.manifest import MOST_MANIFEST_BYTES, Entry, Manifest
from appliance_box.backup.manifest import read as read_manifest
from appliance_box.backup.sealing import Opener, Sealer, is_sealed

#: Fast on a small board; the database compresses well at any level.
_LEVEL: Final = 3
_BLOCK: Final = 1 << 20

Take = Callable[[str, Entry, IO[bytes]], None]


def write(
    target: BinaryIO, gathered: Gathered, manifest: Manifest, passphrase: str, progress: Progress
) -> None:
    """Write the archive.

    Raises:
        BadArchive: a file changed since the manifest was made.
        OSError: the target does not take it.
    """
    with contextlib.ExitStack() as open_:
        sink: Any = open_.enter_context(Sealer(target, passphrase)) if passphrase else target
        packed = open_.enter_context(gzip.GzipFile("", "wb", _LEVEL, sink, mtime=int(manifest.created)))
        tar = open_.enter_context(tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT))
        _put(tar, MANIFEST, manifest.model_dump_json(indent=1).encode(), manifest)
        done = 0
        for name, entry in manifest.files.items():
            if name in gathered.contents:
                _put(tar, name, gathered.contents[name], manifest)
            else:
                _put_file(tar, name, entry, gathered.files[name], manifest)
            done += entry.size
            progress(done, manifest.bytes, "writing the archive")


def _header(name: str, size: int, mode: int, manifest: Manifest) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, mode, int(manifest.created)
    return header


def _put(tar: tarfile.TarFile, name: str, content: bytes, manifest: Manifest) -> None:
    tar.addfile(_header(name, len(content), 0o600, manifest), io.BytesIO(content))


def _put_file(tar: tarfile.TarFile, name: str, entry: Entry, path: Path, manifest: Manifest) -> None:
    """A file that is shorter or longer now than it was summed up fails here, not at the restore."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        source = _Summed(file, digest)
        try:
            tar.addfile(_header(name, entry.size, entry.mode, manifest), cast("IO[bytes]", source))
        except OSError as error:
            raise BadArchive("unreadable", f"{path} cannot be read: {error}", "try again") from None
        if digest.hexdigest() != entry.sha256 or file.read(1):
            raise BadArchive("unreadable", f"{path} changed while it was read", "try again")


class _Summed(io.RawIOBase):
    """Reads a file and sums up what is read."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self._file = file
        self._digest = digest

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._digest.update(block)
        return block


@contextlib.contextmanager
def opened(file: Path, passphrase: str) -> Iterator[tuple[Manifest, tarfile.TarFile]]:
    """The manifest, and the archive behind it.

    Raises:
        BadArchive: it is none of ours, damaged, sealed with another passphrase, or of a newer format.
    """
    try:
        with contextlib.ExitStack() as open_:
            source: Any = open_.enter_context(file.open("rb"))
            if is_sealed(source):
                if not passphrase:
                    raise BadArchive(
                        "passphrase",
                        "this backup is sealed with a passphrase",
                        "give it with --passphrase-file, or type it",
                    )
                source = io.BufferedReader(Opener(source, passphrase), _BLOCK)
            tar = open_.enter_context(tarfile.open(fileobj=source, mode="r|gz"))
            yield _first(tar), tar
    except FileNotFoundError:
        raise BadArchive("unreadable", f"there is no file {file}") from None
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise _damaged(error) from None
        raise BadArchive("unreadable", f"{file} cannot be read: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError, zlib.error, OverflowError, UnicodeError) as error:
        raise _damaged(error) from None


def _first(tar: tarfile.TarFile) -> Manifest:
    header = tar.next()
    if header is None or header.name != MANIFEST or not header.isreg() or header.size > MOST_MANIFEST_BYTES:
        raise BadArchive("not_ours", "this is no backup of ours: it does not begin with a manifest")
    content = tar.extractfile(header)
    assert content is not None
    return read_manifest(content.read())


def _damaged(error: BaseException) -> BadArchive:
    if isinstance(error, tarfile.ReadError) and "not a gzip" in str(error):
        return BadArchive("not_ours", "this is no backup of ours")
    return BadArchive("damaged", f"the archive is damaged or cut off ({error})", "take another copy of it")


def read_all(tar: tarfile.TarFile, manifest: Manifest, take: Take, progress: Progress = quiet) -> None:
    """Hand every file to `take`, in the archive's order, each exactly as the manifest says.

    Args:
        tar: behind the manifest.
        manifest: what has to come.
        take: gets name, entry and a stream of exactly `size` bytes; it reads all of it.
        progress: told after each file.

    Raises:
        BadArchive: something is missing, is there twice, is no plain file, or is not what the manifest says.
    """
    left, done = dict(manifest.files), 0
    for header in iter(tar.next, None):
        entry = left.pop(header.name, None)
        if entry is None or not header.isreg() or header.issparse() or header.size != entry.size:
            raise BadArchive(
                "damaged", f"the archive holds what its manifest does not know: {header.name[:200]}"
            )
        content = tar.extractfile(header)
        assert content is not None
        summed = _Checked(content)
        take(header.name, entry, cast("IO[bytes]", summed))
        if summed.left_over() or summed.digest.hexdigest() != entry.sha256:
            raise BadArchive(
                "damaged",
                f"{header.name} is not what it was when the backup was made",
                "take another copy of it",
            )
        done += entry.size
        progress(done, manifest.bytes, "reading the archive")
    if left:
        raise BadArchive(
            "damaged",
            f"{len(left)} files are missing, {next(iter(left))} among them",
            "take another copy of it",
        )


class _Checked:
    """A stream that is summed up while it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = _BLOCK) -> bytes:
        block = self._source.read(size)
        self.digest.update(block)
        return block

    def left_over(self) -> bool:
        return bool(self._source.read(1))


def drain(name: str, entry: Entry, content: IO[bytes]) -> None:
    """A `Take` that only checks."""
    while content.read(_BLOCK):
        pass


def write_out(folder: Path, names: Callable[[str], str | None]) -> Take:
    """A `Take` that writes files below `folder`; `names` gives the place of each, or None for those to leave out."""

    def take(name: str, entry: Entry, content: IO[bytes]) -> None:
        place = names(name)
        if place is None:
            drain(name, entry, content)
            return
        path = folder / place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as out:
            while block := content.read(_BLOCK):
                out.write(block)
            os.fchmod(handle, entry.mode & 0o770)

    return take
