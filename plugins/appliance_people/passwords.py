"""Passwords: what is taken (ASVS 5.0 section 6.2), and in which form it is kept (Argon2id, RFC 9106).

The hashes are made in `hashing`.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Collection

LEAST = 8
ADVISED = 15
MOST = 256
#: What an attacker has to try, as a power of two, at the least: eight letters drawn by lot have 37.
ENOUGH_BITS = 31.0

#: A card with 512 MB of memory must stand two of these at once: twice the memory that OWASP asks for at the least, two passes.
PARAMETERS = {"memory_kib": 32 * 1024, "passes": 2, "lanes": 1}
_PREFIX = "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$".format_map(PARAMETERS)
#: Nothing is known that makes this hash, with a salt and 32 bytes of zeros: compared with where there is no account.
NOBODYS = f"{_PREFIX}{'A' * 22}${'A' * 43}"
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,128}"
)

#: Without the characters that are read as others, for what people type from a screen or a sheet.
UNAMBIGUOUS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def refusal(password: str, about: Collection[str] = ()) -> str | None:
    """Why this password is not taken, with what would be; None when it is. Any characters go, and none is asked for.

    Args:
        password: as typed.
        about: words that everybody who knows this account or box tries first: user, host and pool name.
    """
    from appliance_people.guessing import (
        guess_bits,
    )  # with all its words; nobody sets a password on most days

    text = _normal(password)
    if len(text) < LEAST:
        return f"too short: {LEAST} characters at least, {ADVISED} are better; three or four unrelated words do well"
    if len(text) > MOST:
        return f"too long: {MOST} characters at most"
    if guess_bits(text, about) < ENOUGH_BITS:
        return "too easy to guess: it is made of common words, names, dates or rows of keys; three or four unrelated words do well"
    return None


def outdated(kept: str) -> bool:
    """Whether `kept` was made with other parameters than today's."""
    return not kept.startswith(_PREFIX)


def is_hash(text: str) -> bool:
    """Whether `text` is an Argon2id hash of bearable cost, for a password that was hashed elsewhere."""
    found = _PHC.fullmatch(text)
    if found is None:
        return False
    memory_kib, passes, lanes = (int(number) for number in found.groups())
    return 8 * lanes <= memory_kib <= 256 * 1024 and 1 <= passes <= 16 and 1 <= lanes <= 8


def generated() -> str:
    """A password that no person chose: 20 characters of 32, 100 bits, in groups that can be read aloud."""
    return "-".join("".join(secrets.choice(UNAMBIGUOUS) for _ in range(5)) for _ in range(4)).lower()


def _normal(password: str) -> str:
    """One form for what keyboards and systems write in several (NIST SP 800-63B section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def spelled(password: str) -> bytes:
    """What is hashed of a password, however its characters were typed."""
    return _normal(password).encode("utf-8", "surrogatepass")
