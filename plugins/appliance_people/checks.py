"""What the doctor asks about people."""

from __future__ import annotations

from appliance.api.contrib import Finding, HealthCheck
from appliance_people.trail import Trail

_TOLD = 5


def checks(trail: Trail) -> list[HealthCheck]:
    """All of them."""

    async def is_whole() -> Finding | None:
        """What the last look at the whole chain found: to look again for everybody who asks would cost too much.

        A gap stays for ever, and nobody can mend it: it is told here and on its page, and is no reason to call the box unwell.
        """
        if (verified := trail.verified) is None or not verified.findings:
            return None
        return Finding(
            "the audit trail was tampered with, or damaged", id="audit-trail", info=True,
            evidence=tuple(f"row {one.seq}: {one.what}" for one in verified.findings[:_TOLD]),
        )  # fmt: skip

    return [
        HealthCheck(
            "audit trail", is_whole, well="nothing shows that the audit trail was changed",
            remedy="compare it with the system's journal, which has every row and its sum: journalctl SYSLOG_IDENTIFIER=timeball | grep audit",
            why="It says who did what on this box; what is missing there may be what somebody did.",
        ),
    ]  # fmt: skip
