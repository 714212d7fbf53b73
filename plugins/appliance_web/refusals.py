"""Why the door stays shut: one error for each reason, counted, and told to the log without letting strangers fill it."""

from __future__ import annotations

import logging
from collections import Counter

from appliance.api.errors import ApiError
from appliance.api.foreign import printable
from appliance_web.limits import Allowance

security = logging.getLogger("timeball.web.security")

#: Lines of one kind in a minute; the rest is counted.
LINES = 10
_MINUTE_S = 60.0


class UnknownHost(ApiError):
    """Called by a name that is not ours."""

    status = 421
    code = "unknown_host"


class HttpsRequired(ApiError):
    """It takes a connection that nobody can read."""

    status = 403
    code = "https_required"


class TooSlow(ApiError):
    """The body did not come in time."""

    status = 408
    code = "too_slow"


class TooMany(ApiError):
    """Asked more often than one visitor may."""

    status = 429
    code = "too_many_requests"

    def __init__(self, why: str, allowance: Allowance) -> None:
        super().__init__(why)
        self.allowance = allowance


class NoSuchMethod(ApiError):
    """A method that is not used here."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"the method {method} is not used here")
        self.headers = {"Allow": allowed}


class PackedBody(ApiError):
    """A compressed body: nothing here takes any, and small ones can become very large."""

    status = 415
    code = "unsupported_media_type"


class Unclaimed(ApiError):
    """Nobody owns the box yet, and it is set up from its own network or on the box itself."""

    status = 401
    code = "unclaimed"


class Unexpected(ApiError):
    """The Expect header wants something that nobody here does (RFC 9110 section 10.1.1)."""

    status = 417
    code = "expectation_failed"


class Broken(ApiError):
    """A fault of ours."""

    status = 500
    code = "internal"


class Book:
    """Counts refusals by reason and logs the first few of each in a minute.

    Attributes:
        counts: refusals since the start, by code.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._minute = -1.0
        self._lines: Counter[str] = Counter()

    def note(self, code: str, remote: str, what: str, now_s: float) -> None:
        """One refusal of `remote`; `now_s` is monotonic, `what` may hold hostile text."""
        self.counts[code] += 1
        if now_s - self._minute >= _MINUTE_S:
            silent = sum(max(number - LINES, 0) for number in self._lines.values())
            if silent:
                security.warning("refused %d more requests in a minute of such lines", silent)
            self._minute, self._lines = now_s, Counter()
        self._lines[code] += 1
        if self._lines[code] <= LINES:
            shown = printable(what[:200], keep="")
            security.warning("refused %s from %s: %s", code, remote or "unknown", shown)
