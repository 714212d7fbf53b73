"""`[plugins.box]`."""

from __future__ import annotations

from appliance.api.config import PluginConfig, setting
from appliance_box.agent import SOCKET


class BoxConfig(PluginConfig):
    """The box's own settings (host name, network, SSH) are no configuration of the appliance: `timeball box`."""

    agent_socket: str = setting(
        SOCKET,
        help="Where the agent listens that does what needs root's rights.",
        advanced=True,
    )
