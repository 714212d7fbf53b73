"""`timeball box`, `timeball backup`, `timeball support-bundle`."""

from __future__ import annotations

import click

from appliance_box.backup_cli import backup
from appliance_box.box_cli import box, support_bundle


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""
    for command in (box, backup, support_bundle):
        cli.add_command(command)
