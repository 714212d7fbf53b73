"""`timeball status`: how it goes, in a few lines; and the public status as files for another web server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from appliance.api.cli import Failure, admin, emit, printable


def add_commands(cli: click.Group) -> None:
    """Add `timeball status` and what stands below it."""
    status.add_command(export)
    cli.add_command(status)


@click.group("status", invoke_without_command=True)
@click.pass_context
def status(context: click.Context) -> None:
    """How it goes: clock, pool, load and health in a line each, and where its pages are."""
    if context.invoked_subcommand is None:
        emit(admin().get("/api/v1/console"), _print_state)


def _print_state(told: Mapping[str, Any]) -> None:
    click.echo(
        f"{printable(told['name'])}, pages at {printable(' and '.join(told['urls'][:2]) or 'no address')}"
    )
    for line in told["state"]:
        mark = "!" if line["level"] != "ok" else " "
        click.echo(f"{mark} {printable(line['label']):<8}{printable(line['text'])}")
    if not told["claimed"]:
        click.echo("! Owner   nobody yet: `timeball setup code` tells the code that its pages ask for")
    if any(line["level"] != "ok" for line in told["state"]):
        click.echo("`timeball doctor` says what to do.")


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def export(directory: Path) -> None:
    """Write the public status into DIRECTORY: a page, feed, badge and JSON that need nothing else.

    Each file is replaced whole, so that a web server may serve the folder meanwhile. Run it from a timer, and copy the folder to
    wherever it shall be seen, also when this box is not reachable from there.
    """
    files = admin().get("/api/v1/public/site")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _replace(directory / Path(name).name, text)
    except OSError as error:
        raise Failure(f"{printable(directory)} cannot be written: {error.strerror or error}") from None
    told = {"directory": str(directory), "files": sorted(files)}
    emit(
        told,
        lambda _: click.echo(f"{len(files)} files written to {printable(directory)}; begin at index.html"),
    )


def _replace(path: Path, text: str) -> None:
    """Write beside it, then move: nobody sees half a file."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
