"""One appliance as a foreground process: signals, readiness, watchdog, and an end that always comes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from appliance.core.config import BadConfig, Config
from appliance.core.swapping import Exchange
from appliance.core.tasks import spawn
from appliance.host import heap, privileges
from appliance.host.app import Host
from appliance.host.last_resort import LastResort
from appliance.host.notify import notify, watchdog_interval_s
from appliance.host.starts import SETTLED_S
from appliance.settings import rescue

log = logging.getLogger("timeball.host")

#: SIGTERM promises an end within 5 s.
STOP_DEADLINE_S = 4.3
#: When even the event loop does not come back to look at its deadline.
LEAVE_S = 4.7
#: Returned instead of an exit code: everything is stopped, and the process shall begin anew.
AGAIN = -1
#: "Try again later" of sysexits.h: a service manager does.
EX_TEMPFAIL = 75
#: After the start, what came with it is put aside for the collector: listeners, zones and pages come first.
SPARED_S = 1.0
#: No watchdog message while the event loop is later than this.
LAG_LIMIT_S = 5.0


async def serve(host: Host, reread: Callable[[], Config], hung_up: Callable[[], bool] = bool) -> int:
    """Run `host` until SIGTERM or SIGINT; SIGHUP reads the configuration again, after the start. Returns the exit code, or AGAIN.

    Args:
        host: what runs.
        reread: the configuration, read and checked anew.
        hung_up: whether a SIGHUP came before the event loop was there.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    ends = (signal.SIGTERM, signal.SIGINT)
    for number in ends:
        loop.add_signal_handler(number, stopping.set)
    last_resort = LastResort(ends, after_s=LEAVE_S)
    try:
        return await _serve(host, reread, stopping, hung_up)
    except asyncio.CancelledError:
        await _cancelled(host, stopping)
    finally:
        last_resort.close()


async def _serve(
    host: Host, reread: Callable[[], Config], stopping: asyncio.Event, hung_up: Callable[[], bool]
) -> int:
    loop = asyncio.get_running_loop()
    again = False

    def restart() -> None:
        nonlocal again
        again = True
        stopping.set()

    host.changes.restart = restart
    try:
        await host.start()
    except OSError as error:
        log.error("cannot start: %s", error)
        await host.stop()
        _settled(host)  # a port or folder that is taken says nothing about plugins
        why = f"the appliance did not start with it: {error}"
        return AGAIN if rescue.give_up(host.state_dir, why, at_once=True) else 1
    notify("READY=1\nSTATUS=running")
    loop.add_signal_handler(signal.SIGHUP, lambda: spawn(_reload(host, reread), name="host:reload"))
    if hung_up():
        spawn(_reload(host, reread), name="host:reload")
    log.info("timeball %s runs in %s", host.version, host.state_dir)
    feeder = spawn(_feed_watchdog(host), name="host:watchdog")
    settling = spawn(_settle(host), name="host:settling")
    await stopping.wait()
    settling.cancel()
    _settled(host)  # whoever stops it on purpose has seen it run
    # A service that says STOPPING has to end; one that begins anew with a new configuration is reloading.
    notify("RELOADING=1\nSTATUS=restarting with a new configuration" if again else "STOPPING=1")
    log.info("restarting with a new configuration" if again else "stopping")
    feeder.cancel()
    try:
        clean = await asyncio.wait_for(host.stop(), STOP_DEADLINE_S)
    except TimeoutError:
        clean = False
    if not clean:
        # A task that swallowed its cancellation would keep asyncio.run waiting for ever.
        log.error("leaving without the tasks that would not stop")
        sys.stderr.flush()
        if again:
            begin_anew()
        os._exit(0)
    return AGAIN if again else 0


async def _cancelled(host: Host, stopping: asyncio.Event) -> NoReturn:
    """The main task was cancelled, and with it, no doubt, every other: nothing here runs on, so the process begins anew.

    That start has failed: after the third, other people's plugins are left out.
    """
    task = asyncio.current_task()
    assert task is not None
    while task.cancelling():
        task.uncancel()
    log.error("somebody cancelled the main task of the process: it begins anew")
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await asyncio.wait_for(host.stop(), STOP_DEADLINE_S)
    sys.stderr.flush()
    if stopping.is_set():
        os._exit(0)  # it was about to end
    begin_anew()


async def _settle(host: Host) -> None:
    await asyncio.sleep(SPARED_S)
    _spare_the_collector()
    heap.give_back()
    await asyncio.sleep(SETTLED_S - SPARED_S)
    _settled(host)
    _spare_the_collector()  # members, verdicts and pages are there by now, too


def _settled(host: Host) -> None:
    Exchange(host.state_dir).settled()
    if host.starts is not None:
        host.starts.settled()


def begin_anew() -> NoReturn:
    """The same program with the same arguments in place of this process: same number, same service, new configuration."""
    privileges.keep_through_exec()
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves
    except OSError as error:
        log.error("cannot begin anew (%s); the service manager has to start it", error)
        sys.exit(EX_TEMPFAIL)


async def _reload(host: Host, reread: Callable[[], Config]) -> None:
    notify("RELOADING=1")
    try:
        await host.reload(reread())
    except BadConfig as bad:
        log.error("reload: the new configuration is not used, the old one stays:\n%s", bad)
    finally:
        notify("READY=1")


def _spare_the_collector() -> None:
    """What is there now stays; do not look at it again in every collection."""
    gc.collect()
    gc.freeze()


async def _feed_watchdog(host: Host) -> None:
    interval_s = watchdog_interval_s()
    if interval_s is None:
        return
    while True:
        if host.lag.overdue_s() < LAG_LIMIT_S:
            notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)
