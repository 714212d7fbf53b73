"""`timeball status export`: the public status as files for another web server."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from appliance.api.cli import Failure, admin, emit, printable


def add_commands(cli: click.Group) -> None:
    """Add `export` to `timeball status`, which is made when nobody has it."""
    status = cli.commands.get("status")
    if not isinstance(status, click.Group):
        status = click.Group("status", help="The public status of the pool.")
        cli.add_command(status)
    status.add_command(export)


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
