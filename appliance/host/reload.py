"""Takes a new configuration while running: live settings change without a dropped packet, the rest is told plainly."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import BaseModel

from appliance.api.model import PluginState
from appliance.core.config import Config
from appliance.settings.effects import differing, extra

if TYPE_CHECKING:
    from appliance.host.app import Host

log = logging.getLogger("timeball.host")


def apply(host: Host, config: Config, *, quiet: Collection[str] = ()) -> dict[str, list[str]]:
    """Apply what can change live.

    A plugin in which only live settings changed gets its new configuration at once. A plugin in which anything else
    changed keeps its old configuration whole, so that it never runs on a mixture. A FAILED plugin takes everything and
    is tried again.

    Args:
        host: what runs.
        config: what shall be.
        quiet: plugins that are restarted for it right after: not worth a warning.

    Returns:
        "applied" and "needs_restart": the changed keys.
    """
    applied: list[str] = []
    needs_restart: list[str] = []
    for key in differing(host.config.appliance, config.appliance):
        live = is_live(config.appliance, key)
        (applied if live else needs_restart).append(f"appliance.{key}")
        if key == "log_level":
            logging.getLogger("timeball").setLevel(config.appliance.log_level.upper())
    plugins = dict(host.config.plugins)
    for plugin_id, new in config.plugins.items():
        supervised = host.supervised.get(plugin_id)
        old = plugins.get(plugin_id)
        keys = differing(old, new) if old is not None else []
        if supervised is None or not keys:
            continue
        names = [f"plugins.{plugin_id}.{key}" for key in keys]
        failed = supervised.status.state is PluginState.FAILED
        if failed or all(is_live(new, key) for key in keys):
            plugins[plugin_id] = new
            supervised.ctx.config_changes.set(new)
            applied += names
            if failed:
                supervised.retry_now()
        else:
            needs_restart += names
    needs_restart += [f"plugins.{p}.enabled" for p in sorted(config.enabled.keys() | host.config.enabled.keys())
                      if config.enabled.get(p) != host.config.enabled.get(p)]  # fmt: skip
    host.config = Config(host.config.appliance, plugins, host.config.enabled, config.layers)
    for key in applied:
        log.info("reload: %s changed", key)
    for key in needs_restart:
        if key.split(".")[1] in quiet:
            continue
        log.warning("reload: %s needs a restart; until then the old value is in force", key)
    return {"applied": applied, "needs_restart": needs_restart}


def is_live(model: BaseModel, field: str) -> bool:
    """Whether a running plugin takes a new value of `field`."""
    return bool(extra(type(model), field).get("x-live"))
