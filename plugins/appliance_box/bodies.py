"""What the operations take."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_TYPED = 4096


class Body(BaseModel):
    """Unknown fields are mistakes."""

    model_config = ConfigDict(defer_build=True, extra="forbid")


class NewSettings(Body):
    settings: dict[str, Any] = Field(
        description="All settings of the box; a Wi-Fi password of null keeps the one that is set"
    )
    confirm_s: int = Field(
        60, ge=0, le=600, description="Goes back after so long unless it is confirmed; 0 is for good at once"
    )


class Confirmation(Body):
    id: str = Field(max_length=40, description="Of the change that waits")


class Reset(Body):
    confirm: str = Field(max_length=100, description='"erase everything"')


class NewBackup(Body):
    passphrase: str = Field(
        "", max_length=_TYPED, description="Seals the archive, which holds keys; empty leaves it open"
    )


class Apply(Body):
    config: bool = Field(default=True, description="The configuration file too")
    box: bool = Field(default=False, description="Host name, network and SSH too")
