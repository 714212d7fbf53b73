"""The page about how the box is reached: TLS & trust, with the forms for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.pages import ask_confirmed, refusal
from appliance.core.routes import Reply, Request
from appliance_web.actions import read_form, redirect
from appliance_web.front import Front
from appliance_web.site import Site
from appliance_web.tls.operations import told
from appliance_web.views.standing import Sentence


class Reaching:
    """Handlers of /tls."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def tls(self, request: Request) -> Reply:
        return await self._page(request, {}, "")

    async def renew(self, request: Request) -> Reply:
        form = read_form(request)
        body = {"authority": form.get("authority") == "yes"}
        asked = ("POST", "/api/v1/tls/renew", body)
        return await self._done(request, form, asked, "authority" if body["authority"] else "renew")

    async def reset(self, request: Request) -> Reply:
        asked = ("DELETE", "/api/v1/tls/certificate", None)
        return await self._done(request, read_form(request), asked, "reset")

    async def upload(self, request: Request) -> Reply:
        form = read_form(request, most_bytes=UPLOAD_BYTES)
        body = {"certificate": form.get("certificate", ""), "key": form.get("key", "")}
        return await self._done(request, form, ("PUT", "/api/v1/tls/certificate", body), "upload")

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _done(
        self, request: Request, form: Mapping[str, str], asked: tuple[str, str, Any], tried: str
    ) -> Reply:
        """Do what a form asks for; when it is refused, the page again with what was filled in."""
        reply = await ask_confirmed(self._site.operations, request, form, *asked)
        if reply.status < 300:
            return redirect(f"/tls?done={_DONE[tried]}")
        why, fields = refusal(reply)
        # The key is not shown again: it would stand in the page, and in the browser's memory of it.
        return await self._page(
            request, fields, why, form.get("certificate", ""), tried=tried, status=reply.status
        )

    async def _page(
        self,
        request: Request,
        errors: Mapping[str, str],
        why: str,
        certificate: str = "",
        *,
        tried: str = "",
        status: int = 200,
    ) -> Reply:
        site = self._site
        value = told(site.ctx.get(Front), site.now())
        return await site.page(
            request, "tls.html", "TLS & trust", here="/tls", topic="tls", status=status,
            same=[("CLI", "timeball tls show"), ("CLI", "timeball tls upload CERTIFICATE KEY"), ("API", "GET /api/v1/tls")],
            said=tls_sentence(value), tls=value, ask_password=not request.actor.confirmed, errors=errors, why=why, tried=tried, form={"certificate": certificate},
        )  # fmt: skip


#: By form of the page: word of the notice that follows when it was done.
_DONE = {
    "authority": "certificate-renewed",
    "renew": "certificate-renewed",
    "reset": "certificate-reset",
    "upload": "certificate-uploaded",
}
#: Two PEM texts as a form encodes them.
UPLOAD_BYTES = 256 * 1024


def tls_sentence(value: Mapping[str, Any]) -> Sentence:
    """How things stand with HTTPS."""
    if value["source"] == "none" or not value["https"]:
        why = value["not_served"] or "No address is set for it: listen_tls under Settings, Web pages."
        return Sentence("degraded", "HTTPS is not served.", why)
    where = ", ".join(value["https"])
    if value["warnings"]:
        return Sentence("degraded", "HTTPS works, with a note.", "; ".join(value["warnings"]))
    if value["source"] == "uploaded":
        return Sentence("ok", "HTTPS with a certificate of your own.", f"Served at {where}.")
    return Sentence(
        "ok", "HTTPS with the box's own certificate.",
        f"Served at {where}. Browsers warn until they trust the authority of this box.",
    )  # fmt: skip
