"""Nobody cancels what is not his: tasks know who made them, and refuse the `cancel()` of another plugin.

    for task in asyncio.all_tasks():
        task.cancel()

is how programs end that own their loop. Here the loop is everybody's, and these two lines would end the process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final

from appliance.core.tasks import current_plugin

#: Modules of ours that start tasks for whoever calls them.
_IN_THE_NAME_OF: Final = frozenset({"appliance.core.tasks", "appliance.host.contexts", __name__})
#: It cancels whatever there is, for whoever calls it.
_FOR_ITS_CALLER: Final = frozenset({"asyncio.runners", "functools"})
#: Calls what was put there for later: in whose name, its context says.
_LATER: Final = "asyncio.events"
_OURS: Final = ("appliance.", "appliance_")

Refused = Callable[[str, str, str], None]


class OwnedTask(asyncio.Task[Any]):
    """A task that only whoever made it, the appliance, or the machinery of asyncio can cancel.

    Attributes:
        owner: the plugin that made it, "" when it is the appliance's own.
    """

    owner: str = ""
    guard: Guard | None = None

    def cancel(self, msg: Any = None) -> bool:
        """As any task's; a stranger's call does nothing, and is told."""
        if self.guard is not None and not self.done() and not self.guard.may(self, sys._getframe(1)):  # noqa: SLF001 - who calls
            return False
        return super().cancel(msg)


class Guard:
    """Makes the tasks of a loop, and judges who may cancel them. Strangers are plugins that did not come with the appliance."""

    def __init__(
        self, stranger_of: Callable[[str], str], is_stranger: Callable[[str], bool], refused: Refused
    ) -> None:
        """A guard that knows nobody yet.

        Args:
            stranger_of: the stranger whose code the module of a name holds, else ""; remembered until `forget`.
            is_stranger: whether the plugin of an id is one.
            refused: told the plugin, the task that it wanted to cancel, and where it did.
        """
        self._stranger_of = stranger_of
        self._is_stranger = is_stranger
        self._refused = refused
        self._known: dict[str, str] = {}

    def factory(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> OwnedTask:
        """For `loop.set_task_factory`."""
        task = OwnedTask(coro, loop=loop, **options)
        task.owner = self._maker(sys._getframe(1))  # noqa: SLF001 - who calls
        task.guard = self
        return task

    def forget(self) -> None:
        """A plugin came or went."""
        self._known.clear()

    def may(self, task: OwnedTask, frame: FrameType | None) -> bool:
        """Whether the code of `frame` may cancel `task`."""
        while frame is not None and _name(frame) in _FOR_ITS_CALLER:
            frame = frame.f_back
        if frame is None:
            return True
        name = _name(frame)
        plugin = self._of_context() if name == _LATER else self._stranger(name)
        if not plugin or plugin == task.owner:
            return True
        where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        self._refused(plugin, task.get_name(), where)
        return False

    def _maker(self, frame: FrameType | None) -> str:
        """The innermost of a plugin or the appliance in the stack; libraries work for their callers."""
        while frame is not None:
            name = _name(frame)
            if plugin := self._stranger(name):
                return plugin
            if name.startswith(_OURS) and name not in _IN_THE_NAME_OF:
                break
            frame = frame.f_back
        else:
            return self._of_context()
        # The loop itself runs in ours: nothing but libraries between it and here.
        return self._of_context() if name == "appliance.host.resuming" else ""

    def _of_context(self) -> str:
        said = current_plugin.get()
        return said if self._is_stranger(said) else ""

    def _stranger(self, module: str) -> str:
        known = self._known.get(module)
        if known is None:
            known = self._known[module] = self._stranger_of(module)
        return known


def _name(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
