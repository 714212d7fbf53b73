"""Who signs updates, and whom an image trusts: files from outside, or a key for development that is made on the spot."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from images.builder.errors import BuildError
from images.builder.tools import Tree

KEY, CERTIFICATE, KEYRING = "TIMEBALL_UPDATE_KEY", "TIMEBALL_UPDATE_CERT", "TIMEBALL_UPDATE_KEYRING"
#: Of the key for development, in the cache.
DEVELOPMENT_CERTIFICATE = "update-development/certificate.pem"
#: Pages look for this word: appliance_updates.facts.
DEVELOPMENT = "/O=Timeball/CN=Timeball updates (development)"


@dataclasses.dataclass(frozen=True)
class Signer:
    """What signs: a key and its certificate, each a file or an address of a token ("pkcs11:...")."""

    key: str
    certificate: str
    development: bool


def keyring(cache: Path, tools: Tree, environment: Mapping[str, str] = os.environ) -> bytes:
    """The certificates (PEM) whose updates an image takes.

    Raises:
        BuildError: the file that is named is none.
    """
    named = environment.get(KEYRING)
    if not named:
        return _development(cache, tools)[1].read_bytes()
    try:
        content = Path(named).read_bytes()
    except OSError as error:
        raise BuildError(f"{KEYRING}={named}: {error.strerror}") from error
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise BuildError(f"{KEYRING}={named}: expected certificates in PEM form")
    return content


def signer(cache: Path, tools: Tree, environment: Mapping[str, str] = os.environ) -> Signer:
    """Who signs.

    Raises:
        BuildError: only half of it is named, or a file is not there.
    """
    key, certificate = environment.get(KEY, ""), environment.get(CERTIFICATE, "")
    if not key and not certificate:
        made, cert = _development(cache, tools)
        return Signer(str(made), str(cert), development=True)
    if not key or not certificate:
        raise BuildError(f"{KEY} and {CERTIFICATE} belong together; without both a key for development signs")
    for name, value in ((KEY, key), (CERTIFICATE, certificate)):
        if not value.startswith("pkcs11:") and not Path(value).is_file():
            raise BuildError(f"{name}={value}: there is no such file")
    return Signer(key, certificate, development=False)


def _development(cache: Path, tools: Tree) -> tuple[Path, Path]:
    """Key and certificate of this machine, for twenty years; in the cache, so that images and bundles fit each other."""
    certificate = cache / DEVELOPMENT_CERTIFICATE
    folder = certificate.parent
    key = folder / "key.pem"
    if not key.exists() or not certificate.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        tools.run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "7300", "-subj", DEVELOPMENT, "-keyout", key, "-out", certificate),
        )
        key.chmod(0o600)
    return key, certificate
