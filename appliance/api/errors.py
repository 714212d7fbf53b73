"""The exception a plugin raises is its instruction to the host.

    NotReady       the world is not ready: try again later, for ever, without blame
    ConfigError    a person must change the configuration: stop, do not retry
    anything else  a bug: restart with backoff, and give up after five strikes in a minute

and what an operation raises to the person who asked:

    ApiError
      NotFound     404
      Conflict     409
      Invalid      422, with one entry per field
      Unknown      401, sign in first
      Refused      403
      Unconfirmed  403, give the password again first
      StoreError   503, nothing was kept
      Starting     503, ask again in a moment
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class NotReady(Exception):
    """What the plugin needs is not there yet; the message says what in words a person understands."""


class ConfigError(Exception):
    """The configuration of a plugin cannot work.

    Attributes:
        key: dotted key below the plugin's table, or "" for the whole table.
        why: what is wrong and what would be right.
    """

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}" if key else why)
        self.key = key
        self.why = why


class ApiError(Exception):
    """An operation that was asked for cannot be done; becomes a problem+json answer.

    Attributes:
        status: HTTP status.
        code: stable word for programs.
        errors: one message per field, where fields are at fault.
        headers: for the answer, such as Retry-After.
    """

    status = 400
    code = "bad_request"
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, why: str, *, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.errors = dict(errors or {})


class NotFound(ApiError):
    """There is no such thing, or not for you."""

    status = 404
    code = "not_found"


class Conflict(ApiError):
    """It does not fit with what is there."""

    status = 409
    code = "conflict"


class Invalid(ApiError):
    """Something in the request is not right; `errors` has a message for each field."""

    status = 422
    code = "invalid"


class Refused(ApiError):
    """You may not do that."""

    status = 403
    code = "refused"


class Unknown(ApiError):
    """Nobody knows who asks; whoever signs in may be let do it."""

    status = 401
    code = "login_required"


class Unconfirmed(Refused):
    """It is a risky one: the person must give the password again first (`POST /api/v1/session/confirm`); no token can do it."""

    code = "confirm_password"


class Starting(ApiError):
    """What is asked for is not there yet: the appliance still starts. Whoever asks again in a moment finds it."""

    status = 503
    code = "starting"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.headers = {"Retry-After": "1"}


class StoreError(ApiError):
    """The database cannot be read or written now; what was asked for is not kept. The message says why in words."""

    status = 503
    code = "store_unavailable"
