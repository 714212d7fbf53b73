"""What the host sees happen, told as the fault of the plugin whose doing it was."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Final

from appliance.host.faults import Fault, Faults

log = logging.getLogger("timeball.host")

#: A plugin that holds the event loop for longer is named; a busy machine is late for less.
STALL_S: Final = 1.0
#: Longer than this a plugin is set up too slowly for all that wait behind it.
SLOW_S: Final = 3.0

_LEFT = "what a run starts, it starts with ctx.spawn and `with ctx.subscribe(...)`: then it ends with the run"
_SLOW = "what takes time belongs into `run`: hooks only say what there is"
_ENDS = "raise an error of your own, or `ConfigError`, and say what would be right"
_STALLED = "work that blocks belongs into `await ctx.to_thread(...)`"
_CANCELS = "cancel the tasks that you made, by their names: `asyncio.all_tasks()` has everybody's"


class Blame:
    """One method for each thing that is seen while somebody else looks."""

    def __init__(self, faults: Faults, owner: Callable[[str], str]) -> None:
        """All into one book.

        Args:
            faults: the book.
            owner: the plugin whose code the module of a name holds, or "".
        """
        self._faults = faults
        self._owner = owner

    def stalled(self, plugin: str, late_s: float, where: str) -> None:
        """It held the event loop."""
        if late_s > STALL_S:
            text = f"it held the event loop for {late_s:.1f} s, in which nothing else ran ({where})"
            self._faults.note(Fault(plugin, "stalls", text, _STALLED))

    def route_failed(self, plugin: str, text: str) -> None:
        """An operation of it raised; whoever called it has written that into the log."""
        if plugin != "host":
            self._faults.note(Fault(plugin, "operations", text, often=True), logged=True)

    def left_behind(self, plugin: str, text: str) -> None:
        """A run of it left something."""
        self._faults.note(Fault(plugin, "left-behind", text, _LEFT))

    def set_up(self, plugin: str, took_s: float) -> None:
        """It took so long to be imported and set up."""
        if took_s > SLOW_S:
            text = f"it took {took_s:.1f} s to be imported and set up, in which nothing else was"
            self._faults.note(Fault(plugin, "slow-setup", text, _SLOW))

    def cancels(self, plugin: str, task: str, where: str) -> None:
        """It called `cancel()` of a task that is not its own, which did nothing."""
        text = f"it wanted to cancel tasks that it did not make, such as {task} ({where}); they go on"
        self._faults.note(Fault(plugin, "cancels", text, _CANCELS, often=True))

    def escaped(self, error: BaseException) -> None:
        """A task wanted to end the process, or stopped its loop; it goes on, and this is whose it was."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        owners = [(self._owner(str(frame.f_globals.get("__name__", ""))), frame) for frame in frames]
        plugin, frame = next((found for found in reversed(owners) if found[0]), ("", None))
        said = f"{type(error).__name__}: {error}"
        if frame is None:
            log.error("something wanted to end the process, and nobody knows what: %s", said, exc_info=error)
            return
        text = f"it wanted to end the process ({said}, in {frame.f_code.co_name})"
        self._faults.note(Fault(plugin, "ends", text, _ENDS, often=True))
