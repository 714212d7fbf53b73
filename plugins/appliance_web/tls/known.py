"""What is known of the certificates that are kept, so that as long as all is in order nothing has to read them.

The library that reads certificates takes ten megabytes of memory for good. Most days nothing is to be done; then these
facts, written whenever something was made, are enough to serve.
"""

from __future__ import annotations

import binascii
import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from appliance_web.tls.names import Names

Source = Literal["local", "uploaded"]

#: No clock that is right shows an earlier time: a board without a battery wakes up in 1970. What is made then is dated
#: from here, so that an authority made at a first boot with a wrong clock stays good.
RELEASED_S = 1_767_225_600.0  # 2026-01-01
RENEWED_S = 30 * 86400.0
#: Nobody makes certificates for so long on purpose.
_WILD_S = 3 * 365 * 86400.0
AUTHORITY, LEAF, UPLOADED, KNOWN = "authority.pem", "leaf.pem", "uploaded.pem", "known.json"


class Life(BaseModel):
    """From when to when a certificate holds, epoch seconds."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    begins_s: float
    ends_s: float

    def holds(self, now_s: float) -> bool:
        return self.begins_s <= now_s < self.ends_s

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to renew: a third of its life is left, at most 30 days, or it was made by a clock that was years ahead."""
        left_s = self.ends_s - now_s
        return left_s <= min((self.ends_s - self.begins_s) / 3, RENEWED_S) or left_s > _WILD_S


class Facts(Life):
    """What people are told of a certificate.

    Attributes:
        subject: whose it is (RFC 4514).
        issuer: who signed it.
        names: DNS names and addresses that it is for.
        fingerprint: SHA-256, as browsers show it.
    """

    subject: str
    issuer: str
    names: list[str]
    fingerprint: str


class Known(BaseModel):
    """What was found when the certificates were last looked at in earnest.

    Attributes:
        names: what the box was called.
        digests: SHA-256 of each file, "" where there is none.
        source: which certificate is served.
        serving: the one that is.
        leaf: the box's own, which may be another.
        authority: who vouches for that one.
        warnings: of an uploaded one.
        missing: what the box is called and the authority may not vouch for.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    names: list[str]
    digests: dict[str, str]
    source: Source
    serving: Facts
    leaf: Life
    authority: Facts
    warnings: list[str]
    missing: list[str]

    @staticmethod
    def read(folder: Path) -> Known | None:
        """What was written last; None when there is nothing that can be read."""
        try:
            return Known.model_validate_json((folder / KNOWN).read_bytes())
        except (OSError, ValidationError):
            return None

    def in_order(self, folder: Path, names: Names, now_s: float) -> bool:
        """Whether nothing is to be done: same files, same names, and the clock is where all of them hold."""
        return (
            self.names == spelled(names)
            and self.leaf.holds(max(now_s, RELEASED_S))
            and not self.leaf.is_due(max(now_s, RELEASED_S))
            and self.authority.holds(max(now_s, RELEASED_S))
            and self.digests == digests(folder)
            and self.authority.fingerprint == fingerprint_in(folder / AUTHORITY)
            and self.serving.fingerprint
            == fingerprint_in(folder / (UPLOADED if self.source == "uploaded" else LEAF))
        )


def fingerprint_in(file: Path) -> str:
    """SHA-256 of the first certificate of a PEM file, as browsers show it; "" when there is none. People compare it: it is not taken on trust."""
    begins, ends = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        inner = file.read_text(encoding="ascii").partition(begins)[2].partition(ends)[0]
        content = binascii.a2b_base64(inner)
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(content).digest().hex(":").upper()


def spelled(names: Names) -> list[str]:
    """The names as text, to be compared."""
    return [*names.dns, *map(str, names.interfaces)]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that there is."""
    found = {}
    for name in (AUTHORITY, LEAF, UPLOADED):
        try:
            found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError:
            found[name] = ""
    return found
