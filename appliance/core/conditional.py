"""Tags of what was read, so that it is not sent twice and nobody overwrites what he has not seen (RFC 9110 section 13)."""

from __future__ import annotations

import hashlib

from appliance.api.errors import ApiError


class Changed(ApiError):
    """It is no longer as the sender has seen it: If-Match names an older state."""

    status = 412
    code = "precondition_failed"


def digest(content: bytes) -> str:
    """A short name for some bytes."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def tag(content: bytes, revision: str = "") -> str:
    """The entity tag of an answer.

    Args:
        content: the whole body.
        revision: names the state of what can be changed, where the answer shows more than that, such as a member's latest
            probes. The tag then changes with either, and an update that sends it back is compared by the revision alone.
    """
    return f'"{revision}.{digest(content)}"' if revision else f'W/"{digest(content)}"'


def unchanged(etag: str, if_none_match: str) -> bool:
    """Whether the reader has it already (compared weakly, section 13.1.2)."""
    return _listed(etag, if_none_match, whole=True)


def current(etag: str, if_match: str) -> bool:
    """Whether the sender of an update has seen the state that is there now."""
    return _listed(etag, if_match, whole=False)


def _listed(etag: str, header: str, *, whole: bool) -> bool:
    tags = [part.strip().removeprefix("W/") for part in header.split(",")]
    wanted = etag.removeprefix("W/")
    if not whole and "." in wanted:
        revision = wanted.partition(".")[0] + "."
        return "*" in tags or any(one.startswith(revision) for one in tags)
    return "*" in tags or wanted in tags
