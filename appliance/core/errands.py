"""Work for a library that is not to stay in the appliance's process: done by another one, which is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import NamedTuple


class Done(NamedTuple):
    """What became of it: the exit status (negative: the signal that ended it), and what it wrote to its two streams."""

    status: int
    result: bytes
    said: str

    @property
    def last(self) -> str:
        """The last line that it said, for a log."""
        return self.said.strip().rpartition("\n")[2][:200]


async def errand(*program: str | Path, order: bytes, patience_s: float) -> Done:
    """Have our Python do something. Whoever does not wait for it any more ends it, whatever it was about to do.

    Args:
        program: what follows the name of the interpreter.
        order: its standard input, which nobody else reads, unlike arguments and environment.
        patience_s: how long it may take.

    Raises:
        OSError: it could not be started.
        TimeoutError: it took longer.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(patience_s):
            result, said = await process.communicate(order)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, result, said.decode(errors="replace"))
