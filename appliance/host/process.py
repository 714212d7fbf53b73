"""One appliance as a foreground process: signals, readiness, watchdog, and an end that always comes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable

from appliance.core.config import BadConfig, Config
from appliance.core.tasks import spawn
from appliance.host.app import Host
from appliance.host.last_resort import LastResort
from appliance.host.notify import notify, watchdog_interval_s

log = logging.getLogger("timeball.host")

#: SIGTERM promises an end within 5 s.
STOP_DEADLINE_S = 4.3
#: When even the event loop does not come back to look at its deadline.
LEAVE_S = 4.7
#: No watchdog message while the event loop is later than this.
LAG_LIMIT_S = 5.0


async def serve(host: Host, reread: Callable[[], Config]) -> int:
    """Run `host` until SIGTERM or SIGINT; SIGHUP reads the configuration again. Returns the exit code."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    ends = (signal.SIGTERM, signal.SIGINT)
    for number in ends:
        loop.add_signal_handler(number, stopping.set)
    last_resort = LastResort(ends, after_s=LEAVE_S)
    try:
        return await _serve(host, reread, stopping)
    finally:
        last_resort.close()


async def _serve(host: Host, reread: Callable[[], Config], stopping: asyncio.Event) -> int:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: spawn(_reload(host, reread), name="host:reload"))
    try:
        await host.start()
    except OSError as error:
        log.error("cannot start: %s", error)
        await host.stop()
        return 1
    # What start-up built stays; do not look at it again in every collection.
    gc.collect()
    gc.freeze()
    notify("READY=1\nSTATUS=running")
    log.info("timeball %s runs in %s", host.version, host.state_dir)
    feeder = spawn(_feed_watchdog(host), name="host:watchdog")
    await stopping.wait()
    notify("STOPPING=1")
    log.info("stopping")
    feeder.cancel()
    try:
        clean = await asyncio.wait_for(host.stop(), STOP_DEADLINE_S)
    except TimeoutError:
        clean = False
    if not clean:
        # A task that swallowed its cancellation would keep asyncio.run waiting for ever.
        log.error("leaving without the tasks that would not stop")
        sys.stderr.flush()
        os._exit(0)
    return 0


async def _reload(host: Host, reread: Callable[[], Config]) -> None:
    notify("RELOADING=1")
    try:
        await host.reload(reread())
    except BadConfig as bad:
        log.error("reload: the new configuration is not used, the old one stays:\n%s", bad)
    finally:
        notify("READY=1")


async def _feed_watchdog(host: Host) -> None:
    interval_s = watchdog_interval_s()
    if interval_s is None:
        return
    while True:
        if host.lag.overdue_s() < LAG_LIMIT_S:
            notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)
