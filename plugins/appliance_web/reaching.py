"""The page about how the box is reached: TLS & trust, with the forms for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from appliance.api.errors import ApiError
from appliance.api.pages import refusal
from appliance.core.routes import Reply, Request
from appliance_web.actions import as_error, read_form, redirect
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
        request = await self._confirmed(request, form)
        return await self._done(request, "POST", "/api/v1/tls/renew", "certificate-renewed", body)

    async def reset(self, request: Request) -> Reply:
        request = await self._confirmed(request, read_form(request))
        return await self._done(request, "DELETE", "/api/v1/tls/certificate", "certificate-reset", None)

    async def upload(self, request: Request) -> Reply:
        form = read_form(request, most_bytes=UPLOAD_BYTES)
        body = {"certificate": form.get("certificate", ""), "key": form.get("key", "")}
        try:
            request = await self._confirmed(request, form)
        except ApiError as error:
            why, fields, status = str(error), dict(error.errors), error.status
        else:
            reply = await self._site.operations.ask(request, "PUT", "/api/v1/tls/certificate", body=body)
            if reply.status < 300:
                return redirect("/tls?done=certificate-uploaded")
            (why, fields), status = refusal(reply), reply.status
        # The key is not shown again: it would stand in the page, and in the browser's memory of it.
        return await self._page(request, fields, why, body["certificate"], status=status)

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _confirmed(self, request: Request, form: Mapping[str, str]) -> Request:
        """The request, with the password of the last minutes: the form carries it when it is needed.

        Raises:
            ApiError: it is not the password, or it was tried too often.
        """
        if request.actor.confirmed or not form.get("my_password"):
            return request
        body = {"password": form["my_password"]}
        reply = await self._site.operations.ask(request, "POST", "/api/v1/session/confirm", body=body)
        if reply.status != 200:
            raise as_error(reply)
        return replace(request, actor=replace(request.actor, confirmed=True))

    async def _done(self, request: Request, method: str, path: str, notice: str, body: Any) -> Reply:
        reply = await self._site.operations.ask(request, method, path, body=body)
        if reply.status >= 300:
            raise as_error(reply)
        return redirect(f"/tls?done={notice}")

    async def _page(
        self,
        request: Request,
        errors: Mapping[str, str],
        why: str,
        certificate: str = "",
        *,
        status: int = 200,
    ) -> Reply:
        site = self._site
        value = told(site.ctx.get(Front), site.now())
        return await site.page(
            request, "tls.html", "TLS & trust", here="/tls", topic="tls", status=status,
            same=[("CLI", "timeball tls show"), ("CLI", "timeball tls upload CERTIFICATE KEY"), ("API", "GET /api/v1/tls")],
            said=tls_sentence(value), tls=value, ask_password=not request.actor.confirmed, errors=errors, why=why, form={"certificate": certificate},
        )  # fmt: skip


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
