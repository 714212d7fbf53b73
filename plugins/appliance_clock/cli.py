"""`timeball clock`: is the time right, who says so, and which servers it is taken from."""

from __future__ import annotations

from typing import Any

import click

from appliance.api.cli import Failure, admin, emit, printable, table
from appliance.core.figures import seconds
from appliance_clock.named_source import parse_source

_KEY = "plugins.clock.time_sources"


def register(cli: click.Group) -> None:
    """Add the command to `cli`."""

    @cli.group(
        "clock",
        invoke_without_command=True,
        help="Show whether the time is right, how right, and who says so.",
    )
    @click.pass_context
    def clock(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            emit(admin().get("/api/v1/clock"), _print)

    @clock.group("source", help="Time servers that chronyd shall follow.")
    def source() -> None:
        pass

    @source.command("list", help="The chosen ones; `timeball clock` shows how all of them do.")
    def source_list() -> None:
        emit(_chosen(), lambda found: click.echo("\n".join(map(printable, found)) or "none was chosen"))

    @source.command("add", help="Follow one more: HOST is a name or an address.")
    @click.argument("host")
    @click.option("--pool", is_flag=True, help="HOST is a name with many servers behind it.")
    @click.option("--nts", is_flag=True, help="Only what the server proves to have said (NTS).")
    @click.option("--prefer", is_flag=True, help="Follow it as long as it agrees with the others.")
    @click.option("--port", type=click.IntRange(1, 65535), default=123, show_default=True)
    def source_add(host: str, *, pool: bool, nts: bool, prefer: bool, port: int) -> None:
        try:
            wanted = parse_source(f"{'pool ' if pool else ''}{host}")
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        kept = [one for one in _chosen() if parse_source(one).host != wanted.host]
        words = ["pool"] * pool + [wanted.host] + ["nts"] * nts + ["prefer"] * prefer
        words += ["port", str(port)] if port != 123 else []
        _choose([*kept, " ".join(words)])

    @source.command("rm", help="Follow one of the chosen ones no more.")
    @click.argument("host")
    def source_rm(host: str) -> None:
        before = _chosen()
        kept = [one for one in before if parse_source(one).host != host]
        if kept == before:
            raise Failure(f"{host} is none of the chosen ones: {', '.join(before) or 'there are none'}", 5)
        _choose(kept)


def _chosen() -> list[str]:
    found: list[str] = admin().get(f"/api/v1/config/{_KEY}")["value"]
    return found


def _choose(sources: list[str]) -> None:
    answer = admin().patch("/api/v1/config", {"set": {_KEY: sources}})
    emit(
        {"time_sources": sources, "change": answer["change"]},
        lambda found: click.echo("chosen: " + (", ".join(map(printable, found["time_sources"])) or "none")),
    )


def _print(clock: dict[str, Any]) -> None:
    click.secho(printable(clock["verdict"]), fg="green" if clock["synchronised"] else "red")
    for warning in clock["warnings"]:
        click.secho(f"Warning: {printable(warning)}", fg="yellow")
    if clock["synchronised"]:
        click.echo(
            f"  reference {printable(clock['refid_text'])}, root delay {seconds(clock['root_delay_s'])}, "
            f"dispersion {seconds(clock['root_dispersion_s'])} (limit of the distance {clock['max_distance_s']:g} s)"
        )
    if clock["correction_s"]:
        click.echo(
            f"  the system clock is off by {seconds(-clock['correction_s'])}; what we serve is corrected"
        )
    if clock["steps"]["count"]:
        click.echo(
            f"  stepped {clock['steps']['count']} times, last by {seconds(clock['steps']['last_step_s'])}"
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
                f"{2.0 ** source['poll']:g} s",
                f"{source['reach']:08b}" if source["mode"] != "reference clock" else f"{source['reach']:o}",
                f"{source['since_sample_s']} s ago" if source["reach"] else "never",
                seconds(source["offset_s"]),
                seconds(source["error_s"]),
            ]
            for source in sources
        ],
        right=["stratum", "poll", "last sample", "offset", "margin"],
    )


def _source_name(source: dict[str, Any]) -> str:
    name, address = source["name"], source["address"]
    return f"{name} ({address})" if name and address and name != address else name or address or "?"
