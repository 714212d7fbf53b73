"""The page that tells how to use this pool."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from appliance.api.errors import ApiError
from appliance.api.services import AnswerTable
from appliance.core.routes import Reply, Request
from appliance_web.guard import host_name
from appliance_web.site import Site
from appliance_web.views import use as use_view


class UsePage:
    """Handler of /use."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def pool(self, host: str) -> use_view.Pool:
        """What clients can be told, now; `host` is this box as the reader called it."""
        answers = self._site.ctx.find(AnswerTable)  # type: ignore[type-abstract]
        apex = self._explained(answers, "@", "SOA")
        if answers is None or apex is None:
            return use_view.pool(None, {}, (), host or "127.0.0.1")
        numbered = [
            n
            for n in (f"{i}.{apex['name'].rstrip('.')}" for i in range(use_view.SERVERS))
            if self._explained(answers, n, "A")
        ]
        families = {4: "A", 6: "AAAA"}
        told = {
            family: found
            for family, rrtype in families.items()
            if (found := self._explained(answers, "@", rrtype))
        }
        return use_view.pool(apex, told, numbered, host)

    async def show(self, request: Request) -> Reply:
        found = self.pool(host_name(request.headers.get("host", "")))
        return await self._site.page(
            request, "use.html", "Use this pool", here="/use", topic="use",
            same=[("CLI", "timeball dns answer @"), ("dig", f"dig {found.whole} A"), ("API", "GET /api/v1/dns/answer?name=%40")],
            said=use_view.sentence(found),
            pool=found,
            groups=[group for group in use_view.recipes(found) if group.recipes],
        )  # fmt: skip

    @staticmethod
    def _explained(answers: AnswerTable | None, name: str, rrtype: str) -> Mapping[str, Any] | None:
        """What would be answered, or None when nothing is."""
        if answers is not None:
            with contextlib.suppress(ApiError, LookupError, AssertionError):
                return answers.explain(name, rrtype, None)
        return None
