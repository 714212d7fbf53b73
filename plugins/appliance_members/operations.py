"""What the API does with servers and zones. Whoever calls is known by then; what is allowed was decided in the route table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from appliance.api.context import SetupContext
from appliance.api.errors import Invalid, NotFound, Refused
from appliance.api.model import Member, Verdict
from appliance.api.services import ScoreBoard
from appliance.core.conditional import digest
from appliance.core.derived import Derived
from appliance.core.paging import offsets
from appliance.core.plain_json import Told, to_json
from appliance.core.routes import Reply, Request
from appliance_members import looking, orders, standing
from appliance_members.bodies import (
    ExportQuery,
    ListQuery,
    LookupQuery,
    ManyMembers,
    MemberChange,
    NewMember,
    Owner,
    Pause,
    Removal,
    Verification,
)
from appliance_members.config import Config
from appliance_members.naming import name_warnings
from appliance_members.ownership import Ownership
from appliance_members.proving import Proofs
from appliance_members.registrar import Outcome, Registrar
from appliance_members.roster import Roster
from appliance_members.zones import canonical_zone, zone_tree

_RECENT_PROBES = 20


class Operations:
    """The handlers; each is a thin shell around the roster, the registrar or the proofs."""

    def __init__(self, ctx: SetupContext, roster: Roster, registrar: Registrar, proofs: Proofs) -> None:
        self._ctx = ctx
        self._roster = roster
        self._registrar = registrar
        self._proofs = proofs
        self._ownership = Ownership(ctx, roster)
        self._told_rows = Derived(standing.row)

    # -- looking -------------------------------------------------------------------------------------------------

    async def list_members(self, request: Request) -> Reply:
        query: ListQuery = request.query_model
        zone = _zone(query.zone) if query.zone else ""
        found = standing.select(
            self._rows(self._ownership.seen_by(request)),
            zone=zone,
            state=query.state,
            q=query.q,
            tag=query.tag,
            owner=query.owner,
            sort=query.sort,
        )
        page = found[query.offset :][: query.limit]
        return Reply(
            page,
            headers=offsets(
                request.path, request.query, limit=query.limit, offset=query.offset, total=len(found)
            ),
        )

    async def show_member(self, request: Request) -> Reply:
        member = self._asked(request)
        board = self._ctx.find(ScoreBoard)  # type: ignore[type-abstract]
        probes = list(board.recent(member.id, _RECENT_PROBES)) if board else []
        entry = self._roster.registry.entries[member.id]
        shown = {
            **self._row(member),
            "leaves_at": entry.leave_at,
            "evidence": entry.evidence,
            "probes": probes,
        }
        return Reply(shown, revision=digest(to_json([member, entry.leave_at])))

    async def list_zones(self, request: Request) -> list[Any]:
        members = list(self._ownership.seen_by(request))
        verdicts = self._verdicts()
        active = {m.id: standing.stand(m, verdicts.get(m.id)).in_pool for m in members}
        return list(zone_tree(members, active))

    async def list_names(self, request: Request) -> list[dict[str, Any]]:
        config: Config = self._ctx.config
        names = self._registrar.names
        wanted = {m.host for m in config.member if m.host} | set(names)
        held = [(m.name, m.id) for m in self._ownership.seen_by(request)]
        if request.only:
            wanted &= {name for name, _ in held}
        return [
            {
                "name": name,
                "addresses": list(names[name].addresses) if name in names else [],
                "error": names[name].error if name in names else "being looked up",
                "looked_at": names[name].looked_at if name in names else None,
                "members": [key for n, key in held if n == name],
            }
            for name in sorted(wanted)
        ]

    async def look_up(self, request: Request) -> dict[str, Any]:
        query: LookupQuery = request.query_model
        return await looking.addresses_of(query.host, self._registrar)

    async def export_members(self, request: Request) -> Reply:
        query: ExportQuery = request.query_model
        rows = orders.exported(self._ownership.seen_by(request))
        name = {"Content-Disposition": f'attachment; filename="members.{query.format}"'}
        if query.format == "csv":
            return Reply(orders.csv_of(rows), headers=name, content_type="text/csv")
        return Reply(rows, headers=name)

    # -- changing ------------------------------------------------------------------------------------------------

    async def add_member(self, request: Request) -> Reply:
        body: NewMember = request.body
        order = orders.order_of(body.model_dump(exclude={"force", "owner"}))
        holder = self._ownership.of_new(request, body)
        outcome = await self._registrar.admit(
            [order], console=_console(request), force=body.force, partial=True, holder=holder
        )
        self._note(request, "added", outcome.created)
        return Reply(self._told(outcome), 201)

    async def import_members(self, request: Request) -> Reply:
        body: ManyMembers = request.body
        if bool(body.members) == bool(body.csv):
            raise Invalid(
                "give either members or csv",
                errors={"members": "a list of rows", "csv": "the text of a CSV file"},
            )
        wanted = orders.orders_of(body.members or orders.rows_of_csv(body.csv))
        if not wanted:
            raise Invalid("there is no row to import")
        if body.preview:
            return Reply({"rows": looking.rows(wanted, self._roster.registry)})
        holder = self._ownership.of_new(request, body)
        outcome = await self._registrar.admit(
            wanted, console=_console(request), force=body.force, partial=body.partial, holder=holder
        )
        self._note(request, "imported", outcome.created)
        return Reply(self._told(outcome), 201)

    async def change_member(self, request: Request) -> dict[str, Any]:
        fields = request.body.model_dump(exclude_unset=True)
        if not fields:
            raise Invalid(f"nothing to change; possible are {', '.join(MemberChange.model_fields)}")
        return self._done(request, "changed", await self._roster.change(self._asked(request).id, **fields))

    async def give_member(self, request: Request) -> dict[str, Any]:
        body: Owner = request.body
        key, account = self._asked(request).id, self._ownership.account_of(body.owner)
        done = await self._roster.update(key, lambda r: r.give(key, account))
        shown = self._done(request, f"given to {body.owner}" if account else "taken from its owner", done)
        request.note.after = {"owner": body.owner}
        return shown

    async def remove_member(self, request: Request) -> dict[str, Any]:
        member = self._asked(request)
        row = self._row(member)
        await self._roster.apply(lambda r: r.remove(member.id))
        self._note(request, "removed", [member])
        return row

    async def pause_member(self, request: Request) -> dict[str, Any]:
        body: Pause = request.body
        until = _moment(body.until, body.for_s, self._roster.now(), ("until", "for_s"))
        key = self._asked(request).id
        done = await self._roster.update(key, lambda r: r.pause(key, until, self._roster.now()))
        return self._done(request, "paused", done)

    async def resume_member(self, request: Request) -> dict[str, Any]:
        key = self._asked(request).id
        return self._done(request, "resumed", await self._roster.update(key, lambda r: r.resume(key)))

    async def schedule_removal(self, request: Request) -> dict[str, Any]:
        body: Removal = request.body
        config: Config = self._ctx.config
        at = _moment(body.at, body.in_s, self._roster.now(), ("at", "in_s"))
        if at is None:
            raise Invalid(
                "when shall it be removed?", errors={"at": "epoch seconds", "in_s": "or seconds from now"}
            )
        grace_s = config.removal_grace_days * 86400 if body.grace_s is None else body.grace_s
        key = self._asked(request).id
        done = await self._roster.update(
            key, lambda r: r.schedule_removal(key, at, grace_s, self._roster.now())
        )
        return self._done(request, "scheduled for removal", done)

    async def cancel_removal(self, request: Request) -> dict[str, Any]:
        key = self._asked(request).id
        return self._done(request, "kept", await self._roster.update(key, lambda r: r.cancel_removal(key)))

    # -- verifying -----------------------------------------------------------------------------------------------

    async def verify_member(self, request: Request) -> dict[str, Any]:
        body: Verification = request.body
        member = self._asked(request)
        config: Config = self._ctx.config
        if body.method == "admin":
            if not request.actor.may("servers:vouch"):
                raise Refused("only an administrator's word verifies a server without a proof")
            done = await self._roster.update(member.id, lambda r: r.verify(member.id, "admin"))
            return {"verified": True, "member": self._done(request, "verified", done)}
        if body.method not in config.verify.methods:
            raise Refused(f"the proof {body.method!r} is switched off (plugins.members.verify.methods)")
        if body.method == "txt" and not body.renew and self._proofs.pending(member.id, "txt"):
            done = await self._proofs.look_for_txt(member.id, self._registrar.lookup)
            return {"verified": True, "member": self._done(request, "verified", done)}
        ticket = await self._proofs.issue(member.id, body.method, config.verify.token_hours * 3600)
        return {"verified": False, **ticket.as_json()}

    async def redeem_token(self, request: Request) -> Reply:
        # A GET that changes something: safe, because it does so only for who already controls the member's address.
        member = await self._proofs.redeem(request.params["token"], request.remote)
        self._note(request, "verified", [member])
        return Reply(f"Thank you: {member.address} is verified.\n", content_type="text/plain")

    # -- parts ---------------------------------------------------------------------------------------------------

    def _asked(self, request: Request) -> Member:
        member = self._roster.find(request.params["id"])
        request.note.target, request.note.before = f"{member.address} {member.id}", member
        return member

    def _verdicts(self) -> Mapping[str, Verdict]:
        board = self._ctx.find(ScoreBoard)  # type: ignore[type-abstract]
        return board.verdicts.get() if board else {}

    def _rows(self, members: Iterable[Member]) -> list[Told]:
        verdicts, names, owner = self._verdicts(), self._registrar.names, self._ownership.name_of
        return [
            self._told_rows.of(
                m.id,
                m,
                verdicts.get(m.id),
                name_warnings(m.address, m.name, names),
                owner(m) if m.owner else "",
            )
            for m in members
        ]

    def _row(self, member: Member) -> dict[str, Any]:
        return self._rows([member])[0]

    def _told(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "created": self._rows(outcome.created),
            "checks": list(outcome.checks),
            "refused": outcome.refused(),
            "present": list(outcome.present),
        }

    def _done(self, request: Request, what: str, member: Member) -> dict[str, Any]:
        self._note(request, what, [member])
        request.note.before, request.note.after = turned(request.note.before, member)
        return self._row(member)

    def _note(self, request: Request, what: str, members: Iterable[Member]) -> None:
        for member in members:
            self._ctx.log.info("%s %s %s port %d", request.actor, what, member.address, member.port)


def turned(before: Member, after: Member) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a change turned into what: the fields that differ, before and after."""
    old, new = asdict(before), asdict(after)
    names = [name for name in old if old[name] != new[name]]
    return {name: old[name] for name in names}, {name: new[name] for name in names}


def _console(request: Request) -> bool:
    """Whether this came over the admin socket, where only the machine's owner can ask."""
    return request.actor.kind == "local"


def _zone(text: str) -> str:
    try:
        return canonical_zone(text)
    except ValueError as error:
        raise NotFound(str(error)) from None


def _moment(at: float | None, in_s: float | None, now: float, keys: tuple[str, str]) -> float | None:
    """The epoch second that is meant by one of two ways to say it."""
    if at is not None and in_s is not None:
        raise Invalid(f"give {keys[0]} or {keys[1]}, not both", errors=dict.fromkeys(keys, "one of the two"))
    return now + in_s if in_s is not None else at
