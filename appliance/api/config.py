"""How a plugin describes its configuration: a pydantic model, each field with a sentence, a unit and a default."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PluginConfig(BaseModel):
    """Base of every plugin's configuration model: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def setting(
    default: Any = ...,
    *,
    help: str,  # noqa: A002 - the word that argparse, click and pydantic users look for
    live: bool = False,
    unit: str = "",
    advanced: bool = False,
    **limits: Any,
) -> Any:
    """Describe one key of a plugin's configuration.

    Args:
        default: its value when nobody sets it; leave out for a key that must be set.
        help: one sentence for the form and for `config explain`.
        live: True when a running plugin can take a new value without a restart (it watches `ctx.config_changes`).
        unit: such as "s" or "kbit"; shown in forms.
        advanced: hidden behind a disclosure in forms.
        limits: passed on to `pydantic.Field` (ge, le, pattern, examples, default_factory, ...).
    """
    extra: dict[str, Any] = {"x-live": live}
    if unit:
        extra["x-unit"] = unit
    if advanced:
        extra["x-advanced"] = True
    if "default_factory" in limits:
        return Field(description=help, json_schema_extra=extra, **limits)
    return Field(default, description=help, json_schema_extra=extra, **limits)
