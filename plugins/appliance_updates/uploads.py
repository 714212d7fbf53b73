"""Bundles that people send through the page: in pieces, into files, never in memory; room is looked for first."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.api.errors import Conflict, Invalid, NotFound

ENDING = ".raucb"
#: A slot of any of our images is smaller than that.
MOST_BYTES = 4_000_000_000
#: Left free on the disk.
SPARE_BYTES = 64_000_000
#: Of one request.
PIECE_BYTES = 4 * 1024 * 1024
_MOST_AT_ONCE = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,100}\.raucb")


class NoRoom(Conflict):
    """The disk is too full."""

    code = "no_room"


@dataclass(slots=True)
class Upload:
    """One that is on its way, or complete.

    Attributes:
        id: names it.
        name: of the file, as the sender calls it.
        bytes: that it will have.
        received: that are there.
        at: epoch seconds of its beginning.
    """

    id: str
    name: str
    bytes: int
    received: int
    at: float

    @property
    def complete(self) -> bool:
        return self.received == self.bytes

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}


def safe_name(text: str) -> str:
    """The last part of a sender's file name.

    Raises:
        Invalid: it is none of a bundle.
    """
    name = re.split(r"[/\\]", text)[-1]
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"a bundle's name has letters, digits and .-_+~ and ends in {ENDING}",
            errors={"name": f"not {name[:60]!r}"},
        )
    return name


class Uploads:
    """Keeps them in one folder. All of it blocks: call it in a thread.

    Args:
        folder: of its own.
        now_s: epoch seconds.
        free: bytes that are free where the folder is.
    """

    def __init__(
        self,
        folder: Path,
        now_s: Callable[[], float],
        free: Callable[[Path], int] = lambda p: shutil.disk_usage(p).free,
    ) -> None:
        self.folder = folder
        self._now_s = now_s
        self._free = free

    def all(self) -> list[Upload]:
        """The latest first."""
        found = []
        for path in self.folder.glob("*.json") if self.folder.is_dir() else ():
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                told = json.loads(path.read_text(encoding="utf-8"))
                upload = Upload(path.stem, str(told["name"]), int(told["bytes"]), 0, float(told["at"]))
                upload.received = self._content(upload).stat().st_size
                found.append(upload)
        return sorted(found, key=lambda one: -one.at)

    def find(self, key: str) -> Upload:
        """By id.

        Raises:
            NotFound: there is none.
        """
        found = next((one for one in self.all() if one.id == key), None)
        if found is None:
            raise NotFound(f"there is no upload {key[:40]!r} (any more): begin it again")
        return found

    def path(self, upload: Upload) -> Path:
        """Its file; the name tells RAUC nothing, people a little."""
        return self._content(upload)

    def begin(self, name: str, size: int) -> Upload:
        """Announce one.

        Raises:
            Invalid, Conflict, NoRoom: it is not taken.
        """
        name = safe_name(name)
        if not 0 < size <= MOST_BYTES:
            raise Invalid("that is no size of a bundle", errors={"bytes": f"expected 1 to {MOST_BYTES}"})
        there = self.all()
        if len(there) >= _MOST_AT_ONCE:
            raise Conflict(f"there are {len(there)} uploads already: delete one first")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        waiting = sum(one.bytes - one.received for one in there)
        free = self._free(self.folder) - waiting - SPARE_BYTES
        if size > free:
            raise NoRoom(
                f"it has {size / 1e6:,.0f} MB, and there is room for {max(0, free) / 1e6:,.0f} MB: delete uploads or captures, "
                "or put the bundle on a USB stick"
            )
        upload = Upload(secrets.token_hex(6), name, size, 0, self._now_s())
        self._content(upload).touch(mode=0o600)
        told = {"name": upload.name, "bytes": upload.bytes, "at": upload.at}
        (self.folder / f"{upload.id}.json").write_text(json.dumps(told), encoding="utf-8")
        return upload

    def add(self, key: str, offset: int, piece: bytes) -> Upload:
        """Append a piece.

        Raises:
            NotFound: no such upload.
            Conflict: the piece does not belong there; the message says where it goes on.
        """
        upload = self.find(key)
        if offset != upload.received or offset + len(piece) > upload.bytes:
            raise Conflict(
                f"{upload.received} of {upload.bytes} bytes are there: go on with offset={upload.received}"
            )
        with self._content(upload).open("ab") as file:
            file.write(piece)
            file.flush()
            if offset + len(piece) == upload.bytes:
                os.fsync(file.fileno())
        upload.received += len(piece)
        return upload

    def remove(self, key: str) -> Upload:
        """Delete one.

        Raises:
            NotFound: no such upload.
        """
        upload = self.find(key)
        (self.folder / f"{upload.id}.json").unlink(missing_ok=True)
        self._content(upload).unlink(missing_ok=True)
        return upload

    def expire(self, keep_s: float) -> None:
        """Delete what is too old, and files that belong to nothing."""
        for one in self.all():
            if self._now_s() - one.at > keep_s:
                self.remove(one.id)
        known = {one.id for one in self.all()}
        for path in self.folder.glob(f"*{ENDING}") if self.folder.is_dir() else ():
            if path.stem not in known:
                path.unlink(missing_ok=True)

    async def take(
        self, name: str, size: int, chunks: AsyncIterator[bytes], in_thread: Callable[..., Any]
    ) -> Upload:
        """One that comes in a single request.

        Args:
            name: of the file.
            size: what the request's head announces; the form around it makes it a little more than the file's.
            chunks: its content.
            in_thread: awaits a blocking call.

        Raises:
            Invalid, Conflict, NoRoom: it is not taken.
        """
        upload: Upload = await in_thread(self.begin, name, size)
        try:
            async for chunk in chunks:
                await in_thread(self.add, upload.id, upload.received, chunk)
                upload.received += len(chunk)
            if upload.received == 0:
                raise Invalid("the file is empty", errors={"bundle": "choose a file"})
            upload.bytes = upload.received
            await in_thread(self._settle, upload)
        except BaseException:
            self.remove(upload.id)
            raise
        return upload

    def _settle(self, upload: Upload) -> None:
        told = {"name": upload.name, "bytes": upload.bytes, "at": upload.at}
        (self.folder / f"{upload.id}.json").write_text(json.dumps(told), encoding="utf-8")

    def _content(self, upload: Upload) -> Path:
        return self.folder / f"{upload.id}{ENDING}"
