"""Adding servers step by step: find, check, place, vouch, look at the answers. A draft keeps what was said; one may go back any time."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from appliance.api.errors import NotFound
from appliance.api.pages import refusal
from appliance.core.ordering import natural
from appliance.core.routes import Reply, Request
from appliance_web.actions import as_error, member_body, read_form, redirect
from appliance_web.check_api import asked
from appliance_web.checking import MOST_TARGETS, Check, Part
from appliance_web.site import Site
from appliance_web.views import preview
from appliance_web.views.standing import Shape, number

#: Path and name of each step.
STEPS = (
    ("check", "Live check"),
    ("place", "Zone and weight"),
    ("owner", "Ownership"),
    ("preview", "Answers"),
)
#: Drafts that are kept, the oldest goes first; they are gone after a restart.
KEPT = 128
METHODS = ("admin", "http", "txt", "later")
_FIELDS = ("netspeed", "zones", "name", "operator", "tags", "note")


@dataclass(slots=True)
class Draft:
    """What somebody is about to add.

    Attributes:
        who: whose it is; nobody else sees it.
        typed: what was typed into the first step.
        found: addresses as /api/v1/lookup tells them: address, port, family, name, member, trusted.
        chosen: places in `found` that shall be added.
        form: fields of the step "place", as typed.
        method: how it is shown whose server it is.
        check: id of the live check.
        tickets: what operators have to do, once it is added.
    """

    id: str
    who: str
    typed: str
    found: list[Mapping[str, Any]]
    chosen: set[int]
    form: dict[str, str] = field(default_factory=dict)
    method: str = "later"
    check: str = ""
    tickets: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def trusted(self) -> bool:
        """Whether all that shall be added lies in networks that are trusted."""
        return bool(self.wanted) and all(one.get("trusted") for one in self.wanted)

    @property
    def wanted(self) -> list[Mapping[str, Any]]:
        return [one for i, one in enumerate(self.found) if i in self.chosen]


class Wizard:
    """Handlers of /members/add/..."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._drafts: OrderedDict[str, Draft] = OrderedDict()

    def latest(self, request: Request) -> Draft | None:
        """The reader's newest draft that is not added yet."""
        mine = (d for d in reversed(self._drafts.values()) if d.who == request.actor.name)
        return next((d for d in mine if not d.tickets), None)

    async def start(self, request: Request) -> Reply:
        """The first step, with nothing in it yet."""
        return await self.start_page(request, "", "")

    async def begin(self, request: Request) -> Reply:
        """Step 1: find the addresses of what was typed, and begin to ask them."""
        typed = read_form(request).get("address", "")
        hosts = typed.replace(",", " ").split()[:MOST_TARGETS]
        found: list[Mapping[str, Any]] = []
        problems = [] if hosts else ["give an address or a host name"]
        for host in hosts:
            reply = await self._site.operations.ask(request, "GET", "/api/v1/lookup", query={"host": host})
            value = reply.value if isinstance(reply.value, Mapping) else {}
            if reply.status == 200:
                found += [one for one in value.get("addresses") or () if one not in found]
            else:
                why, fields = refusal(reply)
                problems.append("; ".join(fields.values()) or why)
        if problems:
            return await self.start_page(request, typed, "; ".join(problems), status=422)
        draft = Draft(
            secrets.token_urlsafe(9),
            request.actor.name,
            typed,
            found[:MOST_TARGETS],
            {i for i, one in enumerate(found[:MOST_TARGETS]) if not one.get("member")},
        )
        self._drafts[draft.id] = draft
        while len(self._drafts) > KEPT:
            self._drafts.popitem(last=False)
        await self._check(request, draft)
        return redirect(_at(draft, "check"))

    async def show(self, request: Request) -> Reply:
        """Any later step."""
        return await self._page(request, self._draft(request), self._step(request))

    async def save(self, request: Request) -> Reply:
        """Take what a step says, and go on; the last step adds."""
        draft, step, form = self._draft(request), self._step(request), read_form(request)
        if step == "check":
            if form.get("again"):
                await self._check(request, draft)
                return redirect(_at(draft, "check"))
            draft.chosen = {i for i in range(len(draft.found)) if form.get(f"take-{i}")}
            if not draft.chosen:
                return await self._page(request, draft, step, "Choose at least one address.", status=422)
            return redirect(_at(draft, "place"))
        if step == "place":
            draft.form = {name: form.get(name, "") for name in _FIELDS}
            _, errors = member_body({"address": "-", **draft.form})
            if errors:
                return await self._page(request, draft, step, "", errors=errors, status=422)
            # Where nothing has to be proven there is nothing to ask.
            return redirect(_at(draft, "preview" if draft.trusted else "owner"))
        if step == "owner":
            draft.method = form.get("method", "later") if form.get("method") in METHODS else "later"
            return redirect(_at(draft, "preview"))
        return await self._add(request, draft, force=form.get("force") == "yes")

    async def start_page(self, request: Request, typed: str, why: str, *, status: int = 200) -> Reply:
        """The first step."""
        return await self._site.page(
            request, "wizard_start.html", "Add a server", here="/members", topic="web", status=status,
            same=[("CLI", "timeball member add HOST"), ("API", 'POST /api/v1/members {"address": "..."}')],
            typed=typed, why=why, draft=self.latest(request), steps=STEPS, step="",
        )  # fmt: skip

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _check(self, request: Request, draft: Draft) -> None:
        reply = await self._site.operations.ask(request, "POST", "/api/v1/checks", body=asked(draft.found))
        if reply.status >= 300:
            raise as_error(reply)
        draft.check = str(reply.value["id"])

    async def _add(self, request: Request, draft: Draft, *, force: bool) -> Reply:
        created: list[Mapping[str, Any]] = []
        refused: list[str] = []
        for place in sorted(draft.chosen):  # a copy: what is added leaves the draft
            one = draft.found[place]
            body = self._body(draft, one) | ({"force": True} if force else {})
            reply = await self._site.operations.ask(request, "POST", "/api/v1/members", body=body)
            value = reply.value if isinstance(reply.value, Mapping) else {}
            if reply.status < 300:
                created += value.get("created") or ()
                draft.chosen.discard(place)
            else:
                refused.append(f"{one['address']}: {refusal(reply)[0]}")
        # An address in a network that is trusted needs no proof.
        unproven = [str(m["id"]) for m in created if m.get("state") == "unverified"]
        tickets = [await self._vouch(request, key, draft.method) for key in unproven]
        draft.tickets = [ticket for ticket in tickets if ticket]
        if refused:
            return await self._page(
                request, draft, "preview", "Not added: " + "; ".join(refused), status=409, stubborn=True
            )
        if draft.tickets:
            return redirect(_at(draft, "done"))
        self._drafts.pop(draft.id, None)
        return redirect(
            f"/members/{quote(str(created[0]['id']))}?done=added"
            if len(created) == 1
            else "/members?done=imported"
        )

    def _body(self, draft: Draft, one: Mapping[str, Any]) -> dict[str, Any]:
        body, _ = member_body(
            {"address": str(one["address"]), "name": str(one.get("name") or ""), **_given(draft.form)}
        )
        return body | {"port": int(one["port"])}

    async def _vouch(self, request: Request, key: str, method: str) -> Mapping[str, Any]:
        if method == "later":
            return {}
        path = f"/api/v1/members/{quote(key, safe='')}/verify"
        reply = await self._site.operations.ask(request, "POST", path, body={"method": method})
        value = reply.value if isinstance(reply.value, Mapping) else {}
        if reply.status >= 300:
            return {"id": key, "why": refusal(reply)[0]}
        return {} if value.get("verified") else {"id": key, **value}

    async def _page(
        self,
        request: Request,
        draft: Draft,
        step: str,
        why: str = "",
        *,
        errors: Mapping[str, str] | None = None,
        status: int = 200,
        stubborn: bool = False,
    ) -> Reply:
        check = self._site.checks.get(draft.check, request)
        return await self._site.page(
            request, "wizard.html", "Add a server", here="/members", topic="web", status=status,
            same=[("CLI", f"timeball member add {one['address']}") for one in draft.wanted[:4]]
            + [("API", 'POST /api/v1/members {"address": "..."}')],
            draft=draft, steps=STEPS, step=step, why=why, errors=errors or {}, stubborn=stubborn,
            check=check, limits=check.limits if check else None, standings=_standings(check, draft),
            hopeless=_hopeless(check, draft),
            shares=await self._shares(request, draft) if step == "preview" else [],
            may_vouch=request.actor.may("servers:vouch"), may_look=request.actor.may("dns:read"),
            may_force=request.actor.may("servers:write"),
            zones=sorted({z for m in (self._site.members(request) or {}).values() for z in m.zones if z.isprintable()} | {"@"}, key=natural),
        )  # fmt: skip

    async def _shares(self, request: Request, draft: Draft) -> Sequence[tuple[str, str, str, preview.Share]]:
        """For each address and zone, what a client would get with it."""
        site = self._site
        about = await site.operations.value(request, "/api/v1/dns")
        size = int(number(about.get("max_records")) or 4) if isinstance(about, Mapping) else 4
        netspeed = float(draft.form.get("netspeed") or 1000)
        zones = draft.form.get("zones", "").replace(",", " ").split() or ["@"]
        shares = []
        for one in draft.wanted:
            for zone in zones[:4]:
                kind = "AAAA" if ":" in str(one["address"]) else "A"
                value = await site.operations.value(request, "/api/v1/dns/answer", name=zone, type=kind)
                if not isinstance(value, Mapping):
                    continue  # no name server, or not for this reader: nothing is better than a share of nothing
                candidates = value.get("candidates")
                shares.append(
                    (str(one["address"]), zone, kind, preview.with_one_more(candidates, netspeed, size))
                )
        return shares

    def _draft(self, request: Request) -> Draft:
        draft = self._drafts.get(request.params["draft"])
        if draft is None or draft.who != request.actor.name:
            raise NotFound("that draft is gone; begin anew under Servers, Add a server")
        return draft

    def _step(self, request: Request) -> str:
        step = request.params["step"]
        if step not in {name for name, _ in STEPS} | {"done"}:
            raise NotFound("there is no such step")
        return step


def _given(form: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in form.items() if text}


def _at(draft: Draft, step: str) -> str:
    return f"/members/add/{draft.id}/{step}"


def _chosen(check: Check | None, draft: Draft) -> list[Part]:
    """The checks of the addresses that shall be added."""
    wanted = {(str(one["address"]), int(one["port"])) for one in draft.wanted}
    return [p for p in check.parts if (p.target.address, p.target.port) in wanted] if check else []


def _standings(check: Check | None, draft: Draft) -> list[tuple[Shape, str, str]]:
    """For each address that shall be added, how its check ended."""
    return [
        (p.said.shape, p.target.address, p.said.text) if p.said else ("none", p.target.address, "being asked")
        for p in _chosen(check, draft)
    ]


def _hopeless(check: Check | None, draft: Draft) -> bool:
    """Whether the check is over and not one address gave time that could be used: then going on is not what one wants first."""
    parts = _chosen(check, draft)
    return bool(parts and check and check.done) and all(p.said and p.said.shape == "failing" for p in parts)
