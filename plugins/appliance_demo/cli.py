"""`timeball demo`: break a simulated member and watch what the pool makes of it."""

from __future__ import annotations

from typing import Any

import click

from appliance.api.cli import admin, emit


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""
    # `timeball demo` itself starts the pool to play with and belongs to the host; its sub-commands are ours.
    demo = cli.commands.get("demo")
    if not isinstance(demo, click.Group):
        demo = click.Group("demo", help="Simulated members: look at them, break them, heal them.")
        cli.add_command(demo)

    @demo.command("list", help="Show what each simulated member does.")
    def list_members() -> None:
        emit(admin().get("/api/v1/demo"), _print_members)

    @demo.command("break", help="Let the simulated member at ADDRESS misbehave from now on (--ok heals it).")
    @click.argument("address")
    @click.option("--ok", is_flag=True, help="Heal it: a good server again.")
    @click.option("--offset", "offset_s", type=float, help="Seconds its clock is ahead (negative: behind).")
    @click.option("--drift", "drift_ppm", type=float, help="Parts per million its clock runs away.")
    @click.option("--loss", type=click.FloatRange(0, 1), help="Share of requests it never answers.")
    @click.option("--silent", is_flag=True, help="Answer nothing at all.")
    @click.option("--delay", "delay_s", type=click.FloatRange(0, 60), help="Seconds added to the round trip.")
    @click.option("--unsynchronised", is_flag=True, help="Say leap 3, stratum 16.")
    @click.option("--stratum", type=click.IntRange(0, 255), help="Stratum in its replies.")
    @click.option(
        "--kiss", type=click.Choice(["RATE", "DENY", "RSTR"], case_sensitive=False), help="Kiss code."
    )
    @click.option("--wrong-origin", is_flag=True, help="Do not echo the request.")
    def break_member(address: str, *, ok: bool, unsynchronised: bool, **asked: Any) -> None:
        fault = {key: value for key, value in asked.items() if value not in (None, False)}
        if unsynchronised:
            fault = {"leap": 3, "stratum": 16, **fault}
        if ok == bool(fault):
            raise click.UsageError(
                "say what it shall do wrong, such as --offset 0.3 or --silent, or --ok to heal it"
            )
        emit(
            admin().post(f"/api/v1/demo/{address}", {"fault": fault}), lambda member: _print_members([member])
        )


def _print_members(members: list[dict[str, Any]]) -> None:
    for member in members:
        click.echo(
            f"{member['address']:<15}  {member['does']}  "
            f"({member['requests']} requests, {member['replies']} replies, port {member['port']})"
        )
