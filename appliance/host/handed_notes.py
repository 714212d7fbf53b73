"""Before a change of addresses is made: which of them the service manager's sockets do not have, and which command changes that."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from appliance.core.config import Config
from appliance.dataplane import handed
from appliance.dataplane.interface import Endpoint

#: What each of them serves its addresses over.
_KINDS = {
    "plugins.ntp.listen": (socket.SOCK_DGRAM,),
    "plugins.dns.listen": (socket.SOCK_DGRAM, socket.SOCK_STREAM),
    "plugins.web.listen": (socket.SOCK_STREAM,),
    "plugins.web.listen_tls": (socket.SOCK_STREAM,),
}

Descriptors = Callable[[Endpoint, socket.SocketKind], list[int]]
Advice = Callable[[Endpoint, socket.SocketKind], str]


def handed_notes(
    config: Config,
    keys: Iterable[str],
    *,
    descriptors: Descriptors = handed.descriptors,
    advice: Advice = handed.advice,
) -> tuple[str, ...]:
    """A sentence for each address that cannot be had beside the sockets that were handed over.

    Args:
        config: as it shall be.
        keys: dotted keys that change.
        descriptors: as `handed.descriptors`.
        advice: as `handed.advice`.
    """
    found: dict[str, None] = {}
    for key in keys:
        _, plugin, field = (*key.split("."), "", "")[:3]
        for text in getattr(config.plugins.get(plugin), field, ()) if key in _KINDS else ():
            if text == "auto":
                continue
            endpoint = Endpoint.parse(text)
            for kind in _KINDS[key]:
                if endpoint.port and not descriptors(endpoint, kind) and (why := advice(endpoint, kind)):
                    found[f"{endpoint} will not be served until its socket unit agrees; {why}"] = None
    return tuple(found)
