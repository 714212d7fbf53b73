"""`timeball update`: what runs, what lies ready, check, install, restart, and the way back."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from appliance.api.cli import Failure, admin, emit, printable, table, wants_json
from appliance_updates.routes import BASE
from appliance_updates.shown import fall_back, sentence, slot_word, told, version

_LOOK_S = 1.0


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""

    @cli.group("update", help="Updates of the box's image: signed bundles, tried, with a way back.")
    def update() -> None: ...

    @update.command("status", help="Show both systems, what was begun, and what came of updates.")
    def status() -> None:
        emit(admin().get(BASE), _print_status)

    @update.command(
        "check",
        help="Say what the bundle FILE brings and whether it may be installed; without FILE, list what lies ready.",
    )
    @click.argument("file", required=False)
    @click.option("--allow-downgrade", is_flag=True, help="An older release is wanted.")
    @click.option("--again", is_flag=True, help="The same release is wanted once more.")
    def check(file: str | None, allow_downgrade: bool, again: bool) -> None:
        if file is None:
            emit(admin().get(f"{BASE}/candidates"), _print_found)
            return
        body = {"file": _named(file), "allow_downgrade": allow_downgrade, "again": again}
        found = admin().ask("POST", f"{BASE}/check", body=body, timeout_s=1000)
        emit(found, _print_checked)
        if found["refusals"]:
            raise SystemExit(1)

    @update.command("install", help="Install the bundle FILE into the system that does not run.")
    @click.argument("file")
    @click.option("--allow-downgrade", is_flag=True, help="An older release is wanted.")
    @click.option("--again", is_flag=True, help="The same release is wanted once more.")
    @click.option("--restart", "restart_too", is_flag=True, help="Restart the box when it is installed.")
    def install(file: str, allow_downgrade: bool, again: bool, restart_too: bool) -> None:
        body = {"file": _named(file), "allow_downgrade": allow_downgrade, "again": again}
        admin().ask("POST", f"{BASE}/install", body=body, timeout_s=1000)
        job = _follow()
        if job["state"] != "done":
            raise Failure(f"it was not installed: {job['error']}", remedy=job["remedy"])
        emit(
            job,
            lambda j: click.echo(
                f"{j['result']['version']} is in slot {j['result']['slot']} and starts when the box restarts"
            ),
        )
        if restart_too:
            admin().post(f"{BASE}/restart", {})
            click.echo("the box restarts", err=True)
        elif not wants_json():
            click.echo("restart it with: timeball update restart")

    @update.command("restart", help="Restart the box.")
    def restart() -> None:
        emit(admin().post(f"{BASE}/restart", {}), lambda _: click.echo("the box restarts"))

    @update.command("rollback", help="Have the other system started next, with the data that it left.")
    @click.option("--keep-data", is_flag=True, help="Leave database and settings as they are.")
    @click.option("--unproved", is_flag=True, help="Also when that system is not marked good.")
    def rollback(keep_data: bool, unproved: bool) -> None:
        emit(
            admin().ask(
                "POST", f"{BASE}/back", body={"keep_data": keep_data, "unproved": unproved}, timeout_s=1000
            ),
            _print_back,
        )

    @update.command("stay", help="Have the system that runs started next after all.")
    def stay() -> None:
        emit(admin().post(f"{BASE}/stay", {}), lambda s: click.echo(f"slot {s['slot']} goes on"))

    @update.command("seen", help="Note that what came of the last update was read.")
    def seen() -> None:
        emit(admin().post(f"{BASE}/seen", {}), lambda _: click.echo("noted"))


def _named(file: str) -> str:
    """A bundle as the API names it: files of this machine by their whole path."""
    return file if file.startswith(("stick:", "upload:")) else str(Path(file).absolute())


def _follow() -> dict[str, Any]:
    """Wait until the installation has ended, and say meanwhile how far it is."""
    last = ""
    while True:
        job: dict[str, Any] = admin().get(BASE)["job"]
        line = f"{100 * job['share']:3.0f} %  {printable(job['doing'])}"
        if line != last and not wants_json():
            click.echo(line, err=True)
            last = line
        sys.stderr.flush()
        if job["state"] != "running":
            return job
        time.sleep(_LOOK_S)  # noqa: TID251 - a command of its own process: nobody else waits


def _print_status(status: dict[str, Any]) -> None:
    _, text, more = sentence(status)
    click.echo(f"{text}. {printable(more)}".strip())
    slots = status.get("slots", ())
    if slots:
        click.echo()
        table(
            ["slot", "release", "state", ""],
            [
                [
                    s["name"],
                    version(s["release"]),
                    slot_word(s),
                    "runs" if s["running"] else "starts next" if s["next"] else "",
                ]
                for s in slots
            ],
        )
    fallen = fall_back(status)
    if fallen is not None:
        click.echo("\nWhy it came back:")
        for line in fallen["why"]:
            click.echo(f"  {printable(line)}")
        for line in fallen["evidence"]:
            click.echo(f"    {printable(line)}")
        click.echo("  (timeball update seen: this is known now)")
    if status.get("history"):
        click.echo("\nWhat came of updates:")
        for event in status["history"][:10]:
            at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(event["at"]))
            click.echo(f"  {at}  {printable(told(event))}")


def _print_found(value: dict[str, Any]) -> None:
    for text in value["wrong"]:
        click.echo(f"! {printable(text)}")
    if not value["found"]:
        click.echo(
            "no bundle lies ready: plug in a USB stick with a file .raucb in its root folder, or name a file"
        )
        return
    table(
        ["file", "where", "MB"],
        [[b["file"], b["where"], f"{b['bytes'] / 1e6:.1f}"] for b in value["found"]],
        right=["MB"],
    )


def _print_checked(value: dict[str, Any]) -> None:
    bundle = value["bundle"]
    click.echo(f"{bundle['version']}, for {bundle['compatible']}, signed by {printable(bundle['signer'])}")
    for refusal in value["refusals"]:
        click.echo(f"it cannot be installed: {printable(refusal['text'])}")
        if refusal["remedy"]:
            click.echo(f"  {printable(refusal['remedy'])}")
    if not value["refusals"]:
        click.echo("it can be installed")
    if bundle["changes"]:
        click.echo(f"\n{printable(bundle['changes'])}")
    if bundle["packages"]:
        click.echo()
        table(
            ["package", "now", "then"],
            [[p["name"], p["before"] or "-", p["after"] or "-"] for p in bundle["packages"]],
        )


def _print_back(value: dict[str, Any]) -> None:
    data = (
        f"with the data that it left ({value['restores']})"
        if value["restores"]
        else "with the data that is there"
    )
    click.echo(f"{value['version']} in slot {value['slot']} starts when the box restarts, {data}")
    click.echo("restart it with: timeball update restart")
