"""The time service in words and figures, for API, page and health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.dataplane.interface import Action, Mark, Reason, Remembered

if TYPE_CHECKING:
    from appliance_ntp.service import NtpService
    from appliance_ntp.tally import Tally

_RATES_OVER_S = (1, 10, 60)

#: What may become of a request with a MAC.
_AUTHENTICATED = {
    "ok": Mark.AUTHENTICATED,
    "unknown_key": Mark.UNKNOWN_KEY,
    "wrong_source": Mark.WRONG_SOURCE,
    "wrong_mac": Mark.WRONG_MAC,
}

#: What people read for each reason.
REASONS = {
    Reason.OK: "request",
    Reason.UNSYNCHRONISED: "request, while our clock was not synchronised",
    Reason.TOO_SHORT: "shorter than a header",
    Reason.BAD_LENGTH: "impossible length",
    Reason.BAD_VERSION: "unknown version",
    Reason.BAD_MODE: "a mode that is no request",
    Reason.REPLY: "a reply, not a request",
    Reason.CONTROL: "control message (mode 6 or 7)",
    Reason.AUTH: "authentication that is not right, or that we do not know",
    Reason.POLICY: "refused by policy",
    Reason.RATE: "over the rate limit",
    Reason.BAD_SOURCE: "impossible source",
    Reason.LATE: "waited too long",
    Reason.SEND_FAILED: "the reply could not be sent",
    Reason.BUG: "a mistake of ours, please report it",
}


def verdict(service: NtpService) -> tuple[str, str]:
    """A level ("ok", "degraded", "failing") and one sentence."""
    if not service.endpoints():
        return "failing", "No time is served"
    state = service.clock_state.get()
    if not state.synchronised(service.clock.monotonic_ns()):
        why = f": {state.why}" if state.why else ""
        return "degraded", f"Replies say that our clock is not synchronised{why}"
    return "ok", f"Serves time as stratum {state.stratum}"


def plane(service: NtpService) -> dict[str, Any]:
    """Which data plane serves time, why this one, and what its threads may do."""
    used, server = service.plane, service.tally.server
    return {
        "name": used.name,
        "why": used.why,
        "workers": used.workers,
        "faster": used.faster,
        "sandbox": {"on": server.sandbox.on, "why": server.sandbox.why} if server else None,
    }


def clients_summary(service: NtpService) -> dict[str, Any]:
    """How many clients are known, and what the limits did."""
    remembered, limit = service.tally.remembered(), service.policy.limit
    return {
        "verdict": clients_verdict(remembered) if service.tally.server else "No time is served",
        "known": remembered.known,
        "room": remembered.room,
        "forgotten": remembered.forgotten,
        "limited": {
            "client": remembered.over_client,
            "network": remembered.over_network,
            "kiss": remembered.kissed,
            "leak": remembered.leaked,
        },
        "limit": None
        if limit is None
        else {
            "interval_s": 2.0**limit.interval,
            "burst": limit.burst,
            "leak": limit.leak,
            "kod": limit.kod,
            "exempt": [str(network) for network in limit.exempt],
            "prefix_interval_s": 2.0**limit.prefix_interval,
            "prefix_burst": limit.prefix_burst,
        },
    }


def clients_verdict(remembered: Remembered) -> str:
    """One sentence about the clients."""
    if not remembered.room:
        return "Clients are not remembered: plugins.ntp.clients is 0"
    known = f"{remembered.known:,} clients are known" if remembered.known != 1 else "One client is known"
    if remembered.forgotten:
        known += (
            f"; {remembered.forgotten:,} older ones were forgotten, because there is room for {remembered.room:,} only "
            "(plugins.ntp.clients)"
        )
    refused = remembered.over_client + remembered.over_network + remembered.kissed
    return f"{known}; {refused:,} requests were over a limit" if refused else known


def authenticated(tally: Tally) -> dict[str, int]:
    """Requests with authentication by what became of them."""
    marks = tally.marks()
    told = {name: marks.get(mark, 0) for name, mark in _AUTHENTICATED.items()}
    refused = tally.outcomes().get((Reason.AUTH, Action.IGNORE), 0)
    return told | {"unsupported": max(0, refused - sum(told.values()) + told["ok"])}


def authentication(service: NtpService) -> dict[str, Any]:
    """Which keys there are, and how requests fared with them. Never a key."""
    keys = service.keys
    return {
        "verdict": keys.verdict,
        "keys_file": keys.path or None,
        "keys": [
            {"id": key.id, "type": key.kind.label, "networks": [str(network) for network in key.networks]}
            for key in keys.keys
        ],
        "problems": list(keys.problems),
        "warnings": list(keys.warnings),
        "results": authenticated(service.tally),
    }


def interleaved(service: NtpService) -> dict[str, int]:
    """How many replies told when the one before left, and how many times the kernel said so."""
    marks = service.tally.marks()
    return {"replies": marks.get(Mark.INTERLEAVED, 0), "kernel_stamps": marks.get(Mark.STAMPED, 0)}


def summary(service: NtpService) -> dict[str, Any]:
    """Everything at once, JSON-able; the shape of GET /api/v1/ntp."""
    level, words = verdict(service)
    tally = service.tally
    outcomes, traffic = tally.outcomes(), tally.traffic()
    return {
        "level": level,
        "verdict": words,
        "plane": plane(service),
        "listen": [str(endpoint) for endpoint in service.endpoints()],
        "missing": dict(service.missing),
        "received": sum(outcomes.values()),
        "replied": sum(count for (_, action), count in outcomes.items() if action is Action.REPLY),
        "rates": {
            "received_per_s": {str(s): round(tally.rate("received", s), 3) for s in _RATES_OVER_S},
            "replied_per_s": {str(s): round(tally.rate("replied", s), 3) for s in _RATES_OVER_S},
        },
        "outcomes": [
            {
                "reason": reason.name.lower(),
                "action": action.name.lower(),
                "count": count,
                "text": REASONS[reason],
            }
            for (reason, action), count in sorted(outcomes.items())
        ],
        "traffic": [
            {"version": version, "mode": mode, "family": family, "count": count}
            for (version, mode, family), count in sorted(traffic.items())
        ],
        "clients": clients_summary(service),
        "authentication": authentication(service),
        "interleaved": interleaved(service),
        "policy": {
            "rules": [{"prefix": str(rule.network), "action": rule.action} for rule in service.policy.rules],
            "others": service.policy.default,
        },
    }
