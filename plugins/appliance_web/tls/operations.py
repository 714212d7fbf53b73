"""The API's operations on certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from appliance.api.context import SetupContext
from appliance.api.contrib import Route
from appliance.api.errors import ApiError, Invalid, NotFound
from appliance.core.routes import Reply, Request
from appliance_web.front import Front
from appliance_web.tls.keeper import Keeper
from appliance_web.tls.known import Facts, Known
from appliance_web.tls.refused import MOST_BYTES, BadChain


class Renewal(BaseModel):
    """What is made anew."""

    model_config = ConfigDict(defer_build=True, extra="forbid")
    authority: bool = Field(
        default=False, description="Also the authority; who trusts the old one has to trust it anew."
    )


class OwnCertificate(BaseModel):
    """A certificate with its chain, and its key."""

    model_config = ConfigDict(defer_build=True, extra="forbid")
    certificate: str = Field(
        max_length=MOST_BYTES, description="PEM: the server's certificate, then who signed it, and so on."
    )
    key: str = Field(max_length=MOST_BYTES, description="PEM, without a passphrase. Never shown again.")


class _NoDisk(ApiError):
    """The disk did not take it; nothing was changed."""

    status = 503
    code = "not_kept"


class Operations:
    """The handlers."""

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx

    @property
    def _front(self) -> Front:
        return self._ctx.get(Front)

    async def show(self, request: Request) -> dict[str, Any]:
        return told(self._front, self._now_s())

    async def renew(self, request: Request) -> dict[str, Any]:
        body: Renewal = request.body
        if body.authority:
            request.needs_password("a new authority, which everybody has to trust anew,")
        keeper = _running(self._front)
        request.note.target, request.note.before = "certificate", self._fingerprints()
        await asyncio.to_thread(lambda: keeper.renew(authority=body.authority))
        request.note.after = self._fingerprints()
        return await self.show(request)

    async def upload(self, request: Request) -> dict[str, Any]:
        body: OwnCertificate = request.body
        request.note.target, request.note.after = "certificate", {"certificate": "refused"}
        keeper = _running(self._front)
        request.note.before = self._fingerprints()
        try:
            await asyncio.to_thread(keeper.upload, body.certificate, body.key)
        except BadChain as bad:
            raise Invalid("this certificate cannot be used; nothing was changed", errors=bad.errors) from None
        except OSError as error:
            raise _NoDisk(f"the certificate cannot be kept ({error.strerror}); nothing was changed") from None
        request.note.after = self._fingerprints()
        return await self.show(request)

    async def reset(self, request: Request) -> dict[str, Any]:
        keeper = _running(self._front)
        request.note.target, request.note.before = "certificate", self._fingerprints()
        if not await asyncio.to_thread(keeper.reset):
            raise NotFound("no certificate of your own is served: the box's own one is")
        request.note.after = self._fingerprints()
        return await self.show(request)

    async def authority(self, request: Request) -> Reply:
        content = await asyncio.to_thread(_running(self._front).give_out_authority)
        name = {"Content-Disposition": 'attachment; filename="timeball-authority.crt"'}
        return Reply(content, headers=name, content_type="application/x-x509-ca-cert")

    def _fingerprints(self) -> dict[str, str]:
        """What is served and who vouches for it, for the audit trail."""
        known = _running(self._front).told
        assert known is not None
        return {"certificate": known.serving.fingerprint, "authority": known.authority.fingerprint}

    def _now_s(self) -> float:
        return self._ctx.clock.wall_ns() / 1e9


def told(front: Front, now_s: float) -> dict[str, Any]:
    """All there is to say about HTTPS here."""
    known = front.keeper.told
    found: dict[str, Any] = {
        "https": [str(endpoint) for endpoint in front.tls],
        "not_served": front.unbound,
        "source": "none",
    }
    if known is None:
        return found
    return {
        **found,
        "source": known.source,
        "hsts": front.hsts(),
        "certificate": _certificate(known.serving, now_s),
        "renewed_by_itself": known.source == "local",
        "warnings": [*known.warnings, *_late(known, now_s)],
        "authority": {
            **_certificate(known.authority, now_s),
            "given_out": front.keeper.given_out,
            "not_covered": known.missing,
        },
    }


def _certificate(facts: Facts, now_s: float) -> Mapping[str, Any]:
    return {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "names": facts.names,
        "not_before": facts.begins_s,
        "not_after": facts.ends_s,
        "days_left": round((facts.ends_s - now_s) / 86400, 1),
        "fingerprint_sha256": facts.fingerprint,
    }


#: An own certificate is nobody's to renew but its owner's.
SOON_S = 21 * 86400.0


def _late(known: Known, now_s: float) -> list[str]:
    left_s = known.serving.ends_s - now_s
    if known.source != "uploaded" or left_s > SOON_S:
        return []
    return ["it has expired" if left_s <= 0 else f"it expires in {left_s / 86400:.0f} days"]


def trouble(front: Front, now_s: float) -> str | None:
    """What a health check says, or None."""
    if front.unbound:
        return f"HTTPS is not served at {front.unbound}"
    known = front.keeper.told
    late = _late(known, now_s) if known is not None else []
    return f"the certificate of your own: {late[0]}" if late else None


def _running(front: Front) -> Keeper:
    if front.keeper.told is None:
        raise NotFound("there is no certificate yet: HTTPS has not been started")
    return front.keeper


_SHOWN = {"type": "object", "required": ["source", "https"], "properties": {
    "source": {"enum": ["local", "uploaded", "none"]}, "https": {"type": "array", "items": {"type": "string"}},
    "not_served": {"type": "string"}, "hsts": {"type": "boolean"}, "renewed_by_itself": {"type": "boolean"},
    "certificate": {"type": "object"}, "authority": {"type": "object"},
    "warnings": {"type": "array", "items": {"type": "string"}},
}}  # fmt: skip


def tls_routes(ctx: SetupContext) -> tuple[Route, ...]:
    """Operations on certificates."""
    op = Operations(ctx)
    path = "/api/v1/tls"
    return (
        Route("GET", path, op.show, "box:read", "The certificate that is served, and the box's authority", returns=_SHOWN),
        Route("POST", f"{path}/renew", op.renew, "config:write", "A new certificate of the box's own", body=Renewal, returns=_SHOWN,
              confirm="a new authority"),
        Route(
            "PUT", f"{path}/certificate", op.upload, "config:write", "Serve a certificate of your own",
            body=OwnCertificate, returns=_SHOWN, max_body=3 * MOST_BYTES, secret=True, confirm=True,
        ),
        Route("DELETE", f"{path}/certificate", op.reset, "config:write", "Back to the box's own certificate", returns=_SHOWN, confirm=True),
        Route(
            "GET", f"{path}/authority.crt", op.authority, "public", "The authority's certificate, to be trusted",
            produces=("application/x-x509-ca-cert",),
        ),
    )  # fmt: skip
