"""What a person may say about a member, checked and brought into canonical form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from appliance.api.errors import Invalid
from appliance.api.foreign import is_plain
from appliance_members.addresses import canonical_host
from appliance_members.zones import canonical_zones

MAX_NETSPEED: Final = 10_000_000
MAX_TAGS: Final = 32
MAX_TEXT: Final = 500


def checked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values for some of `CHANGEABLE`, in canonical form.

    Raises:
        Invalid: with one message per field.
    """
    good: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for key, value in fields.items():
        if key not in _CHECKS:
            errors[key] = f"cannot be changed; possible are {', '.join(CHANGEABLE)}"
            continue
        try:
            good[key] = _CHECKS[key](value)
        except ValueError as error:
            errors[key] = str(error)
    if errors:
        raise Invalid("; ".join(f"{key}: {why}" for key, why in errors.items()), errors=errors)
    return good


def host_name(value: Any) -> str:
    return canonical_host(line(value)) if value else ""


def netspeed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NETSPEED:
        raise ValueError(f"{value!r} is not a whole number from 0 (watched only) to {MAX_NETSPEED}")
    return value


def zones(value: Any) -> tuple[str, ...]:
    return canonical_zones(_texts(value))


def tags(value: Any) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(line(tag) for tag in _texts(value)))
    if len(words) > MAX_TAGS:
        raise ValueError(f"{len(words)} tags; at most {MAX_TAGS}")
    for tag in words:
        # A tag is one word, so that lists of them survive CSV files and command lines.
        if not tag or len(tag) > 64 or not is_plain(tag) or any(c.isspace() or c == "," for c in tag):
            raise ValueError(f"{tag!r} is not one word of at most 64 characters")
    return words


def _texts(value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{value!r} is not a list")  # noqa: TRY004 - one kind of error for whoever typed it
    return [line(v) for v in value]


def line(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not is_plain(value):
        raise ValueError(f"must be one line of at most {MAX_TEXT} characters")
    return value.strip()


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "name": host_name,
    "netspeed": netspeed,
    "zones": zones,
    "tags": tags,
    "operator": line,
    "note": line,
}
#: What a person may change of an added member; address and port are its identity.
CHANGEABLE: Final = tuple(_CHECKS)
