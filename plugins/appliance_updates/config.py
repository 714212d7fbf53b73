"""Where bundles come from."""

from __future__ import annotations

from typing import Annotated

from appliance.api.config import PluginConfig, checked, setting


def _absolute(text: str) -> None:
    if not text.startswith("/"):
        raise ValueError(f"expected a folder's whole path, such as /srv/updates, got {text!r}")


class UpdatesConfig(PluginConfig):
    """`[plugins.updates]`."""

    folders: tuple[Annotated[str, checked(_absolute)], ...] = setting(
        (),
        help="Folders of this box where bundles are looked for, besides USB sticks and what was uploaded.",
        restart="plugin",
        examples=[["/srv/updates"]],
        max_length=8,
    )
    keep_uploads_h: float = setting(
        72, help="Uploaded bundles are deleted after so long.", unit="h", restart="plugin", gt=0, le=24 * 90
    )
