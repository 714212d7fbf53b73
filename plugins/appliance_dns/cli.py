"""`timeball dns`: what would be answered, and why."""

from __future__ import annotations

from typing import Any

import click

from appliance.api.cli import admin, echo_file, emit, printable, table
from appliance.core.figures import percent


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""

    @cli.group("dns", help="What the pool's names are answered with, and why.")
    def dns() -> None: ...

    @dns.command("answer", help='Show what NAME is answered with: "@", "0", "de", or a whole name.')
    @click.argument("name", default="@")
    @click.option("--type", "rrtype", default="A", show_default=True, help="Record type.")
    @click.option("--from", "client", default=None, metavar="ADDR", help="Address of the client that asks.")
    def answer(name: str, rrtype: str, client: str | None) -> None:
        emit(admin().get("/api/v1/dns/answer", {"name": name, "type": rrtype, "from": client}), _print_answer)

    @dns.command("zone", help="Print the zone as a zone file.")
    def zone() -> None:
        emit(admin().get("/api/v1/dns/zone"), echo_file)

    @dns.command("status", help="Show the zone, its names and what was asked.")
    def status() -> None:
        emit(admin().get("/api/v1/dns"), _print_status)


def _print_answer(value: dict[str, Any]) -> None:
    ttl = f", TTL {value['ttl']} s" if value["ttl"] is not None else ""
    click.echo(
        f"{printable(value['name'])} {value['type']} for {value['client']}: {value['rcode']}{ttl}, serial {value['serial']}"
    )
    for text in value["answer"]:
        click.secho(f"  {printable(text)}", fg="green")
    if not value["answer"]:
        click.echo("  no records")
    if value["note"]:
        click.echo(f"  ({printable(value['note'])})")
    if value["stale"]:
        click.secho("Warning: the monitor is silent; answers stay as they were.", fg="yellow")
    if value["candidates"]:
        click.echo()
        table(
            ["", "address", "score", "weight", "chance", "why"],
            [
                [
                    "answered" if row["in_answer"] else "in" if row["in"] else "out",
                    row["address"],
                    "" if row["score"] is None else f"{row['score']:.1f}",
                    row["weight"],
                    percent(row["probability"]),
                    row["reason"],
                ]
                for row in value["candidates"]
            ],
            right=["score", "weight", "chance"],
        )


def _print_status(value: dict[str, Any]) -> None:
    click.echo(
        f"{printable(value['zone'])}, serial {value['serial']}: {value['members_usable']} of {value['members']} members are answered"
    )
    click.echo(
        f"  listens on {', '.join(value['listen']) or 'nothing'}; name servers {', '.join(value['name_servers'])}"
    )
    for problem in value["problems"]:
        click.secho(f"Warning: {printable(problem)}", fg="yellow")
    click.echo()
    table(
        ["name", "A", "AAAA"], [[n["name"], n["a"], n["aaaa"]] for n in value["names"]], right=["A", "AAAA"]
    )
    if value["limited"]:
        click.echo()
        table(
            ["over the rate limit", "", "replies held back"],
            [[e["network"], "now" if e["active"] else "earlier", e["limited"]] for e in value["limited"]],
            right=["replies held back"],
        )
    if value["counters"]:
        click.echo()
        table(
            ["proto", "type", "outcome", "queries"],
            [[c["proto"], c["type"], c["outcome"], c["queries"]] for c in value["counters"]],
            right=["queries"],
        )
