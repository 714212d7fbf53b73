"""Argon2id beside the appliance: in processes, few at a time, and no long queue of strangers in front of the owner."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.api.errors import ApiError
from appliance.core.errands import errand
from appliance_people import passwords

log = logging.getLogger("timeball.people")

#: Each takes 32 MiB and a core for about a tenth of a second.
MOST_AT_WORK = 2
#: Waiting for one of the two; more are sent away. At a fifth of a second each the last one waits some seconds.
MOST_WAITING = 16
#: No card is so slow: something is wrong with it.
PATIENCE_S = 30.0

PROGRAM = Path(__file__).with_name("argon2.py")


class Busy(ApiError):
    """Too many passwords are being looked at, or none can be."""

    status = 503
    code = "busy"

    def __init__(
        self, why: str = "too many people are signing in at this moment; try again in some seconds"
    ) -> None:
        super().__init__(why)
        self.headers = {"Retry-After": "5"}


class Hashing:
    """Hashes and compares passwords.

    Attributes:
        words: what must not make up a password besides the usual: names of this box and its pool.
        done: comparisons that were made, for tests of what costs the same work.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = tuple(words)
        self.done = 0
        self._waiting = 0
        self._turns = asyncio.Semaphore(MOST_AT_WORK)

    async def hashed(self, password: str) -> str:
        """The password as it is kept: a PHC string with a salt of its own.

        Raises:
            Busy: not now.
        """
        return str(await self._run(password, passwords.PARAMETERS))

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether `kept` was made from `password`: the same work for an account that does not exist (None).

        Raises:
            Busy: not now.
        """
        self.done += 1
        found = await self._run(password, {"kept": kept or passwords.NOBODYS})
        return found is True and bool(kept)

    async def _run(self, password: str, more: Mapping[str, object]) -> object:
        if self._waiting >= MOST_WAITING:
            raise Busy
        self._waiting += 1
        work = {"password": passwords.spelled(password).hex(), **more}
        try:
            async with self._turns:
                return json.loads(await _done(json.dumps(work).encode()))
        except (OSError, TimeoutError, ValueError) as error:
            why = f"no result within {PATIENCE_S:.0f} s" if isinstance(error, TimeoutError) else error
            log.error("a password could not be looked at: %s", why)
            raise Busy("passwords cannot be looked at in this moment; the box's log tells why") from error
        finally:
            self._waiting -= 1


async def _done(work: bytes) -> bytes:
    """What the program makes of `work`.

    Raises:
        OSError, TimeoutError: it could not be started, failed, or took too long.
    """
    # -P: what lies beside the program is no library of it.
    done = await errand("-P", PROGRAM, order=work, patience_s=PATIENCE_S)
    if done.status:
        raise OSError(f"{PROGRAM.name} ended with status {done.status}: {done.last}")
    return done.result
