"""What came with a request, as JSON and as the model that an operation declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp.http_exceptions import BadHttpMessage
from pydantic import BaseModel, ValidationError

from appliance.api.errors import ApiError, Invalid
from appliance.core.strict_json import read_json


class NotJson(ApiError):
    """The body is of a kind that the operation does not take."""

    status = 415
    code = "unsupported_media_type"


@contextmanager
def reading_form() -> Iterator[None]:
    """Around the parts of a form (multipart/form-data) that are taken as they come.

    Raises:
        ApiError: it is no such form: without a boundary, cut off, or its parts make no sense.
    """
    try:
        yield
    except BadHttpMessage:  # its words are about bytes, and quote them
        raise ApiError(
            "the body is no form (multipart/form-data): the head of a part is none, or too long"
        ) from None
    except (ValueError, AssertionError) as error:  # aiohttp's reader raises both
        raise ApiError(f"the body is no form (multipart/form-data): {error}") from None


def json_body(content: bytes, headers: Mapping[str, str]) -> Any:
    """The value in a body; an empty one is an empty object.

    Raises:
        NotJson: its media type is another one.
        ApiError: it is no JSON.
    """
    if not content:
        return {}
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise NotJson(f"this operation takes application/json, not {kind[:80]}")
    try:
        return read_json(content)
    except ValueError as error:
        raise ApiError(f"the body is not JSON: {error}") from None


def validated(model: type[BaseModel], value: Any, what: str) -> BaseModel:
    """`value` as the model; `what` ("body", "query") is told to people.

    Raises:
        Invalid: with one entry per field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        errors = {}
        for error in invalid.errors(include_url=False):
            name = ".".join(str(part) for part in error["loc"]) or what
            unknown = error["type"] == "extra_forbidden"
            if error["type"] == "model_type":  # pydantic tells the names of our classes
                errors[name] = "expected an object"
            else:
                errors[name] = f"unknown; known: {', '.join(model.model_fields)}" if unknown else error["msg"]
        raise Invalid(f"the {what} is not what this operation takes", errors=errors) from None
