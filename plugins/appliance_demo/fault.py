"""What a simulated member does wrong, and the reply that comes of it: pure, no socket and no clock of its own."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from appliance.api.config import PluginConfig, setting
from appliance.core.figures import percent
from appliance.wire.ntp import (
    HEADER,
    HEADER_BYTES,
    LEAP_UNSYNCHRONISED,
    MODE_CLIENT,
    MODE_SERVER,
    ntp_from_unix_ns,
    short_from_s,
)

_PRECISION = -20
_UPDATE_AGE_NS = 16_000_000_000  # how long ago a simulated member was corrected last
_SCRAMBLE = 0x5A5A_5A5A  # turns the echo of a request into something else


class Fault(PluginConfig):
    """How a simulated member behaves; without any setting it is a good server of stratum 2."""

    offset_s: float = setting(
        0.0, help="How far its clock is ahead of ours (negative: behind).", unit="s", ge=-1e9, le=1e9
    )
    drift_ppm: float = setting(
        0.0,
        help="How fast its clock moves away from ours, from the moment this is set.",
        unit="ppm",
        ge=-1e6,
        le=1e6,
    )
    loss: float = setting(0.0, help="Share of the requests it never answers, 0 to 1.", ge=0, le=1)
    silent: bool = setting(default=False, help="It answers nothing at all.")
    delay_s: float = setting(
        0.0, help="Added to the round trip, the same in both directions.", unit="s", ge=0, le=60
    )
    leap: int = setting(0, help="Leap indicator; 3 says that it is not synchronised.", ge=0, le=3)
    stratum: int = setting(
        2, help="Stratum in its replies; 16 says that it is not synchronised.", ge=0, le=255
    )
    kiss: Literal["", "RATE", "DENY", "RSTR"] = setting("", help="Answer every request with this kiss code.")
    refid: str = setting("SIMU", help="Reference identifier, four ASCII characters.", pattern=r"^[ -~]{1,4}$")
    root_delay_s: float = setting(
        0.001, help="Its round trip to the reference clock.", unit="s", ge=0, lt=65536
    )
    root_dispersion_s: float = setting(
        0.001, help="How far it believes to be off at most.", unit="s", ge=0, lt=65536
    )
    wrong_origin: bool = setting(
        default=False, help="Its replies do not echo the request, like those of somebody who forges them."
    )

    @field_validator("kiss", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    def offset_at(self, elapsed_s: float) -> float:
        """Offset in seconds, `elapsed_s` after the fault was set."""
        return self.offset_s + self.drift_ppm * 1e-6 * elapsed_s

    def describe(self) -> str:
        """A few words for people: what is wrong with it, or "good"."""
        if self.silent or self.loss >= 1:
            return "silent"
        words = []
        if self.kiss:
            words.append(f"answers {self.kiss}")
        if self.leap == LEAP_UNSYNCHRONISED or self.stratum in (0, 16):
            words.append("not synchronised")
        if self.offset_s:
            words.append(f"{abs(self.offset_s) * 1e3:g} ms {'ahead' if self.offset_s > 0 else 'behind'}")
        if self.drift_ppm:
            words.append(f"drifts {self.drift_ppm:g} ppm")
        if self.loss:
            words.append(f"loses {percent(self.loss)} of the packets")
        if self.delay_s:
            words.append(f"{self.delay_s * 1e3:g} ms slower")
        if self.wrong_origin:
            words.append("wrong origin")
        return ", ".join(words) or "good"


def respond(
    request: bytes, fault: Fault, *, elapsed_s: float, rx_ns: int, tx_ns: int, dice: float
) -> bytes | None:
    """The reply of a member, 48 bytes, or None when it stays silent.

    Header fields are read and written in place, without `Header` values: ten thousand members share one thread.

    Args:
        request: the UDP payload as it came in.
        fault: what the member does wrong.
        elapsed_s: since the fault was set; the drift needs it.
        rx_ns: arrival of the request, ns since 1970.
        tx_ns: departure of the reply, ns since 1970.
        dice: uniform in [0, 1); below `fault.loss` the packet is lost.
    """
    if len(request) < HEADER_BYTES or fault.silent or dice < fault.loss:
        return None
    first, _, poll, _, _, _, _, _, _, _, cookie = HEADER.unpack_from(request)
    version, mode = first >> 3 & 7, first & 7
    if mode != MODE_CLIENT or not 1 <= version <= 4:
        return None
    if (
        fault.kiss
    ):  # RFC 5905 section 7.4: stratum 0, the code in place of the reference identifier; and no time in it
        first = LEAP_UNSYNCHRONISED << 6 | version << 3 | MODE_SERVER
        return HEADER.pack(first, 0, poll, _PRECISION, 0, 0, fault.kiss.encode(), 0, cookie, cookie, cookie)
    shift_ns = int(fault.offset_at(elapsed_s) * 1e9)
    # The added delay is the network's, half of it on each way: an honest member notes a late arrival and a late departure.
    way_ns = int(fault.delay_s * 5e8)
    arrived_ns = rx_ns + way_ns + shift_ns
    left_ns = max(tx_ns + way_ns + shift_ns, arrived_ns)
    return HEADER.pack(
        fault.leap << 6 | version << 3 | MODE_SERVER,
        fault.stratum,
        poll,
        _PRECISION,
        short_from_s(fault.root_delay_s),
        short_from_s(fault.root_dispersion_s),
        fault.refid.encode(),  # "4s" fills up with zeros
        ntp_from_unix_ns(arrived_ns - _UPDATE_AGE_NS),
        cookie ^ _SCRAMBLE if fault.wrong_origin else cookie,
        ntp_from_unix_ns(arrived_ns),
        ntp_from_unix_ns(left_ns),
    )
