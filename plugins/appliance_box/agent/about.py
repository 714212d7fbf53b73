"""What the agent can do, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.api.agent import Action, Arguments, Call
from appliance_box.image import read_image


def about(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    """Every action with what it is for."""
    from appliance_box.agent.known import known_actions

    image = read_image(call.root)
    return {
        "image": None if image is None else image.id,
        "actions": {
            name: {"about": action.about, "image_only": action.image_only}
            for name, action in known_actions().items()
        },
    }


ACTIONS = (Action("agent.about", "What this agent can do", about, together=True),)
