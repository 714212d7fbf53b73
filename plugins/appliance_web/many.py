"""Many servers at once: import by paste or CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.pages import refusal
from appliance.core.routes import Reply, Request
from appliance_web import words
from appliance_web.actions import read_form, redirect
from appliance_web.site import Site

#: A paste of so many bytes holds some ten thousand servers.
IMPORT_BYTES = 512 * 1024
_COLUMNS = "address, port, name, netspeed, zones, tags, operator, note, paused"
#: Refusals that are shown one by one.
_SHOWN = 50


class Many:
    """Handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def form(self, request: Request) -> Reply:
        """The empty form."""
        return await self._page(request, "")

    async def take(self, request: Request) -> Reply:
        """Show what a paste means, or add what it means."""
        form = read_form(request, most_bytes=IMPORT_BYTES)
        typed, adding = form.get("text", ""), form.get("do") == "add"
        body = as_import(typed) | ({"partial": True} if adding else {"preview": True})
        reply = await self._site.operations.ask(request, "POST", "/api/v1/members/import", body=body)
        value = reply.value if isinstance(reply.value, Mapping) else {}
        if reply.status >= 300:
            why, faults = refusal(reply)
            return await self._page(request, typed, why=why, faults=faults, status=reply.status)
        if not adding:
            return await self._page(request, typed, rows=list(value.get("rows") or ()))
        refused = value.get("refused") or []
        if not refused:
            return redirect("/members?done=imported")
        added = words.plural(len(value.get("created") or ()), "server")
        faults = {str(one["address"]): str(one["why"]) for one in refused[:_SHOWN]}
        return await self._page(request, typed, why=f"{added} added; {len(refused)} refused:", faults=faults)

    async def _page(
        self,
        request: Request,
        typed: str,
        *,
        why: str = "",
        faults: Mapping[str, str] | None = None,
        rows: list[Any] | None = None,
        status: int = 200,
    ) -> Reply:
        fresh = sum(not row.get("member") for row in rows or ())
        return await self._site.page(
            request, "import.html", "Import servers", here="/members", topic="web", status=status,
            same=[("CLI", "timeball member import FILE"), ("API", 'POST /api/v1/members/import {"csv": "...", "preview": true}')],
            typed=typed, why=why, faults=faults or {}, rows=rows or [], fresh=fresh, columns=_COLUMNS,
        )  # fmt: skip


def as_import(text: str) -> dict[str, Any]:
    """The body for a paste: CSV when its first line names columns, else one host a line; `#` begins a remark."""
    lines = [line.strip() for line in text.splitlines()]
    first = next((line for line in lines if line), "").lower().replace(";", ",")
    names = {name.strip().strip('"') for name in first.split(",")}
    if names & {"address", "name"}:
        return {"csv": text}
    hosts = [line.partition("#")[0].strip() for line in lines]
    return {"members": [{"address": host} for host in hosts if host]}
