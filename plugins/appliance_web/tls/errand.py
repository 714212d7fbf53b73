"""Has certificates made in a process of its own, so that the library for it never enters the appliance's."""

from __future__ import annotations

import json
import logging

from appliance.core.errands import errand
from appliance_web.tls.keeper import Keeper

log = logging.getLogger("timeball.web.tls")
_PATIENCE_S = 60.0


async def run(keeper: Keeper) -> None:
    """Make what is due. Should that fail, the keeper does it itself at its next refresh: nobody goes unserved."""
    names = keeper.names()
    order = {
        "folder": str(keeper.folder), "dns": names.dns, "interfaces": list(map(str, names.interfaces)), "now_s": keeper.now_s(), "sure": keeper.sure(),
    }  # fmt: skip
    try:
        done = await errand(
            "-m", "appliance_web.tls", order=json.dumps(order).encode(), patience_s=_PATIENCE_S
        )
    except TimeoutError:
        log.warning("making certificates took longer than %d s", _PATIENCE_S)
        return
    except OSError as error:
        log.warning("no process can be started to make certificates: %s", error)
        return
    if done.status == 0:
        for line in done.said.splitlines():
            # Which certificate is served, whoever serves it tells.
            if line.startswith("made "):
                log.info("%s", line)
