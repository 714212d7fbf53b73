"""How a plugin describes its configuration: a pydantic model, each field with a sentence, a unit and a default."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class PluginConfig(BaseModel):
    """Base of every plugin's configuration model: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """In a configuration `true` is no number and "4" in quotes neither; in a query string everything is text."""
        if (info.context or {}).get("typed") and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            _check_scalar(value, {annotation, *typing.get_args(annotation)})
        return value


def _check_scalar(value: Any, kinds: set[Any]) -> None:
    number = bool(kinds & {int, float})
    if bool in kinds and not number and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        expected = "true or false"
    elif number and bool not in kinds and isinstance(value, bool):
        expected = "a number"
    elif number and str not in kinds and isinstance(value, str):
        expected = "a number, without quotes"
    else:
        return
    raise ValueError(
        f"expected {expected}, got {str(value).lower() if isinstance(value, bool) else repr(value)}"
    )


def checked(check: Callable[[str], object]) -> AfterValidator:
    """Checks each entry of a list by itself, so that every wrong one is told, with its number.

    Args:
        check: raises ValueError for a wrong entry; the entry stays as written. For `tuple[Annotated[str, checked(f)], ...]`.
    """

    def same(text: str) -> str:
        check(text)
        return text

    return AfterValidator(same)


def setting(
    default: Any = ...,
    *,
    help: str,  # noqa: A002 - the word that argparse, click and pydantic users look for
    live: bool = False,
    unit: str = "",
    advanced: bool = False,
    secret: bool = False,
    restart: Literal["", "plugin", "process"] = "",
    locks_out: bool = False,
    opens: bool = False,
    **limits: Any,
) -> Any:
    """Describe one key of a plugin's configuration.

    Args:
        default: its value when nobody sets it; leave out for a key that must be set.
        help: one sentence for the form and for `config explain`.
        live: True when a running plugin can take a new value without a restart (it watches `ctx.config_changes`).
        unit: such as "s" or "kbit"; shown in forms.
        advanced: hidden behind a disclosure in forms.
        secret: never shown again once it is set: forms, diffs and the API only say that it is.
        restart: how a value that is not live is taken: "plugin" when starting `run` again is enough (it reads the key
            itself), "process" when it is not. Without it a plugin that provides no services is set up anew, and any
            other waits for a restart of the process.
        locks_out: a wrong value can cut off whoever changes it, so it is taken back unless somebody confirms it.
        opens: it decides who gets in and what strangers may do or see: whoever changes it gives the password once more.
        limits: passed on to `pydantic.Field` (ge, le, pattern, examples, default_factory, ...).
    """
    extra: dict[str, Any] = {"x-live": live}
    if unit:
        extra["x-unit"] = unit
    if advanced:
        extra["x-advanced"] = True
    if secret:
        extra["x-secret"] = True
    if restart:
        extra["x-restart"] = restart
    if locks_out:
        extra["x-locks-out"] = True
    if opens:
        extra["x-opens"] = True
    if "default_factory" in limits:
        return Field(description=help, json_schema_extra=extra, **limits)
    return Field(default, description=help, json_schema_extra=extra, **limits)
