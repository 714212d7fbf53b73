"""The secrets behind draws and cookies: made once and kept, or derived from one that several boxes share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from appliance.api.errors import ConfigError
from appliance_dns.zone import Secrets

_BYTES = 32


def shared(text: str) -> Secrets:
    """Secrets of all boxes that have the same text.

    Raises:
        ConfigError: it is too short to be one.
    """
    if len(text) < 16:
        raise ConfigError("secret", "it has fewer than 16 characters; make one with: openssl rand -hex 16")
    return _derived(text.encode())


def own(path: Path) -> Secrets:
    """This box's own secrets, made at the first start.

    Raises:
        OSError: the file can be neither read nor written.
    """
    try:
        seed = path.read_bytes()
    except FileNotFoundError:
        seed = b""
    if len(seed) != _BYTES:
        seed = os.urandom(_BYTES)
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(seed)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    return _derived(seed)


def _derived(seed: bytes) -> Secrets:
    def part(purpose: bytes) -> bytes:
        return hashlib.blake2s(seed, digest_size=16, person=purpose).digest()

    return Secrets(draw=part(b"draw"), cookies=(part(b"cookie"),))
