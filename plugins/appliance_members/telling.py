"""Members and zones in words for the terminal."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from appliance.api.cli import printable, table
from appliance_members.addresses import endpoint
from appliance_members.standing import moment

Row = Mapping[str, Any]


def print_list(rows: Sequence[Row]) -> None:
    """A sentence and a table."""
    if not rows:
        click.echo("No members. Add one with: timeball member add ADDRESS")
        return
    inside = sum(bool(r["in_pool"]) for r in rows)
    _headline(f"{inside} of {_count(len(rows), 'member')} in the answers.", good=inside > 0)
    table(
        ("id", "address", "name", "zones", "netspeed", "score", "pool", "reason"),
        [
            (r["id"], endpoint(r["address"], r["port"]), r["name"], " ".join(r["zones"]), r["netspeed"],
             _score(r["score"]), "in" if r["in_pool"] else "out", _with_warnings(r))
            for r in rows
        ],
        right=("netspeed", "score"),
    )  # fmt: skip


def print_member(row: Row) -> None:
    """Everything about one member."""
    title = endpoint(row["address"], row["port"]) + (f" ({row['name']})" if row["name"] else "")
    _headline(f"{title} is {_standing(row)}.", good=row["in_pool"])
    for warning in row["warnings"]:
        _line("warning", warning)
    _line("id", row["id"])
    _line("score", _score(row["score"]) or "none yet")
    _line("netspeed", row["netspeed"])
    _line("zones", " ".join(row["zones"]))
    for key in ("operator", "note"):
        _line(key, row[key])
    _line("owner", row["owner"])
    _line("tags", " ".join(row["tags"]))
    _line("added", "in the configuration file" if row["declared"] else moment(row["added_at"]))
    _line("verified by", row["verified_by"] or "nobody yet")
    if row["remove_at"] is not None:
        _line("removal", f"{moment(row['remove_at'])}; leaves the answers {moment(row['leaves_at'])}")
    _line("first check", row["evidence"])
    if row["probes"]:
        click.echo()
        _probes(row["probes"])


def _probes(probes: Sequence[Row]) -> None:
    table(
        ("time (UTC)", "offset ms", "rtt ms", "stratum", "leap", "step", "score", "rule", "error"),
        [
            (dt.datetime.fromtimestamp(p["ts"], dt.UTC).strftime("%m-%d %H:%M:%S"), _ms(p.get("offset_s")), _ms(p.get("rtt_s")),
             p.get("stratum"), p.get("leap"), _signed(p.get("step")), _score(p.get("score")), p.get("rule"), p.get("error"))
            for p in probes
        ],
        right=("offset ms", "rtt ms", "stratum", "leap", "step", "score"),
    )  # fmt: skip


def print_added(outcome: Row) -> None:
    """What became of an addition or an import."""
    created, refused, present = outcome["created"], outcome["refused"], outcome["present"]
    _headline(f"{_count(len(created), 'member')} added.", good=bool(created))
    checks = {(c["address"], c["port"]): c for c in outcome["checks"]}
    for row in created:
        check = checks.get((row["address"], row["port"]), {})
        found = f"{'forced although: ' if check.get('forced') else ''}{check.get('why', '')}"
        click.echo(printable(f"  {row['id']}  {endpoint(row['address'], row['port'])}  {found}"))
        for warning in check.get("warnings", ()):
            click.echo(printable(f"      {warning}"))
        if row["state"] == "unverified":
            click.echo(f"      not verified yet: timeball member verify {row['id']}")
    for one in refused:
        click.echo(printable(f"  refused  {endpoint(one['address'], one['port'])}  {one['why']}"))
    if present:
        click.echo(printable(f"  {_count(len(present), 'member')} there before: {', '.join(present[:20])}"))


def print_done(what: str) -> Callable[[Row], None]:
    """A printer for one changed member."""

    def show(row: Row) -> None:
        date = f" on {moment(row['remove_at'])}" if row["remove_at"] is not None else ""
        click.echo(printable(f"{endpoint(row['address'], row['port'])} {what}{date}; now {_standing(row)}."))

    return show


def print_removed(row: Row) -> None:
    click.echo(
        printable(
            f"{endpoint(row['address'], row['port'])} removed; its answers end within the TTL of the zone."
        )
    )


def print_verification(done: Row) -> None:
    """Thanks, or what to do next."""
    if done["verified"]:
        row = done["member"]
        _headline(
            f"{endpoint(row['address'], row['port'])} is verified (by {row['verified_by']}).", good=True
        )
        return
    click.echo(printable(done["instructions"]))
    click.echo(f"The token is good until {moment(done['expires_at'])}.")


def print_zones(zones: Sequence[Row]) -> None:
    """The tree, one line for each zone."""
    table(
        ("zone", "members", "active IPv4", "active IPv6", "netspeed"),
        [
            ("  " * z["depth"] + z["zone"], sum(z["registered"].values()), z["active"]["4"], z["active"]["6"], z["netspeed"])
            for z in zones
        ],
        right=("members", "active IPv4", "active IPv6", "netspeed"),
    )  # fmt: skip


def _standing(row: Row) -> str:
    reason = str(row["reason"]).removeprefix("out: ").removeprefix("in: ")
    return f"{'in' if row['in_pool'] else 'not in'} the answers: {reason}"


def _headline(text: str, *, good: bool) -> None:
    # click takes the colours away where no terminal is; NO_COLOR asks for the same on one (no-color.org)
    if os.environ.get("NO_COLOR"):
        click.echo(printable(text))
    else:
        click.secho(printable(text), fg="green" if good else "yellow")


def _line(label: str, value: object) -> None:
    if value not in ("", None):
        click.echo(printable(f"  {label + ':':<13} {value}"))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _with_warnings(row: Row) -> str:
    return str(row["reason"]) + "".join(f"; {warning}" for warning in row["warnings"])


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3f}"
