"""`timeball gps`: does time come from the receiver, and what is wrong with it?"""

from __future__ import annotations

from typing import Any

import click

from appliance.api.cli import admin, emit, printable


def register(cli: click.Group) -> None:
    """Add the command to `cli`."""

    @cli.command("gps", help="Show the GPS receiver and its pulse: what comes, how well, and what is wrong.")
    def gps() -> None:
        emit(admin().get("/api/v1/gps"), _print)


def _print(gps: dict[str, Any]) -> None:
    click.secho(
        printable(gps["verdict"]), fg="red" if gps["problems"] else "green" if gps["configured"] else None
    )
    for problem in gps["problems"]:
        click.secho(f"Problem: {printable(problem)}", fg="yellow")
    for label, value in gps["facts"]:
        click.echo(f"  {printable(label)}: {printable(value)}")
    if not gps["configured"]:
        click.echo(
            "  Tell where it is: timeball config set gps.receiver=/dev/ttyACM0, or gps.pps_pin=18 (or both)."
        )
