"""The configuration of the service, which belongs to root: put back from a backup."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field, field_validator

from appliance.api.agent import Action, AgentRefusal, Arguments, Call
from appliance_box.backup import restoring

CONFIG: Final = "etc/timeball/config.toml"
_NAME: Final = re.compile(r"config\.toml|conf\.d/[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}\.toml")


class Files(Arguments):
    files: dict[str, str] = Field(max_length=100, description="config.toml and conf.d/….toml by name")

    @field_validator("files")
    @classmethod
    def _names(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:100]!r} is no file of the configuration")
        return files


def write(call: Call, arguments: Files) -> Mapping[str, Any]:
    """Write them, the old ones kept beside. The service checks them when it starts, and runs without our rights."""
    try:
        written = restoring.write_config(
            call.path(CONFIG), {name: text.encode() for name, text in arguments.files.items()}
        )
    except OSError as error:
        raise AgentRefusal("not_kept", f"the configuration cannot be written: {error.strerror}") from None
    return {"written": written}


ACTIONS = (
    Action(
        "config.write",
        "Put the configuration of the service back from a backup",
        write,
        Files,
        quiet=("files",),
    ),
)
