"""Our own server for benchmarks: serves one thing on one port of loopback until its input ends.

    _serve.py ntp|dns|dns8 native|python WORKERS ADDRESS PORT

"dns" draws four of a hundred members by weight for each query, "dns8" for each client address and 8 s.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from appliance.api.model import ClockState  # noqa: E402 - the path is set above
from appliance.core.clock import SystemClock  # noqa: E402 - the path is set above
from appliance.dataplane import choose  # noqa: E402 - the path is set above
from appliance.dataplane.interface import Endpoint, NtpPolicy  # noqa: E402 - the path is set above
from appliance.dataplane.native import NativePlane  # noqa: E402 - the path is set above

CLOCK = SystemClock()


def clock_state() -> ClockState:
    """A clock that is taken as it is."""
    return ClockState(
        leap=0, stratum=2, refid=b"\x7f\x7f\x01\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="benchmark",
    )  # fmt: skip


def answers(coherence_s: int) -> Any:
    """The benchmark's zone with a hundred members as the DNS plugin would build it."""
    from _servers import ZONE, member_weights

    from appliance_dns.config import DnsConfig
    from appliance_dns.selection import Choice
    from appliance_dns.zone import Plan, Pool, Secrets, build

    config = DnsConfig.model_validate(
        {"zone": ZONE, "coherence_s": coherence_s, "ns": [{"name": "ns1", "addresses": ["192.0.2.53"]}]}
    )
    pool = Pool(tuple(Choice(address, 100 * weight) for address, weight in member_weights()), wanted=True)
    return build(Plan(config, {("@", 4): pool}, Secrets(bytes(16), (bytes(16),))), 1).snapshot


def main(what: str, plane_name: str, workers: int, endpoint: Endpoint) -> None:
    plane: Any = NativePlane(workers=workers) if plane_name == "native" else choose("python")
    if what == "ntp":
        server = plane.serve_ntp([endpoint], clock_state(), NtpPolicy())
    else:
        server = plane.serve_dns([endpoint], answers(8 if what == "dns8" else 0))
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Endpoint(sys.argv[4], int(sys.argv[5])))
