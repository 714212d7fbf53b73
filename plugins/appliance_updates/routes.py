"""The operations: what runs, what lies ready, check, upload, install, restart, and the way back."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from appliance.api.config import PluginConfig
from appliance.api.contrib import Route
from appliance.api.http import Reply, Request
from appliance.api.shapes import COUNT, TEXT, obj
from appliance_updates.service import NotInstallable, Updates
from appliance_updates.uploads import MOST_BYTES, PIECE_BYTES

BASE = "/api/v1/updates"
_TEXT, _YES_NO, _COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}
_RELEASE = {"type": ["object", "null"], "properties": {"version": _TEXT, "built": _COUNT, "commit": _TEXT}}
_JOB = {
    "type": "object",
    "required": ["state", "name", "doing", "share", "error"],
    "properties": {
        "state": {"enum": ["idle", "running", "done", "failed"]}, "name": _TEXT, "doing": _TEXT,
        "share": {"type": "number", "minimum": 0, "maximum": 1}, "error": _TEXT, "remedy": _TEXT, "result": {"type": "object"},
    },
}  # fmt: skip
_STATUS = {
    "type": "object",
    "required": ["image", "why", "job"],
    "properties": {
        "image": {"description": "false on a plain Debian, else which image runs"},
        "why": _TEXT | {"description": "why this is not all"},
        "job": _JOB,
        "slots": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"enum": ["A", "B"]}, "running": _YES_NO, "next": _YES_NO, "good": _YES_NO, "starts": _YES_NO,
                    "tries_left": _COUNT, "last_good": _YES_NO, "release": _RELEASE,
                },
            },
        },
        "pending": {"type": ["object", "null"], "description": "what was begun and waits for a restart, or for its proof"},
        "history": {"type": "array", "items": {"type": "object"}, "description": "what came of updates, the latest first"},
        "snapshots": {"type": "array", "items": _TEXT},
    },
}  # fmt: skip
_FOUND = {
    "type": "object",
    "properties": {
        "found": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"file": _TEXT, "name": _TEXT, "bytes": _COUNT, "where": _TEXT},
                "required": ["file", "name", "bytes", "where"],
            },
        },
        "wrong": {"type": "array", "items": _TEXT},
    },
    "required": ["found", "wrong"],
}
_CHECKED = {
    "type": "object",
    "properties": {
        "file": _TEXT,
        "bundle": {"type": "object"},
        "refusals": {
            "type": "array",
            "items": {"type": "object", "properties": {"code": _TEXT, "text": _TEXT, "remedy": _TEXT}},
        },
    },
    "required": ["file", "bundle", "refusals"],
}
_UPLOAD = {
    "type": "object",
    "properties": {
        "id": _TEXT, "name": _TEXT, "bytes": _COUNT, "received": _COUNT, "at": {"type": "number"}, "complete": _YES_NO,
    },
    "required": ["id", "name", "bytes", "received", "complete"],
}  # fmt: skip
_SLOT = {"type": "object", "properties": {"slot": _TEXT}}


class Which(PluginConfig):
    """A bundle, and what is wanted although it is unusual."""

    file: str = Field(
        min_length=1,
        max_length=1000,
        description='such as "upload:ID" or "stick:sdb1/NAME", as candidates lists them',
    )
    allow_downgrade: bool = Field(default=False, description="an older release is wanted")
    again: bool = Field(default=False, description="the same release is wanted once more")


class Announced(PluginConfig):
    """A file that is about to be sent."""

    name: str = Field(min_length=1, max_length=300)
    bytes: int = Field(ge=1, le=MOST_BYTES)


class Offset(PluginConfig):
    """Where a piece belongs."""

    offset: int = Field(0, ge=0, le=MOST_BYTES)


class GoBack(PluginConfig):
    """How to go to the other system."""

    keep_data: bool = Field(default=False, description="leave database and settings as they are")
    unproved: bool = Field(default=False, description="also when that system is not marked good")


def routes(updates: Updates) -> list[Route]:
    """All operations."""

    async def status(request: Request) -> dict[str, Any]:
        return await updates.status(fresh=True)

    async def candidates(request: Request) -> dict[str, Any]:
        return await updates.candidates()

    async def check(request: Request) -> dict[str, Any]:
        wanted: Which = request.body
        return await updates.check(
            wanted.file,
            local=request.actor.kind == "local",
            allow_downgrade=wanted.allow_downgrade,
            again=wanted.again,
        )

    async def install(request: Request) -> Reply:
        wanted: Which = request.body
        request.note.target = wanted.file
        checked = await check(request)
        if checked["refusals"]:
            first = checked["refusals"][0]
            raise NotInstallable(f"{first['text']}: {first['remedy']}" if first["remedy"] else first["text"])
        job = await updates.install(
            wanted.file,
            local=request.actor.kind == "local",
            allow_downgrade=wanted.allow_downgrade,
            again=wanted.again,
        )
        return Reply(job.as_dict(), 202)

    async def announce(request: Request) -> Reply:
        wanted: Announced = request.body
        upload = await updates.in_thread(updates.uploads.begin, wanted.name, wanted.bytes)
        return Reply(upload.as_dict(), 201)

    async def piece(request: Request) -> dict[str, Any]:
        offset: Offset = request.query_model
        upload = await updates.in_thread(
            updates.uploads.add, request.params["id"], offset.offset, request.content
        )
        return dict(upload.as_dict())

    async def uploads(request: Request) -> list[dict[str, Any]]:
        return [one.as_dict() for one in await updates.in_thread(updates.uploads.all)]

    async def remove(request: Request) -> dict[str, Any]:
        return dict((await updates.in_thread(updates.uploads.remove, request.params["id"])).as_dict())

    async def back(request: Request) -> dict[str, Any]:
        return await updates.do(
            "updates.back", keep_data=request.body.keep_data, unproved=request.body.unproved
        )

    async def stay(request: Request) -> dict[str, Any]:
        return await updates.do("updates.stay")

    async def restart(request: Request) -> Reply:
        return Reply(await updates.do("power.restart"), 202)

    async def seen(request: Request) -> dict[str, Any]:
        return await updates.do("updates.seen")

    done: dict[str, Any] = {"returns": _SLOT, "refuses": (409,)}
    return [
        Route("GET", BASE, status, "read", "Both systems of the box, what was begun, and what came of updates", returns=_STATUS),
        Route("GET", f"{BASE}/candidates", candidates, "read", "Bundles that lie ready: uploaded, on sticks, in folders",
              returns=_FOUND, refuses=(409,)),
        Route("POST", f"{BASE}/check", check, "operate", "Whether a bundle may be installed here, and what it brings",
              body=Which, returns=_CHECKED, refuses=(404, 409), audit=False),
        Route("POST", f"{BASE}/install", install, "admin", "Install a bundle into the system that does not run",
              body=Which, returns=_JOB, status=202, refuses=(404, 409), confirm=True),
        Route("GET", f"{BASE}/uploads", uploads, "read", "Uploads that are there", returns={"type": "array", "items": _UPLOAD},
              refuses=(409,)),
        Route("POST", f"{BASE}/uploads", announce, "admin", "Announce a bundle that will be sent in pieces",
              body=Announced, returns=_UPLOAD, status=201, refuses=(409,)),
        Route("PUT", f"{BASE}/uploads/{{id}}", piece, "admin", "Send the next piece of a bundle, as application/octet-stream",
              query=Offset, returns=_UPLOAD, refuses=(404, 409), max_body=PIECE_BYTES, audit=False),
        Route("DELETE", f"{BASE}/uploads/{{id}}", remove, "admin", "Delete an upload", returns=_UPLOAD, refuses=(404, 409)),
        Route("POST", f"{BASE}/back", back, "admin", "Have the other system started next, with the data that it left",
              body=GoBack, confirm=True, **done),
        Route("POST", f"{BASE}/stay", stay, "admin", "Have the system that runs started next after all", **done),
        Route("POST", f"{BASE}/restart", restart, "admin", "Restart the box", returns=obj({"asked": TEXT}), status=202,
              refuses=(409,), confirm=True),
        Route("POST", f"{BASE}/seen", seen, "operate", "Note that what came of the last update was read",
              returns=obj({"seen": COUNT}), refuses=(409,)),
    ]  # fmt: skip
