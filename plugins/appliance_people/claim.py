"""A box without an owner: the codes that make its first one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
from pathlib import Path

from appliance.api.errors import Conflict, Refused, Starting
from appliance.api.services import Store
from appliance.core.clock import Clock
from appliance_people import keeping
from appliance_people.failures import TooOften
from appliance_people.people import People, SignedIn
from appliance_people.setup_code import LETTERS, SetupCode, long_code, normal, spelled
from appliance_people.users import Users

log = logging.getLogger("timeball.people")
_LONG = "setup_long_code"


class WrongCode(Refused):
    code = "wrong_code"


class Claim:
    """Hands out codes and takes them.

    Args:
        people: who will have the first owner.
        store: keeps the hash of the long code.
        clock: the injected clock.
        file: where the long code is written, or None.
    """

    def __init__(self, people: People, store: Store, clock: Clock, file: Path | None) -> None:
        self._people = people
        self._store = store
        self._clock = clock
        self._file = file
        self._code = SetupCode()
        self._long_hash = ""

    def current(self) -> tuple[str, float]:
        """The code as people read it, and the seconds that it is good for.

        Raises:
            Conflict: the box has an owner.
            Starting: whether it has one is not known yet.
        """
        if not self._people.known:
            raise Starting("the appliance is still starting: whether the box has an owner is not known yet")
        if self._people.claimed:
            raise Conflict("this box has an owner; for a lost password: timeball user reset NAME")
        code, left_s = self._code.current(self._now_s())
        return spelled(code), left_s

    async def begin(self) -> None:
        """Write the long code where a person can read it who has the card in a computer; take it away once claimed."""
        self._long_hash = await self._store.read(keeping.get_state(_LONG))
        if self._people.claimed:
            await self._end()
            return
        if self._file is None or (self._long_hash and self._file.exists()):
            return
        code = long_code()
        try:
            await asyncio.to_thread(_write, self._file, code)
        except OSError as error:
            log.warning("the setup code cannot be written to %s: %s", self._file, error.strerror)
            return
        self._long_hash = _digest(code)
        await self._store.write(keeping.put_state(_LONG, self._long_hash))
        log.warning("a setup code that stays good until it is used was written to %s", self._file)

    def check(self, typed: str, remote: str) -> None:
        """Count one try with a code.

        Raises:
            Conflict: the box has an owner. TooOften: five tries a minute, from all addresses together. WrongCode.
        """
        if self._people.claimed:
            raise Conflict("this box has an owner already")
        now_s = self._now_s()
        if (wait_s := self._code.wait_s(now_s)) > 0:
            raise TooOften(wait_s, "too many setup codes were tried")
        code = normal(typed)
        right = self._code.tried(code, now_s)
        if len(code) > LETTERS and self._long_hash and hmac.compare_digest(self._long_hash, _digest(code)):
            right = True
        if not right:
            log.warning("a wrong setup code was tried from %s", remote or "this machine")
            raise WrongCode(
                "this is not the setup code; it changes every ten minutes: look again at the screen or the log, or ask the box "
                "with timeball setup code"
            )

    async def claim(self, typed: str, name: str, password: str, remote: str, agent: str) -> SignedIn:
        """Make the first owner of who knows the code. The code is used up by that, and not by a password that is refused.

        Raises:
            Conflict, TooOften, WrongCode: as `check`. Invalid: name or password are not taken.
        """
        self.check(typed, remote)
        signed_in = await Users(self._people).claim(name, password, remote, agent)
        await self._end()
        log.warning("the box has an owner now: %r, from %s", signed_in.user.name, remote or "this machine")
        return signed_in

    async def _end(self) -> None:
        """No code is good any more."""
        self._code.use_up()
        if not self._long_hash:
            return
        self._long_hash = ""
        await self._store.write(keeping.put_state(_LONG, ""))
        if self._file is not None:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._file.unlink, missing_ok=True)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _write(file: Path, code: str) -> None:
    """For the owner of the card alone, as far as the file system can say so."""
    text = f"Setup code of this Timeball, good until it is used:\n\n    {spelled(code)}\n\nOpen the box's address in a browser and type it there.\n"
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\r\n") as out:  # it may be read on any system
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
