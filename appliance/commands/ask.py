"""Commands that ask the running appliance."""

from __future__ import annotations

import json
from typing import Any

import click

from appliance.api.cli import Failure, admin, echo_file, emit, path_part, table
from appliance.api.foreign import json_text


@click.group("plugin")
def plugin_group() -> None:
    """Look at plugins."""


@plugin_group.command("list")
def plugin_list() -> None:
    """Every plugin with its state and why."""

    def show(plugins: Any) -> None:
        rows = [
            (
                p["id"],
                p["state"],
                p["restarts"],
                p["origin"],
                (p["quality"] or {}).get("level", ""),
                p["why"] or p["text"],
            )
            for p in plugins
        ]
        table(("plugin", "state", "restarts", "origin", "quality", "what"), rows, right=("restarts",))

    emit(admin().get("/api/v1/plugins"), show)


@plugin_group.command("retry")
@click.argument("plugin_id")
def plugin_retry(plugin_id: str) -> None:
    """Try a failed or waiting plugin again now."""
    emit(
        admin().post(f"/api/v1/plugins/{path_part(plugin_id)}/retry"),
        lambda p: click.echo(f"{p['id']}: {p['state']}"),
    )


@click.command()
@click.argument("path")
@click.option("-X", "method", default="GET", help="HTTP method.")
@click.option("-d", "data", default=None, help="JSON body.")
def api(path: str, method: str, data: str | None) -> None:
    """Send one request to the running appliance's API, such as /api/v1/members."""
    try:
        body = None if data is None else json.loads(data)
    except ValueError as error:
        raise Failure(f"the body is not JSON: {error}", 2) from None
    if not path.startswith("/"):
        raise Failure(f"{path!r} is no path of the API: it begins with a slash, as in /api/v1/members", 2)
    value = admin().ask(method.upper(), path, body=body)
    if isinstance(value, str):
        echo_file(value)
    else:
        click.echo(json_text(value))
