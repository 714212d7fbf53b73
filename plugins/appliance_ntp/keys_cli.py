"""`timeball ntp key`: keys that servers and clients share."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click

from appliance.api.cli import emit, printable
from appliance.wire.ntp_mac import MacType
from appliance_ntp.keys import load_keys

#: Of a key for a hash: as much as SHA256 takes in without shortening it.
_HASH_KEY_BYTES = 32
#: What NTPsec calls them.
_NTPSEC_NAMES = {MacType.AES128: "AES", MacType.AES256: "AES-256"}
#: NTPsec and ntpd have no larger numbers.
_MAX_SHARED_ID = 65535


def register(ntp: click.Group) -> None:
    """Add the commands to `timeball ntp`."""

    @ntp.group("key", help="Keys that this service and its clients share.")
    def key() -> None: ...

    @key.command(
        "new", help="Print a new key: one line for the keys file of both sides, and what goes into a client."
    )
    @click.option(
        "--type", "label", default=MacType.AES128.label, show_default=True, help="Algorithm.",
        type=click.Choice([kind.label for kind in MacType], case_sensitive=False),
    )  # fmt: skip
    @click.option(
        "--id",
        "number",
        type=click.IntRange(1, _MAX_SHARED_ID),
        help="Its number; a random one unless given.",
    )
    def new(label: str, number: int | None) -> None:
        emit(_new(MacType[label], number or secrets.randbelow(_MAX_SHARED_ID) + 1), _print_new)

    @key.command("check", help="Say what is wrong with the keys file FILE, without showing a key.")
    @click.argument("file", type=click.Path(path_type=Path))
    def check(file: Path) -> None:
        found = load_keys(file)
        told = {
            "keys": [
                {"id": key.id, "type": key.kind.label, "networks": [str(network) for network in key.networks]}
                for key in found.keys
            ],
            "problems": list(found.problems),
            "warnings": list(found.warnings),
        }
        emit(told, _print_check)
        if found.problems:
            raise click.exceptions.Exit(1)


def _new(kind: MacType, number: int) -> dict[str, Any]:
    """A key and the lines that it goes into."""
    digits = secrets.token_hex(kind.key_bytes or _HASH_KEY_BYTES)
    return {
        "id": number,
        "type": kind.label,
        "line": f"{number} {kind.label} HEX:{digits}",
        "chrony": ["keyfile /etc/chrony/chrony.keys", f"server ADDRESS iburst key {number}"],
        "ntpsec_line": f"{number} {_NTPSEC_NAMES.get(kind, kind.label)} {digits}",
        "ntpsec": [
            "keys /etc/ntpsec/ntp.keys",
            f"trustedkey {number}",
            f"server ADDRESS iburst key {number}",
        ],
    }


def _print_new(told: dict[str, Any]) -> None:
    def part(title: str, lines: list[str]) -> None:
        click.secho(f"# {title}", dim=True)
        for line in lines:
            click.echo(printable(line))
        click.echo()

    part(
        "the keys file of this service (plugins.ntp.keys_file), and of chrony clients; chmod 640",
        [told["line"]],
    )
    part("chrony client: chrony.conf", told["chrony"])
    part("NTPsec client: the same key in its ntp.keys", [told["ntpsec_line"]])
    part("NTPsec client: ntp.conf", told["ntpsec"])


def _print_check(told: dict[str, Any]) -> None:
    for problem in told["problems"]:
        click.secho(printable(problem), fg="red")
    for warning in told["warnings"]:
        click.secho(f"Warning: {printable(warning)}", fg="yellow")
    for key in told["keys"]:
        only = f", only for {', '.join(key['networks'])}" if key["networks"] else ""
        click.echo(f"key {key['id']}: {key['type']}{only}")
    if told["problems"]:
        click.echo("A file with a problem is not used at all; the keys of before stay in force.")
