"""The preseed file: the owner, the pool's name and the roles of a box that is set up before it is ever switched on.

    [owner]
    name = "ada"
    password = "..."                # or password_hash = "$argon2id$..."

    [pool]
    name = "pool.example.org"
    roles = ["time", "monitor", "dns"]

Other tables are somebody else's: the card's file may hold more. What is wrong is told with its key, and nothing of the
file is used. Once the box has an owner the secrets are taken out of the file, whoever that is.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance_people.passwords import is_hash

#: A file of the card that is larger is none of ours.
_MOST_BYTES = 64 * 1024
CREDENTIAL = "timeball.toml"
SECRETS = ("password", "password_hash")
#: Words for roles of the box, and the plugin that each means.
ROLES = {"time": "ntp", "monitor": "monitor", "dns": "dns"}


class Wrong(Exception):
    """The file cannot be used; the message says where and why."""


class Owner(BaseModel):
    """Who owns the box."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    name: str = Field(default="owner", max_length=200)
    password: str = Field(default="", max_length=4096)
    password_hash: str = Field(default="", max_length=1000)


class Pool(BaseModel):
    """What it does; None leaves the configuration as it is."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    name: str | None = Field(default=None, max_length=255)
    roles: list[Literal["time", "monitor", "dns"]] | None = None


class Preseed(BaseModel):
    """What we read of the file."""

    owner: Owner | None = None
    pool: Pool = Pool()

    def settings(self) -> dict[str, Any]:
        """The configuration keys that it sets."""
        wanted: dict[str, Any] = {}
        if self.pool.name is not None:
            wanted["plugins.dns.zone"] = self.pool.name
        if self.pool.roles is not None:
            wanted |= {f"plugins.{key}.enabled": word in self.pool.roles for word, key in ROLES.items()}
        return wanted


def credential() -> Path | None:
    """The preseed file as a credential of the service manager's (systemd.exec(5)), if it handed us one."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(folder, CREDENTIAL) if folder else None
    return file if file and file.is_file() else None


def read(file: Path) -> Preseed | None:
    """What the file says, or None when there is no such file.

    Raises:
        Wrong: it cannot be used.
    """
    try:
        with file.open("rb") as source:
            content = source.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Wrong(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise Wrong(f"{file} is larger than {_MOST_BYTES} bytes")
    try:
        value = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        # Never the line itself: it may be the one with the password.
        where = (
            f"line {error.lineno}"
            if isinstance(error, tomllib.TOMLDecodeError) and hasattr(error, "lineno")
            else "somewhere"
        )
        raise Wrong(f"{file} is no TOML ({where})") from None
    try:
        found = Preseed.model_validate({key: value[key] for key in ("owner", "pool") if key in value})
    except ValidationError as invalid:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}"
            for e in invalid.errors(include_url=False, include_input=False)
        )
        raise Wrong(f"{file}: {problems}") from None
    if found.owner is not None:
        given = [name for name in SECRETS if getattr(found.owner, name)]
        if len(given) != 1:
            raise Wrong(f"{file}: owner: give a password or a password_hash, and not both")
        if found.owner.password_hash and not is_hash(found.owner.password_hash):
            raise Wrong(f"{file}: owner.password_hash: this is no Argon2id hash ($argon2id$v=19$...)")
    return found


def scrub(file: Path) -> bool:
    """Take the secrets out of the file, everything else stays as it was written; False when there were none.

    Raises:
        OSError: it cannot be written.
    """
    import tomlkit
    import tomlkit.exceptions

    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (ValueError, tomlkit.exceptions.TOMLKitError):
        return False
    owner = document.get("owner")
    found = [name for name in SECRETS if isinstance(owner, dict) and name in owner]
    if not found or not isinstance(owner, dict):
        return False
    for name in found:
        del owner[name]
    part = file.with_name(file.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as out:
            out.write(tomlkit.dumps(document))
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return True
