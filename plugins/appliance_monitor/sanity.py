"""What one reply is worth: the accept list of a careful client, as a sample with its reason. No socket, no clock.

A reply that does not match the request (origin, mode, version) or claims an impossible order of time was not given to us:
it counts as no answer, as in the NTP Pool's agent. A kiss code counts only when the origin matches, because anybody can
send one.
"""

from __future__ import annotations

from appliance.api.model import Sample
from appliance.wire.errors import WireError
from appliance.wire.ntp import MODE_SERVER, Header, parse_header, unix_ns_from_ntp

#: The agent takes nothing above as an answer.
HIGHEST_STRATUM = 10
#: Past these a sample is good but odd.
WARN_DISTANCE_S = 1.0
WARN_REFERENCE_AGE_S = 86_400.0


def silent(error: str, t1_ns: int | None = None) -> Sample:
    """A sample that nobody answered: "timeout", "refused", "unreachable", ..."""
    return Sample(t1_ns=t1_ns, error=error)


def weigh(packet: bytes, *, cookie: int, version: int, t1_ns: int, t4_ns: int) -> Sample:
    """Judge one packet that came back from the target's address and port.

    Args:
        packet: the UDP payload.
        cookie: what stood in the request's transmit field.
        version: of the request.
        t1_ns: when the request left, ns since 1970, corrected.
        t4_ns: when the reply came, likewise.
    """
    try:
        reply = parse_header(packet)
    except WireError:
        return silent("too short", t1_ns)
    mismatch = _mismatch(reply, cookie, version)
    if mismatch:
        return silent(mismatch, t1_ns)
    kiss = reply.kiss_code
    t2_ns = unix_ns_from_ntp(reply.receive, t4_ns)
    t3_ns = unix_ns_from_ntp(reply.transmit, t4_ns)
    rtt_s = max(0, (t4_ns - t1_ns) - (t3_ns - t2_ns)) / 1e9
    offset_s = ((t2_ns - t1_ns) + (t3_ns - t4_ns)) / 2e9
    error = kiss or _stratum_error(reply.stratum)
    if not error and (not reply.transmit or not reply.receive or t3_ns < t2_ns):
        return silent("bad timestamps", t1_ns)
    # A kiss may copy our own request into its times, and RATE says in so many words that there is no time in it.
    timed = not kiss and reply.transmit != 0
    return Sample(
        t1_ns=t1_ns,
        t2_ns=t2_ns if timed else None,
        t3_ns=t3_ns if timed else None,
        t4_ns=t4_ns,
        offset_s=offset_s if timed else None,
        rtt_s=rtt_s if timed else (t4_ns - t1_ns) / 1e9,
        stratum=reply.stratum,
        leap=reply.leap,
        refid=reply.refid,
        root_delay_s=reply.root_delay_s,
        root_dispersion_s=reply.root_dispersion_s,
        reference_ns=unix_ns_from_ntp(reply.reference, t4_ns) if reply.reference else None,
        version=reply.version,
        error=error,
        warnings=() if error else _warnings(reply, t3_ns),
    )


def _mismatch(reply: Header, cookie: int, version: int) -> str | None:
    if reply.mode != MODE_SERVER:
        return f"mode {reply.mode} instead of 4"
    if reply.origin != cookie:
        return "bad origin"
    if reply.version != version:
        return f"version {reply.version} instead of {version}"
    return None


def _stratum_error(stratum: int) -> str | None:
    return f"bad stratum {stratum}" if stratum == 0 or stratum > HIGHEST_STRATUM else None


def _warnings(reply: Header, t3_ns: int) -> tuple[str, ...]:
    found = []
    if reply.leap == 3:
        found.append("says that it is not synchronised (leap indicator 3)")
    distance_s = reply.root_delay_s / 2 + reply.root_dispersion_s
    if distance_s > WARN_DISTANCE_S:
        found.append(f"root distance {distance_s:.3g} s")
    if not reply.reference:
        found.append("no reference time")
    else:
        age_s = (t3_ns - unix_ns_from_ntp(reply.reference, t3_ns)) / 1e9
        if age_s < 0:
            found.append("reference time later than its own transmit time")
        elif age_s > WARN_REFERENCE_AGE_S:
            found.append(f"reference time {age_s / 3600:.0f} h old")
    return tuple(found)
