"""What signing in is refused with, and the line that says so in the log."""

from __future__ import annotations

import logging

from appliance.api.errors import ApiError, Refused

#: Failed sign-ins, one line each, for fail2ban; see the manual before changing a word of it.
log = logging.getLogger("timeball.login")


class TooOften(ApiError):
    """Tried too often: come back later."""

    status = 429
    code = "too_often"

    def __init__(self, wait_s: float, what: str = "too many failed tries") -> None:
        after_s = max(1, round(wait_s + 0.5))
        super().__init__(f"{what}: wait {after_s} s and try again")
        self.headers = {"Retry-After": str(after_s)}


class PlainHttp(Refused):
    """No secret may travel on this line."""

    code = "plain_http"

    def __init__(self) -> None:
        super().__init__(
            "nobody signs in over plain HTTP, where others can read along: use https://, a tunnel (ssh -L), or let people of "
            "private networks do it with allow_http_admin = true under [plugins.web]"
        )


def tell(remote: str, reason: str, name: str) -> None:
    """One line of a form that never changes; the address comes before anything that a stranger chose."""
    safe = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "?" for c in name[:64])
    log.warning('sign-in failed: address=%s reason="%s" name="%s"', remote or "local", reason, safe)
