"""SHA256SUMS and its signature (minisign's format, legacy mode without prehash: any version verifies it).

The key is given from outside: TIMEBALL_SIGNING_KEY names a minisign secret key without a password. Without one a development
key is made on the spot, in the cache, and both signature and sums say that it is one.
"""

from __future__ import annotations

import os
from pathlib import Path

from images.builder.digest import sha256
from images.builder.errors import BuildError
from images.builder.tools import Tree

SUMS = "SHA256SUMS"
GIVEN = "TIMEBALL_SIGNING_KEY"
DEVELOPMENT = "development key: not a release of the project"


def write(folder: Path, cache: Path, tools: Tree) -> str:
    """Sums of all files in the folder, signed; a sentence that says with which key."""
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith((SUMS, ".")) and path.suffix not in {".new", ".pub"}
    )
    sums = folder / SUMS
    sums.write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
    key, public, remark = _key(cache, tools)
    signature = folder / f"{SUMS}.minisig"
    signature.unlink(missing_ok=True)
    try:
        tools.run(
            *("minisign", "-S", "-s", key, "-m", sums, "-x", signature),
            *("-t", remark, "-c", "Timeball images"),
            hint=f"{GIVEN} must be a secret key of minisign without a password (minisign -G -W).",
        )
    finally:
        if public is None:
            key.unlink()
    if public:
        (folder / f"{SUMS}.pub").write_bytes(public.read_bytes())
    return remark


def _key(cache: Path, tools: Tree) -> tuple[Path, Path | None, str]:
    """The secret key's file (where the tools see it), the public one when it is ours, and what the signature says."""
    given = os.environ.get(GIVEN, "")
    if given:
        if not Path(given).is_file():
            raise BuildError(f"{GIVEN} names {given}, and there is no such file")
        inside = cache / f"signing-{os.getpid()}.key"
        inside.touch(mode=0o600)
        inside.write_bytes(Path(given).read_bytes())
        return inside, None, "Timeball images"
    secret, public = cache / "development.key", cache / "development.pub"
    if not secret.exists():
        tools.run("minisign", "-G", "-W", "-f", "-s", secret, "-p", public)
    return secret, public, DEVELOPMENT
