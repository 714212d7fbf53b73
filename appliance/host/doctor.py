"""The doctor of a running appliance: the box, every plugin's own checks, and what the host knows of itself."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import sqlite_utils

from appliance.api.contrib import Fix, HealthCheck, Route
from appliance.api.errors import NotFound, Refused
from appliance.api.foreign import quoted
from appliance.api.model import Level, PluginState
from appliance.core.config import BadConfig
from appliance.core.routes import Request
from appliance.doctor import box, judge
from appliance.doctor.judge import Result
from appliance.doctor.surroundings import Surroundings, doors
from appliance.host import answers, privileges
from appliance.host.how_it_runs import how_it_runs

if TYPE_CHECKING:
    from appliance.host.app import Host

log = logging.getLogger("timeball.host")

_STATES = {
    PluginState.FAILED: ("failing", "has failed"),
    PluginState.BACKOFF: ("degraded", "waits and tries again"),
}


class Doctor:
    """Examines on demand; remembers only what can be undone."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._done: dict[str, Fix] = {}
        self._lock = asyncio.Lock()

    async def examine(self) -> list[Result]:
        """Everything that is known about this box now, the worst first."""
        around = await self._surroundings()
        plugins = [
            (plugin, check)
            for plugin, hooks in self._host.shared.contributions.items()
            for check in hooks.get("health_checks", ())
            if isinstance(check, HealthCheck)
        ]
        found = await judge.examine([*box.checks(around), ("host", self._database()), *plugins])
        return judge.ordered([*found, *self._states(), *self._faults(), *self._own(found)])

    async def fix(self, key: str, request: Request) -> str:
        """Do the repair of one finding; what was done, in words.

        Args:
            key: its id.
            request: of whoever wants it; without a way back, he has given the password within the last minutes.

        Raises:
            NotFound: nothing of that name is wrong.
            Refused: there is no repair for it, or it needs root.
            Unconfirmed: it is for good, and the password is missing.
        """
        async with self._lock:
            result = await self._find(key)
            if result.fix is None:
                raise Refused(f"{result.id} has to be mended by hand: {result.remedy or result.text}")
            if result.fix.root and not privileges.own_rights().root:
                raise Refused(f"this appliance does not run as root: sudo timeball doctor --fix {result.id}")
            if result.fix.undo is None:
                request.needs_password("what cannot be taken back")
            log.warning("%s lets the doctor mend %s: %s", request.actor, result.id, result.fix.says)
            said = await result.fix.apply()
            if result.fix.undo is not None:
                self._done[result.id] = result.fix
            return said

    async def undo(self, key: str, actor: str) -> str:
        """Take a repair back.

        Raises:
            NotFound: nothing of that name was mended since the start.
        """
        async with self._lock:
            fix = self._done.pop(key, None)
            if fix is None or fix.undo is None:
                raise NotFound(f"nothing of the name {key} was mended since the start")
            log.warning("%s takes back what the doctor did about %s", actor, key)
            return await fix.undo()

    def undoable(self) -> list[str]:
        return sorted(self._done)

    # -- parts ------------------------------------------------------------------------------------------------------

    async def _find(self, key: str) -> Result:
        results = await self.examine()
        found = next((r for r in results if r.id == key), None)
        if found is None:
            wrong = ", ".join(r.id for r in results if r.fix is not None) or "nothing"
            raise NotFound(f"there is no finding {key}; what can be mended now: {wrong}")
        return found

    async def _surroundings(self) -> Surroundings:
        host = self._host
        config = host.config
        differ: tuple[str, ...] = ()
        refused: tuple[str, ...] = ()
        try:
            config, _ = await host.changes.on_disk()
            differ = tuple(sorted(e.key for e in host.changes.effects(config)))
        except BadConfig as bad:
            refused = tuple(str(problem).partition("\n")[0] for problem in bad.problems)
        wanted = {
            p.id: (p.info.title, host.config.plugins.get(p.id), p.info.needs)
            for p in host.plugins.good()
            if p.info is not None and host.enabled(p)
        }

        def served(plugin: str) -> bool:
            supervised = host.supervised.get(plugin)
            return supervised is not None and supervised.status.state is PluginState.RUNNING

        return Surroundings(
            config, tuple(doors(wanted, served)), running=True, on_disk=lambda: differ, refused=refused,
            is_root=privileges.own_rights().root,
        )  # fmt: skip

    def _states(self) -> list[Result]:
        found = []
        for status in self._host.statuses():
            if status.state in _STATES:
                level, what = _STATES[status.state]
                found.append(Result(
                    f"{status.id}.state", level, f"{status.title} {what}" + (f": {status.why}" if status.why else ""),
                    "What this part serves and shows is not there.", (f"{status.restarts} restarts so far",),
                    "see the log of the plugin; `timeball plugin retry` tries at once",
                    (f"timeball plugin retry {quoted(status.id)}", f"journalctl -u timeball | grep -F {quoted(status.id + ' ')}"),
                ))  # fmt: skip
        return found

    def _faults(self) -> list[Result]:
        """What plugins do wrong besides."""
        return [
            Result(
                f"{fault.plugin}.{fault.what}", "degraded", f"the plugin {fault.plugin}: {fault.text}",
                "The other parts go on; this one needs its author.", (f"seen {fault.times} times" if fault.times > 1 else "seen once",),
                fault.remedy or "tell its author; the log has more",
                (f"journalctl -u timeball | grep -F {quoted(fault.plugin)}",), fault.fix,
            )
            for fault in self._host.faults
        ]  # fmt: skip

    def _own(self, found: list[Result]) -> list[Result]:
        """The host's own readings, and which data plane runs, as advice."""
        results = [
            Result(f"host.{number}", problem.level.value, problem.text, remedy=problem.remedy)
            for number, problem in enumerate(self._host.own_problems())
        ]
        told = how_it_runs(self._host.plane)
        plane = told["plane"]
        results.append(Result(
            "host.data-plane", "info" if plane["faster"] else "ok", f"packets are moved by the {plane['name']} plane: {plane['why']}",
            "A faster plane answers more clients with the same box.", (f"{plane['workers']} {'thread' if plane['workers'] == 1 else 'threads'} for each address",),
            plane["faster"],
        ))  # fmt: skip
        return results

    def _database(self) -> HealthCheck:
        async def sound() -> str | None:
            def look(db: sqlite_utils.Database) -> str:
                rows = db.execute("PRAGMA quick_check(3)").fetchall()
                return "; ".join(str(row[0]) for row in rows)

            said = await self._host.store.read(look)
            return None if said == "ok" else f"the database is damaged: {said}"

        return HealthCheck(
            "database", sound, Level.FAILING, 30.0, "stop the appliance, keep a copy of timeball.db, and restore a backup",
            well="the database is sound", why="History, scores and members that were added by hand are in it.",
        )  # fmt: skip


def doctor_routes(host: Host) -> tuple[Route, ...]:
    """Operations of the doctor."""
    doctor = Doctor(host)

    async def examine(request: Request) -> dict[str, Any]:
        results = await doctor.examine()
        level, line = judge.verdict(results)
        return {
            "status": level, "verdict": line, "checks": [r.as_dict() for r in results], "undoable": doctor.undoable(),
            "problems": [
                {"source": r.id, "level": r.level, "text": r.text, "remedy": r.remedy}
                for r in results if r.level in ("failing", "degraded")
            ],
            **how_it_runs(host.plane),
        }  # fmt: skip

    async def fix(request: Request) -> dict[str, Any]:
        request.note.target = request.params["id"]
        return {"done": await doctor.fix(request.params["id"], request)}

    async def undo(request: Request) -> dict[str, Any]:
        request.note.target = request.params["id"]
        return {"done": await doctor.undo(request.params["id"], str(request.actor))}

    async def report(request: Request) -> dict[str, Any]:
        results = await doctor.examine()
        editor = host.changes.editor
        return {
            "version": host.version,
            "checks": [r.as_dict() for r in results],
            "plugins": [dataclasses.asdict(status) for status in host.statuses()],
            "config": {k: editor.mask(dict(v), ("plugins", k)) for k, v in host.config.plugins.items()},
            "store": host.store.stats(),
            **how_it_runs(host.plane),
        }

    return (
        Route("GET", "/api/v1/doctor", examine, "doctor:read", "Every check with evidence, why it matters, and the remedy", returns=answers.DOCTOR),
        Route("POST", "/api/v1/doctor/{id}/fix", fix, "doctor:fix", "Let the doctor mend one finding", returns=answers.DONE, confirm="what cannot be taken back"),
        Route("POST", "/api/v1/doctor/{id}/undo", undo, "doctor:fix", "Take back what the doctor mended", returns=answers.DONE),
        Route("GET", "/api/v1/doctor/report", report, "config:read", "Checks, states and settings without secrets, to hand on", returns=answers.REPORT),
    )  # fmt: skip
