"""`timeball tls`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from appliance.api.cli import Failure, admin, emit, printable


def add_commands(cli: click.Group) -> None:
    """Add `timeball tls` to the command line."""
    cli.add_command(tls)


@click.group()
def tls() -> None:
    """HTTPS: the box's own certificate, or one of your own."""


@tls.command()
def show() -> None:
    """The certificate that is served, and the fingerprints to compare."""
    emit(admin().get("/api/v1/tls"), _show)


@tls.command()
@click.option("--authority", is_flag=True, help="Also a new authority, which has to be trusted anew.")
def renew(*, authority: bool) -> None:
    """Make a new certificate now; it renews itself otherwise."""
    emit(admin().post("/api/v1/tls/renew", {"authority": authority}), _show)


@tls.command("export-ca")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def export_ca(file: Path | None) -> None:
    """Print the authority's certificate, or write it to FILE, to trust it on another machine."""
    text = admin().get("/api/v1/tls/authority.crt")
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="ascii")
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"written to {file}")


@tls.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@click.argument("key", type=click.Path(path_type=Path))
def upload(certificate: Path, key: Path) -> None:
    """Serve a certificate of your own: CERTIFICATE with its chain, and its KEY, both PEM files.

    It is checked before it is used. `timeball tls reset` goes back.
    """
    body = {"certificate": _read(certificate), "key": _read(key)}
    emit(admin().ask("PUT", "/api/v1/tls/certificate", body=body), _show)


@tls.command()
def reset() -> None:
    """Go back to the box's own certificate."""
    emit(admin().delete("/api/v1/tls/certificate"), _show)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 20).decode("ascii", "replace")
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}") from None


def _show(value: Any) -> None:
    if value["source"] == "none":
        click.echo("There is no certificate yet: the pages are not served.")
        return
    certificate, top = value["certificate"], value["authority"]
    own = {"local": "the box's own, renewed by itself", "uploaded": "one of your own"}[value["source"]]
    click.secho(f"Certificate: {own}", bold=True)
    click.echo(f"  for          {printable(', '.join(certificate['names']))}")
    click.echo(f"  valid        {certificate['days_left']:g} more days")
    click.echo(f"  SHA-256      {certificate['fingerprint_sha256']}")
    click.echo(f"  served at    {', '.join(value['https']) or 'no address'}")
    if value["not_served"]:
        click.secho(f"  not served   {printable(value['not_served'])}", fg="yellow")
    for warning in value["warnings"]:
        click.secho(f"  note         {printable(warning)}", fg="yellow")
    click.secho("Authority of this box", bold=True)
    click.echo(f"  SHA-256      {top['fingerprint_sha256']}")
    if top["not_covered"]:
        names = printable(", ".join(top["not_covered"]))
        click.secho(f"  does not cover {names}: timeball tls renew --authority", fg="yellow")
