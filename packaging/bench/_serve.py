"""Our own server for benchmarks: serves one thing on one port of loopback until its input ends.

    _serve.py ntp|dns|dns8|ntp-limited|dns-limited|dns-swap native|python WORKERS ADDRESS PORT

"dns" draws four of a hundred members by weight for each query, "dns8" for each client address and 8 s. Limits are the
defaults, from which loopback is exempt; "-limited" exempts nobody, and allows so much that the limits are charged and
never reached. "dns-swap" publishes another hundred members every 100 ms, each time with addresses of another prefix.
"""

from __future__ import annotations

import select
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from appliance.api.model import ClockState  # noqa: E402 - the path is set above
from appliance.core.clock import SystemClock  # noqa: E402 - the path is set above
from appliance.dataplane import choose  # noqa: E402 - the path is set above
from appliance.dataplane.interface import Endpoint, NtpPolicy, RateLimit  # noqa: E402 - the path is set above
from appliance.dataplane.native import NativePlane  # noqa: E402 - the path is set above

CLOCK = SystemClock()
SWAP_S = 0.1


def clock_state() -> ClockState:
    """A clock that is taken as it is."""
    return ClockState(
        leap=0, stratum=2, refid=b"\x7f\x7f\x01\x01", reference_ns=CLOCK.wall_ns() - 10**9, root_delay_s=0.001,
        root_dispersion_s=0.001, dispersion_rate=15e-6, as_of_mono_ns=CLOCK.monotonic_ns(), source="benchmark",
    )  # fmt: skip


def policy(*, limited: bool) -> NtpPolicy:
    """Everybody is answered."""
    if limited:
        return NtpPolicy(
            limit=RateLimit(interval=-12, burst=255, prefix_interval=-12, prefix_burst=1_000_000)
        )
    loopback = tuple(ip_network(text) for text in ("127.0.0.0/8", "::1/128"))
    return NtpPolicy(limit=RateLimit(exempt=loopback))


def answers(*, coherence_s: int, limited: bool = False, prefix: str = "192.0.2.", serial: int = 1) -> Any:
    """The benchmark's zone with a hundred members as the DNS plugin would build it."""
    from _servers import MEMBERS, ZONE

    from appliance_dns.config import DnsConfig
    from appliance_dns.selection import Choice
    from appliance_dns.zone import Plan, Pool, Secrets, build

    config = DnsConfig.model_validate(
        {
            "zone": ZONE,
            "coherence_s": coherence_s,
            "ns": [{"name": "ns1", "addresses": ["192.0.2.53"]}],
            "rate_limit": {"per_second": 10_000, "burst": 100_000, "exempt": []} if limited else {},
        }
    )
    pool = Pool(tuple(Choice(f"{prefix}{n}", 100 * n) for n in range(1, MEMBERS + 1)), wanted=True)
    return build(Plan(config, {("@", 4): pool}, Secrets(bytes(16), (bytes(16),))), serial).snapshot


def swap(server: Any) -> None:
    """A new membership every `SWAP_S` until the input ends: built anew and published as the DNS plugin would."""
    serial = 1
    while not select.select([sys.stdin], [], [], SWAP_S)[0]:
        serial += 1
        server.set_answers(answers(coherence_s=0, prefix=f"10.{serial % 256}.0.", serial=serial))


def main(what: str, plane_name: str, workers: int, endpoint: Endpoint) -> None:
    plane: Any = NativePlane(workers=workers) if plane_name == "native" else choose("python")
    limited = what.endswith("-limited")
    if what.startswith("ntp"):
        server = plane.serve_ntp([endpoint], clock_state(), policy(limited=limited))
    else:
        server = plane.serve_dns([endpoint], answers(coherence_s=8 if what == "dns8" else 0, limited=limited))
    if what == "dns-swap":
        swap(server)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Endpoint(sys.argv[4], int(sys.argv[5])))
