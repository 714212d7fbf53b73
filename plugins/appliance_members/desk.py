"""The plugin's long-lived objects in one place; they outlive restarts of its run."""

from __future__ import annotations

from appliance.api.context import SetupContext
from appliance_members.figures import Figures
from appliance_members.naming import HostLookup, lookup_host
from appliance_members.proving import Proofs
from appliance_members.registrar import Registrar
from appliance_members.roster import Roster
from appliance_members.verification import TxtLookup, lookup_txt


class Desk:
    """Where members are registered.

    Attributes:
        roster: who is in the pool; the service `Members`.
        registrar: takes members in.
        proofs: verification by token.
        figures: counts for metrics, health and the overview.
    """

    def __init__(
        self, ctx: SetupContext, *, hosts: HostLookup = lookup_host, texts: TxtLookup = lookup_txt
    ) -> None:
        self.roster = Roster(ctx.cell("table", {}), ctx.clock, ctx.store, ctx.bus, ctx.log)
        self.registrar = Registrar(ctx, self.roster, hosts)
        self.proofs = Proofs(self.roster, ctx.store, lookup=texts)
        self.figures = Figures(ctx, self.roster, self.registrar)
