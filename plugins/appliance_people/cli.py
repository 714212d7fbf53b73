"""`timeball user`, `session`, `token`, `audit` and `setup`: on the box itself, as its owner."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from appliance.api.cli import admin, emit, path_part, printable, table

_ROLES = click.Choice(["owner", "admin", "operator", "viewer", "member"])


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""
    for group in (user, session, token, audit, setup):
        cli.add_command(group)


# -- users --------------------------------------------------------------------------------------------------------------


@click.group()
def user() -> None:
    """Who may sign in to the pages, and as what."""


def _password_options(command: Any) -> Any:
    command = click.option("--generate", is_flag=True, help="Make a password and print it once.")(command)
    return click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")(
        command
    )


@user.command("add")
@click.argument("name")
@click.option("--role", type=_ROLES, default="viewer", show_default=True, help="What the user may do.")
@click.option("--password-hash", default="", help="An Argon2id hash in place of a password.")
@_password_options
def user_add(name: str, role: str, password_hash: str, password_stdin: bool, generate: bool) -> None:
    """Add a user. The password is asked for, unless it is generated or comes from standard input."""
    body: dict[str, Any] = {"name": name, "role": role}
    if password_hash:
        body["password_hash"] = password_hash
    elif not generate:
        body["password"] = _typed_password(stdin=password_stdin)
    made = admin().post("/api/v1/users", body)
    emit(made, lambda m: _tell_user(m, "added"))


@user.command("list")
def user_list() -> None:
    """Everybody who may sign in."""

    def show(users: Any) -> None:
        if not users:
            click.echo("Nobody yet. Make the first owner: timeball user add NAME --role owner")
            return
        rows = [[u["name"], u["role"], _when(u["signed_in"]), u["sessions"], u["tokens"]] for u in users]
        table(["name", "role", "signed in", "sessions", "tokens"], rows, right=["sessions", "tokens"])

    emit(admin().get("/api/v1/users"), show)


@user.command("role")
@click.argument("name")
@click.argument("role", type=_ROLES)
def user_role(name: str, role: str) -> None:
    """Give a user another role, effective at once."""
    changed = admin().patch(f"/api/v1/users/{path_part(name)}", {"role": role})
    emit(changed, lambda u: click.echo(f"{printable(u['name'])} is {u['role']} now"))


@user.command("reset")
@click.argument("name")
@_password_options
def user_reset(name: str, password_stdin: bool, generate: bool) -> None:
    """Set a lost password anew. Ends all sessions of the user, who is told at the next sign-in."""
    body = {} if generate else {"password": _typed_password(stdin=password_stdin)}
    emit(admin().post(f"/api/v1/users/{path_part(name)}/reset", body), lambda m: _tell_user(m, "reset"))


@user.command("rm")
@click.argument("name")
def user_rm(name: str) -> None:
    """Remove a user with all sessions and tokens."""
    admin().delete(f"/api/v1/users/{path_part(name)}")
    emit({"removed": name}, lambda _: click.echo(f"{printable(name)} was removed"))


@user.command("unlock")
@click.argument("name", required=False, default="")
@click.option("--address", default="", help="An address that tried too often.")
def user_unlock(name: str, address: str) -> None:
    """Let a user, or an address, try again at once after too many wrong passwords."""
    if not name and not address:
        raise click.UsageError("give a user's name or --address")
    done = admin().post("/api/v1/users-unlock", {"user": name, "address": address})
    emit(
        done,
        lambda d: click.echo(
            f"unlocked: {', '.join(d['unlocked'])}" if d["unlocked"] else "nobody had to wait"
        ),
    )


def _typed_password(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _tell_user(made: Any, what: str) -> None:
    click.echo(f"{printable(made['name'])} ({made['role']}) was {what}")
    if "password" in made:
        click.echo(f"  password: {made['password']}   (it is not shown again)")


# -- sessions -----------------------------------------------------------------------------------------------------------


@click.group()
def session() -> None:
    """Browsers that are signed in."""


@session.command("list")
def session_list() -> None:
    """Everybody's sessions."""

    def show(found: Any) -> None:
        rows = [
            [s["id"], s["user"], _when(s["created"]), _when(s["seen"]), s["address"], s["agent"][:40]]
            for s in found
        ]
        table(["id", "user", "since", "seen", "address", "browser"], rows)

    emit(admin().get("/api/v1/sessions", {"all": "true"}), show)


@session.command("revoke")
@click.argument("id_")
def session_revoke(id_: str) -> None:
    """Sign a session out."""
    admin().delete(f"/api/v1/sessions/{path_part(id_)}")
    emit({"revoked": id_}, lambda _: click.echo(f"the session {printable(id_)} is over"))


# -- tokens -------------------------------------------------------------------------------------------------------------


@click.group()
def token() -> None:
    """Tokens by which programs use the API over the network."""


@token.command("new")
@click.argument("scopes", nargs=-1, required=True)
@click.option("--label", default="", help="What it is for.")
@click.option(
    "--days",
    type=click.IntRange(0, 3650),
    default=90,
    show_default=True,
    help="How long it works; 0 is for ever.",
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    help="From where it works: an address or prefix; may be repeated.",
)
@click.option("--user", "name", default="", help="Whose it is; the only owner's when not given.")
def token_new(scopes: tuple[str, ...], label: str, days: int, addresses: tuple[str, ...], name: str) -> None:
    """Make a token that may do SCOPES, such as servers:read or metrics:read. It is shown once."""
    body = {
        "scopes": list(scopes),
        "label": label,
        "days": days or None,
        "addresses": list(addresses),
        "user": name,
    }

    def show(made: Any) -> None:
        click.echo(made["token"])
        click.echo(
            f"  {made['id']} of {printable(made['user'])}: {', '.join(made['scopes'])}; {_until(made)}",
            err=True,
        )
        click.echo("  It is not shown again. Send it as:  Authorization: Bearer TOKEN", err=True)

    emit(admin().post("/api/v1/tokens", body), show)


@token.command("list")
def token_list() -> None:
    """All tokens, with when each was used last."""

    def show(found: Any) -> None:
        rows = [
            [
                t["id"],
                t["user"],
                t["label"],
                " ".join(t["scopes"]),
                _until(t),
                _when(t["used"]),
                t["used_from"],
            ]
            for t in found
        ]
        table(["id", "user", "label", "scopes", "works", "used", "from"], rows)

    emit(admin().get("/api/v1/tokens", {"all": "true"}), show)


@token.command("revoke")
@click.argument("id_")
def token_revoke(id_: str) -> None:
    """Stop a token from working, at once."""
    admin().delete(f"/api/v1/tokens/{path_part(id_)}")
    emit({"revoked": id_}, lambda _: click.echo(f"the token {printable(id_)} works no more"))


def _until(made: Any) -> str:
    if made["expires"] is None:
        return "for ever"
    return "over" if made["expired"] else f"until {_when(made['expires'])}"


# -- audit --------------------------------------------------------------------------------------------------------------


@click.group()
def audit() -> None:
    """Who did what."""


@audit.command("list")
@click.option(
    "-n", "limit", type=click.IntRange(1, 1000), default=30, show_default=True, help="How many rows."
)
@click.option("--actor", default="", help="Only of this user.")
@click.option("--words", default="", help="Only where operation or target hold this.")
def audit_list(limit: int, actor: str, words: str) -> None:
    """The newest rows, newest first."""

    def show(found: Any) -> None:
        rows = [
            [
                r["seq"],
                _when(r["ts"]),
                r["actor"],
                r["address"] or r["kind"],
                r["action"],
                r["target"][:40],
                r["status"],
            ]
            for r in found["rows"]
        ]
        table(["row", "when (UTC)", "who", "from", "what", "to", "result"], rows, right=["row", "result"])

    emit(admin().get("/api/v1/audit", {"limit": limit, "actor": actor, "words": words}), show)


@audit.command("verify")
def audit_verify() -> None:
    """Whether the chain of rows is whole; exit code 8 when it is not."""
    found = admin().get("/api/v1/audit/verify")

    def show(value: Any) -> None:
        if value["whole"]:
            click.echo(f"the audit trail is whole: {value['rows']} rows, every one follows the one before")
            return
        for finding in value["findings"]:
            click.echo(f"row {finding['seq']}: {printable(finding['what'])}", err=True)
        click.echo(
            f"the audit trail was tampered with, or damaged: {len(value['findings'])} findings", err=True
        )

    emit(found, show)
    if not found["whole"]:
        sys.exit(8)


# -- setup --------------------------------------------------------------------------------------------------------------


@click.group()
def setup() -> None:
    """The first start of a box."""


@setup.command("code")
def setup_code() -> None:
    """The code that makes the first owner, as long as there is none."""

    def show(found: Any) -> None:
        click.echo(found["code"])
        click.echo(
            f"  good for {found['good_for_s'] // 60} min {found['good_for_s'] % 60} s; type it into the box's pages",
            err=True,
        )

    emit(admin().get("/api/v1/setup/code"), show)


def _when(ts: float | None) -> str:
    return "never" if ts is None else datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S")
