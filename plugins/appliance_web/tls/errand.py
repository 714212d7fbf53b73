"""Has certificates made in a process of its own, so that the library for it never enters the appliance's."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

from appliance_web.tls.keeper import Keeper

log = logging.getLogger("timeball.web.tls")
_PATIENCE_S = 60.0


async def run(keeper: Keeper) -> None:
    """Make what is due. Should that fail, the keeper does it itself at its next refresh: nobody goes unserved."""
    names = keeper.names()
    order = {
        "folder": str(keeper.folder), "dns": names.dns, "interfaces": list(map(str, names.interfaces)), "now_s": keeper.now_s(), "sure": keeper.sure(),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance_web.tls", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, told = await asyncio.wait_for(process.communicate(json.dumps(order).encode()), _PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        log.warning("making certificates took longer than %d s", _PATIENCE_S)
        return
    if process.returncode == 0:
        for line in told.decode(errors="replace").splitlines():
            # Which certificate is served, whoever serves it tells.
            if line.startswith("made "):
                log.info("%s", line)
