"""`timeball member ...` and `timeball zone ...`."""

from __future__ import annotations

import json
import sys
from typing import IO, Any

import click

from appliance.api.cli import Failure, admin, echo_file, emit, path_part, printable, wants_json
from appliance.api.foreign import json_text
from appliance_members import telling
from appliance_members.spans import parse_date, parse_span

#: Live checks take their time: each silent server costs some seconds.
_PATIENCE_S = 900.0


def _span(text: str) -> float:
    try:
        return parse_span(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _date(text: str) -> float:
    try:
        return parse_date(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""
    cli.add_command(member)
    cli.add_command(zone)


def _one(key: str, operation: str = "") -> str:
    return f"/api/v1/members/{path_part(key)}" + (f"/{operation}" if operation else "")


def _given(**options: Any) -> dict[str, Any]:
    """What was said on the command line; the rest is left to the appliance."""
    return {
        k: [x for x in v if x] if isinstance(v, tuple) else v
        for k, v in options.items()
        if v not in (None, ())
    }


def _examples(*lines: str) -> str:
    """Text below the options that click must not fold: the backspace in front says so."""
    return "\b\n" + "\n".join(lines)


@click.group()
def member() -> None:
    """Who is in the pool, and why."""


@member.command(
    "list", epilog=_examples("timeball member list", "timeball member list --state out --sort score")
)
@click.option("--zone", help="Only members of this zone.")
@click.option("--state", help="Only those: active, unverified, paused, leaving, in_pool, out.")
@click.option("--search", "q", help="Only those with this text in id, address, name, operator, note or tag.")
@click.option("--tag", help="Only those with this tag.")
@click.option("--owner", help="Only those of this user.")
@click.option("--sort", help="address, score, name, netspeed, operator or added_at; -score: best first.")
def list_members(**conditions: str | None) -> None:
    """All members: how each stands and why."""
    emit(admin().get("/api/v1/members", conditions), telling.print_list)


@member.command(
    "show", epilog=_examples("timeball member show 192.0.2.11", "timeball member show m-k3vq7zt2 --json")
)
@click.argument("key", metavar="ID")
def show_member(key: str) -> None:
    """One member with its last probes; ID may be an id, address, address:port or name."""
    emit(admin().get(_one(key)), telling.print_member)


@member.command(
    "add",
    epilog=_examples(
        "timeball member add 192.0.2.11",
        "timeball member add ntp1.example.org --netspeed 3000 --zone @ --zone berlin",
    ),
)
@click.argument("address", metavar="ADDRESS_OR_NAME")
@click.option("--port", type=click.IntRange(1, 65535), help="UDP port to probe; default 123.")
@click.option("--netspeed", type=click.IntRange(0), help="Relative weight; 0 is watched only; default 1000.")
@click.option(
    "--zone", "zones", multiple=True, help="A zone it is in, may be repeated; default @, the pool itself."
)
@click.option("--tag", "tags", multiple=True, help="A free word, may be repeated.")
@click.option("--operator", help="Who runs it.")
@click.option("--name", help="Host name to show beside an address.")
@click.option("--note", help="Free text.")
@click.option("--owner", help="User who may look after it without being an operator.")
@click.option("--force", is_flag=True, help="Add it whatever the live check finds.")
def add_member(force: bool, **fields: Any) -> None:
    """Ask a server for the time and, if its answer is good, add it."""
    body = {**_given(**fields), "force": force}
    emit(admin().ask("POST", "/api/v1/members", body=body, timeout_s=_PATIENCE_S), telling.print_added)


@member.command(
    "set",
    epilog=_examples(
        "timeball member set 192.0.2.11 --netspeed 500",
        "timeball member set ntp1.example.org --zone @ --zone berlin",
    ),
)
@click.argument("key", metavar="ID")
@click.option("--netspeed", type=click.IntRange(0), help="Relative weight; 0 is watched only.")
@click.option("--zone", "zones", multiple=True, help="The zones it is in from now on, may be repeated.")
@click.option("--tag", "tags", multiple=True, help="The tags it has from now on, may be repeated.")
@click.option("--operator", help="Who runs it.")
@click.option("--name", help="Host name to show.")
@click.option("--note", help="Free text.")
def set_member(key: str, **fields: Any) -> None:
    """Change an added member."""
    changes = _given(**fields)
    if not changes:
        raise click.UsageError("say what to change, such as --netspeed 500")
    emit(admin().patch(_one(key), changes), telling.print_done("changed"))


@member.command(
    "owner",
    epilog=_examples("timeball member owner 192.0.2.11 ada", "timeball member owner 192.0.2.11 --nobody"),
)
@click.argument("key", metavar="ID")
@click.argument("user", required=False)
@click.option("--nobody", is_flag=True, help="Take it from its owner.")
def give_member(key: str, user: str | None, nobody: bool) -> None:
    """Give a member to a user, who then sees and may change it without being an operator."""
    if bool(user) == nobody:
        raise click.UsageError("name a user, or say --nobody")
    done = admin().ask("PUT", _one(key, "owner"), body={"owner": user or ""})
    emit(done, telling.print_done(f"belongs to {user}" if user else "belongs to nobody"))


@member.command(
    "pause", epilog=_examples("timeball member pause 192.0.2.11 --for 2h", "timeball member pause 192.0.2.11")
)
@click.argument("key", metavar="ID")
@click.option("--for", "for_s", type=_span, help="How long, such as 2h or 3d.")
@click.option("--until", type=_date, help="Up to this date (UTC).")
def pause_member(key: str, for_s: float | None, until: float | None) -> None:
    """Watch a member but do not answer it, for maintenance."""
    done = admin().post(_one(key, "pause"), _given(for_s=for_s, until=until))
    emit(done, telling.print_done("paused"))


@member.command("resume")
@click.argument("key", metavar="ID")
def resume_member(key: str) -> None:
    """End the pause of a member."""
    emit(admin().post(_one(key, "resume"), {}), telling.print_done("resumed"))


@member.command(
    "rm", epilog=_examples("timeball member rm 192.0.2.11", "timeball member rm 192.0.2.11 --in 30d")
)
@click.argument("key", metavar="ID")
@click.option(
    "--at", type=_date, help="Not now but on this date (UTC); it leaves the answers some days before."
)
@click.option("--in", "in_s", type=_span, help="Not now but after this time, such as 30d.")
@click.option(
    "--grace", "grace_s", type=_span, help="Leave the answers so long before; default as configured."
)
@click.option("--cancel", is_flag=True, help="Call a scheduled removal off.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_member(
    key: str, at: float | None, in_s: float | None, grace_s: float | None, cancel: bool, yes: bool
) -> None:
    """Remove an added member, now or on a date."""
    if cancel:
        emit(admin().post(_one(key, "cancel-removal"), {}), telling.print_done("stays"))
    elif at is not None or in_s is not None:
        body = _given(at=at, in_s=in_s, grace_s=grace_s)
        emit(admin().post(_one(key, "remove-at"), body), telling.print_done("will be removed"))
    else:
        if sys.stdin.isatty() and not (yes or wants_json()):
            click.confirm(f"Remove {printable(key)} and forget its score?", abort=True)
        emit(admin().delete(_one(key)), telling.print_removed)


@member.command(
    "verify",
    epilog=_examples("timeball member verify 203.0.113.5", "timeball member verify 203.0.113.5 --http"),
)
@click.argument("key", metavar="ID")
@click.option("--http", "method", flag_value="http", help="By a page fetched from the server's own address.")
@click.option(
    "--txt", "method", flag_value="txt", help="By a TXT record at _timeball.NAME; ask again when it is there."
)
@click.option("--renew", is_flag=True, help="Make a new token.")
def verify_member(key: str, method: str | None, renew: bool) -> None:
    """Confirm that a server belongs to whoever added it: by your word, or by a proof."""
    done = admin().post(_one(key, "verify"), {"method": method or "admin", "renew": renew})
    emit(done, telling.print_verification, several_lines=("instructions",))


@member.command("export", epilog=_examples("timeball member export > members.csv"))
@click.option(
    "--format", "form", type=click.Choice(["csv", "json"]), help="Default csv, or json with --json."
)
def export_members(form: str | None) -> None:
    """Print all members so that `import` can read them."""
    form = form or ("json" if wants_json() else "csv")
    found = admin().get("/api/v1/members/export", {"format": form})
    if isinstance(found, str):
        echo_file(found.removesuffix("\n"))
    else:
        click.echo(json_text(found))


@member.command(
    "import",
    epilog=_examples("timeball member import members.csv", "timeball member import members.json --partial"),
)
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--force", is_flag=True, help="Add them whatever the live check finds.")
@click.option(
    "--partial", is_flag=True, help="Add those that pass the live check; without this it is all or nothing."
)
@click.option("--owner", help="User who may look after them without being an operator.")
def import_members(file: IO[str], force: bool, partial: bool, owner: str | None) -> None:
    """Check and add the servers of a CSV or JSON file (- reads standard input)."""
    name = str(getattr(file, "name", "-"))
    try:
        text = file.read()
    except UnicodeDecodeError:
        raise Failure(f"{name} is not UTF-8 text") from None
    body = {**_content(text, name), "force": force, "partial": partial, "owner": owner}
    emit(admin().ask("POST", "/api/v1/members/import", body=body, timeout_s=_PATIENCE_S), telling.print_added)


def _content(text: str, name: str) -> dict[str, Any]:
    if not name.endswith(".json") and not text.lstrip().startswith("["):
        return {"csv": text}
    try:
        return {"members": json.loads(text)}
    except ValueError as error:
        raise Failure(f"{name} is not JSON: {error}") from None


@click.group()
def zone() -> None:
    """The zones of the pool."""


@zone.command("list", epilog=_examples("timeball zone list"))
def list_zones() -> None:
    """The tree of zones, with how many members each has."""
    emit(admin().get("/api/v1/zones"), telling.print_zones)
