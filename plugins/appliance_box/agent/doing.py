"""One request: understood, checked, done, and written down. No socket in here."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.api.agent import Action, AgentRefusal, Call, Runs, run_program
from appliance_box.image import NOT_AN_IMAGE, read_image

log = logging.getLogger("timeball.agent")

Progress = Callable[[Mapping[str, Any]], None]


class Asked(BaseModel):
    """One line from a client."""

    model_config = ConfigDict(extra="forbid")

    action: str = Field(max_length=100)
    args: dict[str, Any] = Field(default_factory=dict)


class Doing:
    """Does what is asked, one at a time unless an action says that it needs no such care."""

    def __init__(
        self, actions: Mapping[str, Action], root: Path = Path("/"), program: Runs = run_program
    ) -> None:
        self._actions = actions
        self._root = root
        self._program = program
        self._alone = threading.Lock()

    def answer(self, line: bytes, peer: str, progress: Progress) -> dict[str, Any]:
        """The last line of the answer to one request; never raises.

        Args:
            line: as it came, without its end.
            peer: who asks, for the log.
            progress: told what the action tells while it runs.
        """
        try:
            return {"result": self._do(line, peer, progress)}
        except AgentRefusal as refusal:
            log.warning("%s was refused: %s", peer, refusal.message)
            return {
                "error": {"code": refusal.code, "message": refusal.message, "remedy": refusal.remedy},
            }
        except Exception as bug:
            log.exception("an action of %s failed", peer)
            text = f"the agent made a mistake of its own ({type(bug).__name__}: {bug})"
            return {
                "error": {"code": "bug", "message": text, "remedy": "journalctl -u timeball-agent says where"}
            }

    def _do(self, line: bytes, peer: str, progress: Progress) -> dict[str, Any]:
        asked = _understood(line)
        action = self._actions.get(asked.action)
        if action is None:
            raise AgentRefusal(
                "unknown_action",
                f"there is no action {asked.action!r}",
                f"there are: {', '.join(sorted(self._actions))}",
            )
        arguments = _checked(action, asked.args)
        if action.image_only and read_image(self._root) is None:
            raise AgentRefusal("not_an_image", NOT_AN_IMAGE)
        log.info("%s asks for %s %s", peer, action.name, _shown(action, asked.args))
        call = Call(self._root, self._program, progress, peer)
        if action.together:
            return dict(action.run(call, arguments))
        if not self._alone.acquire(blocking=False):
            progress({"doing": "waiting for another action to end"})
            self._alone.acquire()
        try:
            return dict(action.run(call, arguments))
        finally:
            self._alone.release()


def _understood(line: bytes) -> Asked:
    try:
        return Asked.model_validate(json.loads(line))
    except (ValueError, RecursionError):
        raise AgentRefusal(
            "bad_request", 'this is no request: expected {"action": "...", "args": {...}}'
        ) from None


def _checked(action: Action, arguments: Mapping[str, Any]) -> Any:
    try:
        return action.arguments.model_validate(arguments)
    except ValidationError as invalid:
        # Never the values: one of them may be a password.
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'args'}: {e['msg']}"
            for e in invalid.errors(include_url=False, include_input=False, include_context=False)
        )
        raise AgentRefusal("bad_arguments", f"{action.name}: {wrong}") from None


def _shown(action: Action, arguments: Mapping[str, Any]) -> str:
    """Arguments for the log, without what is nobody's business there."""
    shown = {key: "(not shown)" if key in action.quiet else value for key, value in arguments.items()}
    text = json.dumps(shown, default=str)
    return text if len(text) <= 1000 else f"{text[:1000]} ..."
