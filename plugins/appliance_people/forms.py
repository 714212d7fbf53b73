"""HTML forms: read, and told what an operation said to them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from appliance.api.errors import Invalid
from appliance.core.routes import Reply, Request

_MOST_FIELDS = 100


def read(request: Request) -> dict[str, str]:
    """The fields of a form, the last value of each; passwords as they were typed, all others without outer spaces.

    Raises:
        Invalid: it is no form.
    """
    return {
        name: values[-1] if "password" in name else values[-1].strip()
        for name, values in _fields(request).items()
    }


def chosen(request: Request, name: str) -> list[str]:
    """All values of one field, such as those of the boxes that are ticked."""
    return _fields(request).get(name, [])


def _fields(request: Request) -> dict[str, list[str]]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.content and media_type != "application/x-www-form-urlencoded":
        raise Invalid("this address takes a form (application/x-www-form-urlencoded); programs use /api/v1")
    try:
        return parse_qs(
            request.content.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise Invalid("the form cannot be read") from None


def inside(where: str) -> str:
    """`where` when it is an address of ours, else the overview: nobody sends our readers elsewhere."""
    plain = (
        where.startswith("/") and where[1:2] not in ("/", "\\") and where.isascii() and where.isprintable()
    )
    return where if plain and "\\" not in where and not where.startswith(("/login", "/logout")) else "/"


def redirect(where: str, cookie: str = "") -> Reply:
    """Send the reader on with GET."""
    headers: dict[str, Any] = {"Location": where, "Cache-Control": "no-store"}
    if cookie:
        headers["Set-Cookie"] = cookie
    return Reply("", 303, headers, "text/plain")
