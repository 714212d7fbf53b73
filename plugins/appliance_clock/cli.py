"""`timeball clock`: is the time right, and who says so."""

from __future__ import annotations

from typing import Any

import click

from appliance.api.cli import admin, emit, printable, table
from appliance_clock.view import human_s


def register(cli: click.Group) -> None:
    """Add the command to `cli`."""

    @cli.command("clock", help="Show whether the time is right, how right, and who says so.")
    def clock() -> None:
        emit(admin().get("/api/v1/clock"), _print)


def _print(clock: dict[str, Any]) -> None:
    click.secho(printable(clock["verdict"]), fg="green" if clock["synchronised"] else "red")
    for warning in clock["warnings"]:
        click.secho(f"Warning: {printable(warning)}", fg="yellow")
    if clock["synchronised"]:
        click.echo(
            f"  reference {printable(clock['refid_text'])}, root delay {human_s(clock['root_delay_s'])}, "
            f"dispersion {human_s(clock['root_dispersion_s'])} (limit of the distance {clock['max_distance_s']:g} s)"
        )
    if clock["correction_s"]:
        click.echo(
            f"  the system clock is off by {human_s(-clock['correction_s'])}; what we serve is corrected"
        )
    if clock["steps"]["count"]:
        click.echo(
            f"  stepped {clock['steps']['count']} times, last by {human_s(clock['steps']['last_step_s'])}"
        )
    chrony = clock["chrony"]
    sources = [s for s in (chrony or {}).get("sources") or () if not s.get("idle")]
    if sources:
        click.echo()
        _print_sources(sources)
    if clock["better"]:
        click.echo("\nWhat would make it better:")
    for line in clock["better"]:
        click.echo(f"  - {printable(line)}")


def _print_sources(sources: list[dict[str, Any]]) -> None:
    table(
        ["source", "state", "stratum", "poll", "reach", "last sample", "offset", "margin"],
        [
            [
                _source_name(source),
                source["state"],
                source["stratum"],
                human_s(2.0 ** source["poll"]),
                f"{source['reach']:08b}" if source["mode"] != "reference clock" else f"{source['reach']:o}",
                f"{source['since_sample_s']} s ago" if source["reach"] else "never",
                human_s(source["offset_s"]),
                human_s(source["error_s"]),
            ]
            for source in sources
        ],
        right=["stratum", "poll", "last sample", "offset", "margin"],
    )


def _source_name(source: dict[str, Any]) -> str:
    name, address = source["name"], source["address"]
    return f"{name} ({address})" if name and address and name != address else name or address or "?"
