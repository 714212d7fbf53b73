"""Operations on the configuration: look, explain, change, confirm, take back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from appliance.api.contrib import Route
from appliance.api.errors import Invalid
from appliance.core.config import MISSING, BadConfig, Config, look_up, merge
from appliance.core.routes import Reply, Request, problem
from appliance.host import answers
from appliance.host.explain import explain
from appliance.settings import asked, tables
from appliance.settings.editor import Plan, Stale, broken, plain_value, wrong
from appliance.settings.effects import Effect, worst
from appliance.settings.history import Entry
from appliance.settings.keys import parse_key
from appliance.settings.risks import LETS_IN, lets_in

if TYPE_CHECKING:
    from appliance.host.app import Host


class ChangeBody(BaseModel):
    """What shall be set and taken back, and whether to do it or only to tell what would happen."""

    model_config = ConfigDict(defer_build=True, extra="forbid", populate_by_name=True)

    wanted: dict[str, Any] = Field(
        default_factory=dict, alias="set", description="Value by key, such as plugins.dns.ttl."
    )
    unset: list[str] = Field(default_factory=list, description="Keys that go back to their defaults.")
    revision: str = Field("", description="Of what you looked at; another one is refused.")
    dry_run: bool = Field(default=False, description="Check and tell, write nothing.")


class ValueBody(BaseModel):
    """One key's value."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    value: Any = Field(description="JSON for the TOML value; null takes the key back.")
    dry_run: bool = Field(default=False, description="Check and tell, write nothing.")


class UndoBody(BaseModel):
    """Whether to take back or only to tell."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    dry_run: bool = Field(default=False, description="Check and tell, write nothing.")


def config_routes(host: Host) -> tuple[Route, ...]:
    """The routes; each handler is a few lines around `host.changes`."""
    asking = ConfigOperations(host)
    read, write = "config:read", "config:write"
    base = "/api/v1/config"
    return (
        Route("GET", base, asking.everything, read, "The configuration in force, its layers and revision", returns=answers.CONFIG),
        Route(
            "PATCH", base, asking.patch, write,
            "Set and take back keys; with dry_run only the difference and what it would do",
            body=ChangeBody,
            max_body=2_000_000,
            secret=True, returns=answers.PLANNED, confirm=LETS_IN),
        Route("GET", f"{base}/tables", asking.tables, read, "Every table with the keys that differ from their defaults", returns=answers.TABLES),
        Route(
            "GET", f"{base}/tables/{{table}}", asking.table, read,
            "One table: JSON Schema, values, defaults, who decides each key, what a change costs", returns=answers.TABLE),
        Route("GET", f"{base}/changes", asking.changes, read, "The last changes, the latest first", returns=answers.CHANGES),
        Route("GET", f"{base}/changes/{{id}}", asking.change, read, "One change: who, what, the difference, what became of it", returns=answers.CHANGE_WITH_DIFF),
        Route("POST", f"{base}/changes/{{id}}/keep", asking.keep, write, "Confirm a change that is taken back otherwise", returns=answers.CHANGE),
        Route("POST", f"{base}/changes/{{id}}/undo", asking.undo, write, "Take a change back", body=UndoBody, returns=answers.PLANNED, confirm=LETS_IN),
        Route("GET", f"{base}/{{key}}", asking.key, read, "One key: value, meaning, and the layers that set it", returns=answers.KEY),
        Route("PUT", f"{base}/{{key}}", asking.put, write, "Set one key", body=ValueBody, secret=True, returns=answers.PLANNED, confirm=LETS_IN),
        Route("DELETE", f"{base}/{{key}}", asking.delete, write, "Take one key back to its default", returns=answers.PLANNED, confirm=LETS_IN),
    )  # fmt: skip


class ConfigOperations:
    """Handlers."""

    def __init__(self, host: Host) -> None:
        self._host = host

    # -- looking ----------------------------------------------------------------------------------------------------

    async def everything(self, request: Request) -> Reply:
        config, editor = self._host.config, self._host.changes.editor
        fresh, revision = await self._on_disk()
        waiting = [e.key for e in self._host.changes.effects(fresh)] if fresh is not None else []
        return Reply({
            "appliance": editor.mask(plain_value(config.appliance), ("appliance",)),
            "plugins": {k: editor.mask(plain_value(v), ("plugins", k)) for k, v in config.plugins.items()},
            "layers": [layer.name for layer in config.layers],
            "revision": revision,
            "not_in_force": waiting,
        }, headers=_tag(revision))  # fmt: skip

    async def tables(self, request: Request) -> Any:
        fresh, revision = await self._on_disk()
        titles = {p.id: p.info.title for p in self._host.plugins.good() if p.info} | {
            "appliance": "Appliance"
        }
        config = fresh or self._host.config
        return {
            "tables": tables.overview(self._host.changes.editor, config, titles),
            "revision": revision,
            "broken": "" if fresh is not None else await self._why_broken(),
        }

    async def table(self, request: Request) -> Reply:
        path = tables.table_path(request.params["table"])
        fresh, revision = await self._on_disk()
        loaded = next((p for p in self._host.plugins.good() if p.id == path[-1]), None)
        info = loaded.info if loaded is not None and len(path) > 1 else None
        value = tables.describe(
            self._host.changes.editor, fresh or self._host.config, path, provides=bool(info and info.provides)
        )
        value |= {
            "title": info.title if info else "Appliance",
            "revision": revision,
            "on": None if loaded is None or info is None else self._host.enabled(loaded),
            "broken": "" if fresh is not None else await self._why_broken(),
        }
        return Reply(value, headers=_tag(revision))

    async def key(self, request: Request) -> dict[str, Any]:
        models = {p.id: p.info.config for p in self._host.plugins.good() if p.info}
        found = explain(self._host.config, models, request.params["key"])
        mask, path = self._host.changes.editor.mask, parse_key(found["key"])
        for name in ("value", "default"):
            found[name] = mask(plain_value(found[name]), path)
        found["layers"] = [layer | {"value": mask(layer["value"], path)} for layer in found["layers"]]
        return found

    async def changes(self, request: Request) -> list[Any]:
        entries = await self._host.changes.entries()
        return [self._told(entry) for entry in entries]

    async def change(self, request: Request) -> dict[str, Any]:
        entry = await self._host.changes.entry(_number(request))
        return self._told(entry) | {"diff": self._host.changes.editor.diff(entry.files)}

    # -- changing ---------------------------------------------------------------------------------------------------

    async def patch(self, request: Request) -> Reply:
        body: ChangeBody = request.body
        revision = body.revision or request.headers.get("if-match", "").strip('"')
        return await self._change(request, body.wanted, body.unset, revision, dry_run=body.dry_run)

    async def put(self, request: Request) -> Reply:
        revision = request.headers.get("if-match", "").strip('"')
        wanted = {request.params["key"]: request.body.value}
        return await self._change(request, wanted, [], revision, dry_run=request.body.dry_run)

    async def delete(self, request: Request) -> Reply:
        revision = request.headers.get("if-match", "").strip('"')
        return await self._change(request, {}, [request.params["key"]], revision, dry_run=False)

    async def keep(self, request: Request) -> dict[str, Any]:
        return self._told(await self._host.changes.keep(_number(request)))

    async def undo(self, request: Request) -> dict[str, Any]:
        changes = self._host.changes
        plan, effects, entry = await changes.plan_undo(_number(request))
        answer = self._planned(plan, effects)
        request.note.target = f"change {entry.id}"
        await self._tell(request, plan)
        if request.body.dry_run or not plan.files:
            return answer | {"change": None}
        _stand_behind(request, answer["needs_password"])
        made = await changes.apply(plan, str(request.actor), undoes=entry.id)
        return answer | {"change": self._told(made)}

    async def _change(
        self, request: Request, wanted: dict[str, Any], unset: list[str], revision: str, *, dry_run: bool
    ) -> Reply:
        changes = self._host.changes
        entries = asked.changes(wanted, unset, self._host.config, changes.editor.secrets)
        if not entries:
            raise Invalid("nothing was asked for: give keys in `set` or `unset`")
        request.note.target = ", ".join(sorted([*wanted, *unset]))[:500]
        request.note.after = {"keys": sorted([*wanted, *unset])}  # never the body, which may hold secrets
        try:
            plan, effects = await changes.plan(entries, revision)
        except Stale as stale:
            reply = problem(stale)
            details = {"changed": stale.changed, "overlap": stale.overlap, "revision": stale.revision}
            return Reply({**reply.value, **details}, reply.status, reply.headers, reply.content_type)
        answer = self._planned(plan, effects)
        if dry_run or not plan.files:
            return Reply(answer | {"change": None}, headers=_tag(plan.revision))
        await self._tell(request, plan)
        _stand_behind(request, answer["needs_password"])
        made = await changes.apply(plan, str(request.actor))
        return Reply(answer | {"change": self._told(made)})

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _tell(self, request: Request, plan: Plan) -> None:
        """What a plan turns into what, for the audit trail: by key, without secrets; None where it is not set."""
        mask = self._host.changes.editor.mask
        fresh, _ = await self._on_disk()
        before, after = (merge(config.layers) for config in (fresh or self._host.config, plan.config))
        paths = {key: parse_key(key) for key in plan.keys}
        found = [
            {key: None if (value := look_up(values, path)) is MISSING else mask(plain_value(value), path)
             for key, path in paths.items()}
            for values in (before, after)
        ]  # fmt: skip
        request.note.before, request.note.after = found

    async def _on_disk(self) -> tuple[Config | None, str]:
        """What the files say now, checked, with their revision; None when they are broken."""
        try:
            return await self._host.changes.on_disk()
        except BadConfig:
            return None, ""

    async def _why_broken(self) -> str:
        try:
            await self._host.changes.on_disk()
        except BadConfig as bad:
            return str(broken(bad)) + "".join(f"; {k}: {v}" for k, v in wrong(bad).errors.items())
        return ""

    def _planned(self, plan: Plan, effects: list[Effect]) -> dict[str, Any]:
        return {
            "diff": plan.diff,
            "files": [str(change.path) for change in plan.files],
            "notes": plan.notes,
            "effects": effects,
            "how": worst(effects),
            "locks_out": any(effect.locks_out for effect in effects),
            "confirm_s": self._host.changes.patience.confirm_s,
            "revision": plan.revision,
            "needs_password": lets_in(self._host.config, plan.config, self._by_default()),
        }

    def _by_default(self) -> dict[str, bool]:
        """Whether each plugin that could be loaded runs when nothing is said about it."""
        return {p.id: p.info.enabled for p in self._host.plugins.good() if p.info is not None}

    def _told(self, entry: Entry) -> dict[str, Any]:
        return {
            "id": entry.id, "ts": entry.ts, "actor": entry.actor, "keys": entry.keys, "state": entry.state, "why": entry.why,
            "undoes": entry.undoes or None, "files": [str(c.path) for c in entry.files],
            "effects": [{"key": key, "how": how} for key, how in entry.effects],
            "left_s": self._host.changes.left_s(entry),
        }  # fmt: skip


def _stand_behind(request: Request, risks: list[str]) -> None:
    if risks:
        request.needs_password(" and ".join(risks))


def _number(request: Request) -> int:
    text = request.params["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"{text[:20]!r} is not the number of a change")
    return int(text)


def _tag(revision: str) -> dict[str, str]:
    return {"ETag": f'"{revision}"'} if revision else {}
