"""Files on the boot partition: the flag of a factory reset, and what a person shall find there."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from appliance.api.agent import Action, AgentRefusal, Arguments, Call
from appliance.core import durable
from appliance_box import boot
from appliance_box.agent.power import restart

RESET_FLAG: Final = "factory-reset"
#: Names that cannot be mistaken for anything that the box reads at its start.
_NAME: Final = r"timeball-[a-z0-9-]{1,40}\.(?:txt|json|tar|tar\.gz|pem)"
_MOST: Final = 900_000


class File(Arguments):
    name: str = Field(pattern=f"^{_NAME}$", description="timeball-….txt, .json, .tar, .tar.gz or .pem")
    content: str = Field(max_length=_MOST, description="base64; empty takes the file away")


class Reset(Arguments):
    confirm: str = Field(description='"erase everything", so that nobody does it by mistake')


def write(call: Call, arguments: File) -> Mapping[str, Any]:
    try:
        content = base64.b64decode(arguments.content, validate=True)
    except (binascii.Error, ValueError):
        raise AgentRefusal("bad_arguments", "card.write: content: this is no base64") from None
    try:
        with boot.writable(call.root, call.program) as folder:
            file = folder / arguments.name
            if content:
                durable.put(file, content, 0o644)
            else:
                file.unlink(missing_ok=True)
    except OSError as error:
        raise AgentRefusal("not_written", f"{arguments.name} cannot be written: {error.strerror}") from None
    return {"written": arguments.name if content else "", "bytes": len(content)}


def factory_reset(call: Call, arguments: Reset) -> Mapping[str, Any]:
    """Ask the next start to make the data partition anew, and start: the flag is on the disk before."""
    if arguments.confirm != "erase everything":
        raise AgentRefusal(
            "not_confirmed", "everything that was set up or collected on this box would be gone",
            'confirm with the words "erase everything"',
        )  # fmt: skip
    call.progress({"doing": "writing the request"})
    try:
        durable.put(call.path(f"data/box/{RESET_FLAG}"), b"asked for\n", 0o600)
    except OSError:
        with boot.writable(
            call.root, call.program
        ) as folder:  # a data partition that cannot be written is a good reason
            durable.put(folder / RESET_FLAG, b"asked for\n", 0o644)
    return {"reset": True, **restart(call, Arguments())}


ACTIONS = (
    Action(
        "card.write",
        "Put a file on the boot partition, for a person to find",
        write,
        File,
        image_only=True,
        quiet=("content",),
    ),
    Action("box.reset", "Erase everything and start as new", factory_reset, Reset, image_only=True),
)
