"""`timeball restart`: the appliance starts again, and the command waits until it is back."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import click

from appliance.api.cli import EXIT_UNREACHABLE, Failure, admin, emit, printable, table

#: How long one waits for it to be back, between two looks, and for its plugins to make up their minds.
BACK_S, LOOK_S, SETTLE_S = 60.0, 0.2, 20.0
_UNDECIDED = ("loaded", "starting")

TAKES_EFFECT = "The appliance takes it when it starts again. Now:  timeball restart"


@click.command("restart")
def restart() -> None:
    """Start the appliance again, and wait until it is back. Nothing is answered for a second or two.

    What was installed, taken back or switched takes effect. The process keeps its number: a service manager sees no end.
    """
    emit(start_again(), tell_started)


def start_again(plugins: Iterable[str] = ()) -> dict[str, Any]:
    """Have it done and wait; how long that took, and the states of `plugins` (all that are in trouble when none is named).

    Raises:
        Failure: nobody runs, it was refused, or it does not come back.
    """
    asked = admin()
    began = time.monotonic()
    before = asked.post("/api/v1/restart")["started_at"]
    while True:
        time.sleep(LOOK_S)  # noqa: TID251 - a command of its own process: nobody else waits
        try:
            if asked.get("/api/v1/status")["started_at"] != before:
                break
        except Failure as failure:
            if failure.exit_code != EXIT_UNREACHABLE and "starting" not in failure.message:
                raise
        if time.monotonic() - began > BACK_S:
            raise Failure(
                f"it is not back after {BACK_S:.0f} s", 1, "look at its log: journalctl -u timeball -n 50"
            )
    took_s = time.monotonic() - began
    named = set(plugins)
    while True:
        found = [p for p in asked.get("/api/v1/plugins") if p["id"] in named or not named]
        came = named <= {p["id"] for p in found}  # it may answer before it has read all plugins
        if (
            came and not any(p["state"] in _UNDECIDED for p in found)
        ) or time.monotonic() - began > took_s + SETTLE_S:
            break
        time.sleep(LOOK_S)  # noqa: TID251 - as above
    if not named:
        found = [p for p in found if p["state"] in ("failed", "backoff")]
    shown = [{"id": p["id"], "state": p["state"], "why": p["why"]} for p in found]
    missing = sorted(named - {p["id"] for p in found})
    return {"took_s": round(took_s, 1), "plugins": shown, "missing": missing}


def tell_started(value: Any) -> None:
    """How long it took, and which plugins deserve a word."""
    click.echo(f"The appliance runs again after {value['took_s']:.1f} s.")
    if value["plugins"]:
        table(("plugin", "state", "why"), [(p["id"], p["state"], p["why"]) for p in value["plugins"]])
    for name in value["missing"]:
        click.secho(f"{printable(name)} is not there: see `timeball plugin list`", fg="red")


def take_effect(*, now: bool, plugins: Iterable[str] = ()) -> None:
    """Start it again when that was asked for, else say how."""
    if not now:
        click.echo(TAKES_EFFECT, err=True)
        return
    try:
        done = start_again(plugins)
    except Failure as failure:
        if failure.exit_code != EXIT_UNREACHABLE:
            raise
        click.echo("No appliance runs here: it takes it when it starts.", err=True)
        return
    # To the error stream: the answer of the command itself may be JSON.
    click.echo(f"The appliance runs again after {done['took_s']:.1f} s.", err=True)
    for plugin in done["plugins"]:
        why = f": {printable(plugin['why'])}" if plugin["why"] else ""
        click.echo(f"{printable(plugin['id'])} is {plugin['state']}{why}", err=True)
    for name in done["missing"]:
        click.echo(f"{printable(name)} is not there: see `timeball plugin list`", err=True)
