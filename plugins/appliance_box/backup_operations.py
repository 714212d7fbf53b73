"""Operations on backups: made into a file of the plugin's own folder, sent, and removed.

An uploaded one is checked while it comes to rest beside the state, and taken at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import BodyPartReader, web

from appliance.api.context import SetupContext
from appliance.api.contrib import Route
from appliance.api.errors import ApiError, Conflict, Invalid
from appliance.api.http import Request
from appliance.api.services import HostView
from appliance.core.bodies import reading_form
from appliance.core.swapping import Exchange
from appliance_box import answers, bodies
from appliance_box.backup import BadArchive, gathering, lasting, making, restoring
from appliance_box.backup.manifest import Manifest
from appliance_box.backup.sealing import check_passphrase
from appliance_box.image import read_image
from appliance_box.operations import Operations

_BLOCK: Final = 256 * 1024
#: A sender or reader that does nothing for so long is given up.
_SILENT_S: Final = 60.0
#: Whether there is room is looked at while it comes.
LARGEST: Final = 1 << 40


class NotTaken(ApiError):
    """A backup that cannot be restored, or not be made."""

    status = 422

    def __init__(self, bad: BadArchive) -> None:
        super().__init__(str(bad) + (f"; {bad.remedy}" if bad.remedy else ""))
        self.code = f"backup_{bad.code}"


class Backups:
    """Handlers.

    Args:
        ctx: of the plugin.
        box: asks the agent.
    """

    def __init__(self, ctx: SetupContext, box: Operations) -> None:
        self._ctx = ctx
        self._box = box
        self._prepared: restoring.Prepared | None = None
        self._busy = asyncio.Lock()

    @property
    def _state(self) -> Path:
        return self._ctx.state_dir.parent

    @property
    def _config(self) -> Path | None:
        return self._ctx.get(HostView).config_file  # type: ignore[type-abstract]

    @property
    def _version(self) -> str:
        return self._ctx.get(HostView).version  # type: ignore[type-abstract]

    # -- making -----------------------------------------------------------------------------------------------------

    async def show(self, request: Request) -> dict[str, Any]:
        """Whether one can be made, what waits, and whether there is a way back."""
        exchange = Exchange(self._state)
        plan = exchange.plan()
        last = await asyncio.to_thread(lasting.read, self._state)
        return {
            "last": last and {"at": last.made_s, "sealed": last.sealed},
            "database_bytes": await asyncio.to_thread(gathering.room_needed, self._state),
            "prepared": None if self._prepared is None else described(self._prepared),
            "restored": None if plan is None else {"phase": plan.phase, "about": plan.about},
            "way_back": exchange.before.is_dir(),
        }

    async def make(self, request: Request) -> web.StreamResponse:
        """Make one and send it."""
        body: bodies.NewBackup = request.body
        if body.passphrase:
            try:
                check_passphrase(body.passphrase)
            except ValueError as error:
                raise Invalid(str(error), errors={"passphrase": str(error)}) from None
        host, now_s = self._host_name(), self._ctx.clock.wall_ns() / 1e9
        name = making.name_for(host, now_s, sealed=bool(body.passphrase))
        request.note.target, request.note.after = name, {"sealed": bool(body.passphrase)}
        if request.raw is None:
            raise Conflict("a backup is sent as a file, and there is nobody to send it to")
        image = await asyncio.to_thread(read_image, self._box.root)
        source = making.Source(
            self._state, self._version, self._config if self._config and os.access(self._config, os.R_OK) else None, await self._box_settings(),
            image.id if image else "", now_s,
        )  # fmt: skip
        file = self._ctx.state_dir / f"{secrets.token_hex(8)}.backup"
        try:
            async with self._one_at_a_time():
                await asyncio.to_thread(making.make, source, file, passphrase=body.passphrase)
            sent = await _sent(request.raw, file, name)
        except BadArchive as bad:
            raise NotTaken(bad) from None
        except OSError as error:
            raise Conflict(f"the backup cannot be written: {error.strerror}") from None
        finally:
            file.unlink(missing_ok=True)
        await asyncio.to_thread(lasting.note, self._state, lasting.Last(now_s, sealed=bool(body.passphrase)))
        return sent

    async def _box_settings(self) -> Mapping[str, Any] | None:
        with contextlib.suppress(ApiError):
            found: Mapping[str, Any] = (await self._box.ask("box.read", {"secrets": True}))["settings"]
            return found
        return None

    def _host_name(self) -> str:
        import socket

        return socket.gethostname()

    # -- restoring --------------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> dict[str, Any]:
        """Take one in, check it, and put it beside the state."""
        if request.raw is None:
            raise Conflict("a backup is sent as a file")
        file = self._ctx.state_dir / f"{secrets.token_hex(8)}.upload"
        try:
            async with self._one_at_a_time():
                with reading_form():
                    passphrase = await _received(request.raw, file)
                self._prepared = None
                self._prepared = await asyncio.to_thread(
                    restoring.prepare, file, self._state, self._version, passphrase=passphrase
                )
        except BadArchive as bad:
            raise NotTaken(bad) from None
        except TimeoutError:
            raise Conflict("the file did not come in time") from None
        except OSError as error:
            raise Conflict(f"the backup cannot be put beside the state: {error.strerror}") from None
        finally:
            file.unlink(missing_ok=True)
        request.note.target, request.note.after = "backup", described(self._prepared)
        return described(self._prepared)

    async def apply(self, request: Request) -> dict[str, Any]:
        """Let the next start take what was uploaded."""
        prepared, body = self._prepared, request.body
        if prepared is None:
            raise Conflict("no backup waits: upload one first")
        request.note.target, request.note.after = "backup", described(prepared)
        await asyncio.to_thread(restoring.arrange, self._state, prepared.manifest)
        self._prepared = None
        notes = list(prepared.notes)
        if body.config and prepared.config:
            notes += await self._put_config(prepared.config)
        if body.box and prepared.box is not None:
            try:
                await self._box.ask("box.apply", {"settings": prepared.box, "confirm_s": 0})
            except ApiError as error:
                notes.append(f"host name and network stay as they are: {error}")
        return {"takes_effect": "with the next start", "notes": notes}

    async def discard(self, request: Request) -> dict[str, Any]:
        self._prepared = None
        exchange = Exchange(self._state)
        plan = exchange.plan()
        if plan is None or plan.phase != "filling":
            await asyncio.to_thread(exchange.clear)
        return {"prepared": None}

    async def go_back(self, request: Request) -> dict[str, Any]:
        """Let the next start take what was there before the last restore."""
        if not await asyncio.to_thread(Exchange(self._state).arrange_return):
            raise Conflict(
                "there is nothing to go back to: no backup was restored since, or its way back was given up"
            )
        return {"takes_effect": "with the next start"}

    async def _put_config(self, files: Mapping[str, bytes]) -> list[str]:
        """Write it ourselves where we may, else have the agent do it; notes about what was not done."""
        if self._config is None:
            return ["this appliance has no configuration file: that of the backup is left out"]
        try:
            await asyncio.to_thread(restoring.write_config, self._config, dict(files))
        except OSError:
            try:
                await self._box.ask(
                    "config.write", {"files": {name: content.decode() for name, content in files.items()}}
                )
            except (ApiError, UnicodeDecodeError) as error:
                return [f"the configuration file stays as it is: {error}"]
        return []

    @contextlib.asynccontextmanager
    async def _one_at_a_time(self) -> Any:
        if self._busy.locked():
            raise Conflict("another backup is being made or taken in: try again when it is done")
        async with self._busy:
            self._ctx.state_dir.mkdir(parents=True, exist_ok=True)
            yield


def described(prepared: restoring.Prepared) -> dict[str, Any]:
    """For people and programs."""
    return {
        **shown(prepared.manifest),
        "notes": prepared.notes,
        "config": sorted(prepared.config),
        "box": prepared.box is not None,
    }


def shown(manifest: Manifest) -> dict[str, Any]:
    """What an archive says of itself."""
    return {
        "version": manifest.version, "created": manifest.created, "host": manifest.host, "machine": manifest.machine,
        "image": manifest.image, "bytes": manifest.bytes, "files": len(manifest.files),
        "plugins": [plugin.model_dump() for plugin in manifest.plugins],
    }  # fmt: skip


async def _sent(raw: web.Request, file: Path, name: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={
        "Content-Type": "application/octet-stream", "Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store",
    })  # fmt: skip
    response.content_length = (await asyncio.to_thread(file.stat)).st_size
    with file.open("rb") as source:
        # Without its name from here on: nothing is left lying about, however this ends.
        await asyncio.to_thread(file.unlink)
        await response.prepare(raw)
        while block := await asyncio.to_thread(source.read, _BLOCK):
            async with asyncio.timeout(_SILENT_S):
                await response.write(block)
    await response.write_eof()
    return response


async def _received(raw: web.Request, file: Path) -> str:
    """Write the archive of a form (fields passphrase, file) or of a bare body to `file`; the passphrase."""
    passphrase = raw.headers.get("Timeball-Passphrase", "")
    folder = file.parent
    if not raw.content_type.startswith("multipart/"):
        await _spooled(raw.content.iter_chunked(_BLOCK), file, folder)
        return passphrase
    async for part in await raw.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.name in ("passphrase", "passphrase_of_file"):
            async with asyncio.timeout(_SILENT_S):
                passphrase = (await part.read(decode=True))[:4096].decode("utf-8", "replace")
        elif part.name == "file":
            if await asyncio.to_thread(file.exists):
                raise Invalid("more than one file came", errors={"file": "choose one backup"})
            await _spooled(_chunks(part), file, folder)
    if not await asyncio.to_thread(file.exists):
        raise Invalid("no file came", errors={"file": "choose the backup's file"})
    return passphrase


async def _chunks(part: BodyPartReader) -> Any:
    while block := await part.read_chunk(_BLOCK):
        yield block


async def _spooled(blocks: Any, file: Path, folder: Path) -> None:
    """Raises BadArchive: the disk would be full."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as out:
        iterator = aiter(blocks)
        while True:
            try:
                async with asyncio.timeout(_SILENT_S):
                    block = await anext(iterator)
            except StopAsyncIteration:
                return
            gathering.check_room(folder, len(block), "the uploaded file")
            await asyncio.to_thread(out.write, block)


def backup_routes(b: Backups) -> tuple[Route, ...]:
    """The operations."""
    path = "/api/v1/backup"
    restore = "backup:restore"
    return (
        Route("GET", path, b.show, "backup:create", "How large a backup is, what waits to be restored, whether there is a way back", returns=answers.BACKUP),
        Route(
            "POST", path, b.make, "backup:create", "Make a backup; the answer is the file", body=bodies.NewBackup, secret=True,
            confirm=True, produces=("application/octet-stream",), refuses=(409, 422),
        ),
        Route(
            "POST", f"{path}/restore", b.upload, restore, "Upload a backup: it is checked and put beside the state, nothing else",
            secret=True, confirm=True, as_it_comes=True, max_body=LARGEST, returns=answers.PREPARED, refuses=(409, 422),
        ),
        Route(
            "POST", f"{path}/restore/apply", b.apply, restore, "Let the next start take the uploaded backup", body=bodies.Apply,
            confirm=True, returns=answers.APPLIED, refuses=(409,),
        ),
        Route("DELETE", f"{path}/restore", b.discard, restore, "Forget the uploaded backup", returns=answers.DISCARDED),
        Route(
            "POST", f"{path}/return", b.go_back, restore, "Let the next start take the state from before the last restore",
            confirm=True, returns=answers.RETURNING, refuses=(409,),
        ),
    )  # fmt: skip
