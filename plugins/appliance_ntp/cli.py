"""`timeball ntp`: whom the time service answers, and the keys that clients share with it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from appliance.api.cli import admin, emit, printable, table
from appliance.core.figures import percent
from appliance_ntp import keys_cli
from appliance_ntp.clients import SORTS

_STATES = {"over": "over the limit", "insists": "over, insists", "exempt": "exempt", "free": "", "within": ""}


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""

    @cli.group("ntp", help="Look at the time service.")
    def ntp() -> None: ...

    keys_cli.register(ntp)

    @ntp.command("clients", help="Show who asks for the time, how often, and what became of it.")
    @click.option(
        "--top", default=20, show_default=True, type=click.IntRange(1, 100_000), help="How many to show."
    )
    @click.option(
        "--by",
        "sort",
        default="packets",
        show_default=True,
        type=click.Choice(list(SORTS)),
        help="What to sort by.",
    )
    @click.option("--in", "prefix", default="", metavar="PREFIX", help="Only clients in this prefix.")
    def clients(top: int, sort: str, prefix: str) -> None:
        query = {"limit": str(top), "sort": sort, "prefix": prefix}
        emit(admin().get("/api/v1/ntp/clients", query), _print)


def _print(told: dict[str, Any]) -> None:
    click.echo(printable(told["verdict"]))
    if not told["clients"]:
        return
    click.echo()
    table(
        ["client", "packets", "share", "a second", "dropped", "last seen", "version", "state"],
        [
            [
                row["client"],
                f"{row['packets']:,}",
                percent(row["share"]),
                "" if row["rate_per_s"] is None else f"{row['rate_per_s']:.3g}",
                f"{row['dropped'] + row['kisses']:,}",
                dt.datetime.fromtimestamp(row["last_seen"], dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
                row["version"],
                _STATES[row["state"]],
            ]
            for row in told["clients"]
        ],
        right=["packets", "share", "a second", "dropped", "version"],
    )
    if told["matching"] > len(told["clients"]):
        click.echo(f"\nand {told['matching'] - len(told['clients']):,} more: --top shows them")
