"""The box as its owner uses it: set up before it is switched on, then asked over HTTPS."""

from __future__ import annotations

from typing import Any

from images.testing import probes
from images.testing.machine import Machine, Waited

NAME, PASSWORD = "ada", "the harbour sets its clocks"
SETTINGS = f'''host_name = "timeball"
[owner]
name = "{NAME}"
password = "{PASSWORD}"
'''


class Owner:
    """Signed in; asks as the pages' own scripts do."""

    def __init__(self, machine: Machine, cookie: str) -> None:
        self.machine = machine
        self._cookie = cookie

    @staticmethod
    def sign_in(machine: Machine, within_s: float = 300) -> Owner:
        """Wait until the box has its owner, and lets him in. Not before: who tries too often has to wait."""

        def claimed() -> bool:
            reply = probes.web(machine.ports["https"], "/api/v1/setup", tls=True)
            return reply is not None and reply.status == 200 and reply.json()["claimed"]

        machine.until(claimed, within_s, "the box has an owner", alive=True, every_s=2.0)
        body = {"name": NAME, "password": PASSWORD}
        said = ""

        def let_in() -> bool:
            nonlocal said
            reply = probes.web(machine.ports["https"], "/api/v1/session", tls=True, method="POST", body=body)
            said = "nobody answers" if reply is None else f"{reply.status} {reply.body[:200]!r}"
            if reply is not None and reply.status in (200, 201):
                found.append(reply.heads["set-cookie"].partition(";")[0])
            return bool(found)

        found: list[str] = []
        try:
            machine.until(let_in, within_s, "the owner signs in", alive=True, every_s=10.0)
        except Waited as waited:
            raise Waited(f"{said}: {waited}") from None
        return Owner(machine, found[0])

    def ask(
        self, method: str, path: str, body: Any = None, *, within_s: float = 30
    ) -> probes.WebReply | None:
        """One request; None when nobody answers."""
        return probes.web(
            self.machine.ports["https"], path, tls=True, method=method, body=body, heads={"Cookie": self._cookie}, within_s=within_s
        )  # fmt: skip

    def get(self, path: str) -> Any:
        """The answer's JSON.

        Raises:
            AssertionError: there is none.
        """
        reply = self.ask("GET", path)
        assert reply is not None, f"{path}: nobody answers"
        assert reply.status == 200, f"{path}: {reply.status} {reply.body[:300]!r}"
        return reply.json()
