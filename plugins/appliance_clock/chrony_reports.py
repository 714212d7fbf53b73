"""What chronyd tells about its sources and its own service, for people to look at. Pure, like `chrony`."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from appliance.wire.errors import WireError
from appliance_clock.chrony import Reply, address_text, fields, float_from_wire

_ADDRESS = struct.Struct("!16sH2x")  # struct IPAddr: address, family
_SOURCE_DATA = struct.Struct("!16sH2xhHHHHHI3I")
_SOURCE_STATS = struct.Struct("!4s16sH2xIII5I")
_ACTIVITY = struct.Struct("!5I")
_COUNT = struct.Struct("!I")
_NAME = struct.Struct("!256s")


@dataclass(frozen=True, slots=True)
class SourceData:
    """One source that chronyd watches.

    Attributes:
        address: IP text, the tag of a reference clock, or "" for a name that has no address yet.
        mode: "server", "peer" or "reference clock".
        state: "selected", "not selectable", "falseticker", "jittery", "not selected", "selectable".
        reach: the last eight polls as bits.
        since_sample_s: age of the last sample.
        offset_s: of the last sample, adjusted for what was slewed since; positive when the source is behind us.
        measured_s: the same as it was measured.
        error_s: margin of either.
    """

    address: str
    family: int
    raw_address: bytes
    poll: int
    stratum: int
    state: str
    mode: str
    reach: int
    since_sample_s: int
    offset_s: float
    measured_s: float
    error_s: float


@dataclass(frozen=True, slots=True)
class SourceStats:
    """The regression that chronyd makes of one source's samples."""

    refid: bytes
    address: str
    samples: int
    runs: int
    span_s: int
    deviation_s: float
    residual_ppm: float
    skew_ppm: float
    offset_s: float
    offset_error_s: float


@dataclass(frozen=True, slots=True)
class Activity:
    """Number of sources by what chronyd does with them."""

    online: int
    offline: int
    burst_online: int
    burst_offline: int
    unresolved: int


_STATES = ("selected", "not selectable", "falseticker", "jittery", "not selected", "selectable")
_MODES = ("server", "peer", "reference clock")

_SERVER_STATS_V1 = ("ntp_hits", "command_hits", "ntp_drops", "command_drops", "log_drops")
_SERVER_STATS_V2 = (
    "ntp_hits", "nts_ke_hits", "command_hits", "ntp_drops", "nts_ke_drops", "command_drops", "log_drops",
    "ntp_auth_hits",
)  # fmt: skip
_SERVER_STATS_V3 = (*_SERVER_STATS_V2, "ntp_interleaved_hits", "ntp_timestamps", "ntp_span_s")
_SERVER_STATS_V4 = (
    *_SERVER_STATS_V3,
    "ntp_daemon_rx_timestamps", "ntp_daemon_tx_timestamps", "ntp_kernel_rx_timestamps",
    "ntp_kernel_tx_timestamps", "ntp_hardware_rx_timestamps", "ntp_hardware_tx_timestamps",
)  # fmt: skip
#: Counter width and names by reply code.
_SERVER_STATS = {
    14: ("I", _SERVER_STATS_V1),
    22: ("I", _SERVER_STATS_V2),
    24: ("I", _SERVER_STATS_V3),
    25: ("Q", _SERVER_STATS_V4),
}


def parse_n_sources(reply: Reply) -> int:
    """How many sources there are.

    Raises:
        WireError: refused or another layout.
    """
    count: int = fields(reply, 2, _COUNT)[0]
    return count


def parse_source_data(reply: Reply) -> SourceData:
    """Read a source.

    Raises:
        WireError: refused (there is no such source) or another layout.
    """
    raw, family, poll, stratum, state, mode, _flags, reach, since, measured, adjusted, error = fields(
        reply, 3, _SOURCE_DATA
    )
    mode_name = _name(_MODES, mode)
    address = address_text(raw, family)
    if mode_name == "reference clock":  # its tag stands where an IPv4 address would
        address = raw[:4].rstrip(b"\0").decode("ascii", "replace")
    return SourceData(
        address=address,
        family=family,
        raw_address=raw,
        poll=poll,
        stratum=stratum,
        state=_name(_STATES, state),
        mode=mode_name,
        reach=reach,
        since_sample_s=since,
        offset_s=float_from_wire(adjusted),
        measured_s=float_from_wire(measured),
        error_s=float_from_wire(error),
    )


def parse_source_stats(reply: Reply) -> SourceStats:
    """Read the statistics of a source.

    Raises:
        WireError: refused (there is no such source) or another layout.
    """
    refid, raw, family, samples, runs, span, *floats = fields(reply, 6, _SOURCE_STATS)
    deviation, residual, skew, offset, error = (float_from_wire(value) for value in floats)
    return SourceStats(
        refid, address_text(raw, family), samples, runs, span, deviation, residual, skew, offset, error
    )


def parse_activity(reply: Reply) -> Activity:
    """Read the activity report.

    Raises:
        WireError: refused or another layout.
    """
    return Activity(*fields(reply, 12, _ACTIVITY))


def parse_server_stats(reply: Reply) -> dict[str, int]:
    """The counters of chronyd's own server, by name; which there are depends on its version.

    Raises:
        WireError: refused, or a layout of a chronyd newer than this.
    """
    if reply.code not in _SERVER_STATS:
        raise WireError(reply.refusal or f"server statistics of an unknown layout ({reply.code})")
    width, names = _SERVER_STATS[reply.code]
    values = fields(reply, reply.code, struct.Struct(f"!{len(names)}{width}"))
    return dict(zip(names, values, strict=True))


def parse_source_name(reply: Reply) -> str:
    """The name that stands for a source in chronyd's configuration.

    Raises:
        WireError: refused or another layout.
    """
    (name,) = fields(reply, 19, _NAME)
    return bytes(name).partition(b"\0")[0].decode("ascii", "replace")


def pack_index(index: int) -> bytes:
    """Argument of SOURCE_DATA and SOURCE_STATS."""
    return _COUNT.pack(index)


def pack_address(source: SourceData) -> bytes:
    """Argument of NTP_SOURCE_NAME."""
    return _ADDRESS.pack(source.raw_address, source.family)


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else f"unknown ({number})"
