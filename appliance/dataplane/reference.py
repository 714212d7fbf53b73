"""The data plane in pure Python: works everywhere, and is what every faster one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from appliance.api.model import ClockState
from appliance.core.clock import Clock, SystemClock
from appliance.dataplane.interface import DnsServer, Endpoint, NtpPolicy, NtpServer
from appliance.dataplane.sandbox import IN_PYTHON

if TYPE_CHECKING:
    from appliance.dataplane.dns_hand_up import Responder
    from appliance.dataplane.dns_snapshot import AnswerSnapshot


class PythonPlane:
    """Packets in threads of this process.

    Attributes:
        why: one sentence: why this plane was chosen.
        workers, faster, sandbox: see `DataPlane`.
    """

    name = "python"
    sandbox = IN_PYTHON
    workers = 1

    def __init__(self, why: str = "", *, clock: Clock | None = None, faster: str = "") -> None:
        self.why = why
        self.faster = faster
        self._clock = clock or SystemClock()

    def serve_ntp(
        self, listen: Sequence[Endpoint], clock: ClockState, policy: NtpPolicy, *, clients: int = 0
    ) -> NtpServer:
        from appliance.dataplane.python_ntp import PythonNtpServer

        return PythonNtpServer(listen, clock, policy, self._clock, clients=clients)

    def serve_dns(
        self, listen: Sequence[Endpoint], snapshot: AnswerSnapshot, responder: Responder | None = None
    ) -> DnsServer:
        from appliance.dataplane.dns_hand_up import nobody
        from appliance.dataplane.python_dns import serve

        return serve(listen, snapshot, self._clock, responder or nobody)
