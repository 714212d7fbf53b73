"""`[plugins.people]`."""

from __future__ import annotations

from appliance.api.config import PluginConfig, setting


class PeopleConfig(PluginConfig):
    """How the box gets its first owner. Users themselves are no configuration: `timeball user add`."""

    allow_public_setup: bool = setting(
        default=False,
        opens=True,
        help="Let the box be claimed from any address and not only from private ones.",
    )
    preseed: str = setting(
        "",
        opens=True,
        help="A TOML file that is read once, at the first start without an owner, and cleared of its secrets afterwards.",
        examples=["/boot/firmware/timeball.toml"],
        advanced=True,
    )
    setup_file: str = setting(
        "",
        opens=True,
        help="Where a long setup code is written while the box has no owner, for boards without a screen.",
        examples=["/boot/firmware/timeball-setup-code.txt"],
        advanced=True,
    )
