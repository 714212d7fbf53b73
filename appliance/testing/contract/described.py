"""Checks that need no running appliance: what a plugin says about itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from appliance.api import hookspecs
from appliance.api.plugin import PluginInfo
from appliance.host.loader import Loaded


def hook_faults(module: ModuleType, loaded: Loaded) -> Iterator[str]:
    """Hooks whose annotations are not those of their specification."""
    for name in loaded.hooks:
        wanted = inspect.signature(getattr(hookspecs, name))
        given = inspect.signature(getattr(module, name))
        for argument, parameter in given.parameters.items():
            expected = _word(wanted.parameters[argument].annotation)
            found = _word(parameter.annotation)
            if not found:
                yield f"{name} does not say what {argument} is: {argument}: {expected}"
            elif found != expected:
                yield f"{name} says that {argument} is a {found}; it is a {expected}"
        if given.return_annotation is inspect.Signature.empty:
            yield f"{name} does not say what it returns"


def _word(annotation: Any) -> str:
    """Last word of an annotation: "click.Group" and `Group` are the same thing; "" when there is none."""
    if annotation is inspect.Signature.empty:
        return ""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return text.strip("\"'").rpartition(".")[2]


def config_faults(info: PluginInfo, config: Mapping[str, Any]) -> Iterator[str]:
    """A model that refuses its own values, and fields without a sentence."""
    if info.config is None:
        return
    yield from undocumented(info.config)
    try:
        value = info.config.model_validate({k: v for k, v in config.items() if k != "enabled"})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        yield f"{'.'.join(map(str, first['loc']))}: {first['msg']} (give the test a configuration that works)"
        return
    again = info.config.model_validate(value.model_dump(mode="json"))
    if again != value:
        yield "what the model writes, it does not read back as the same"


def undocumented(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Keys without a description, those of inner tables too."""
    for name, field in model.model_fields.items():
        if not (field.description or "").strip():
            yield f"the key {prefix}{name} has no help"
        for inner in _models(field.annotation):
            yield from undocumented(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
