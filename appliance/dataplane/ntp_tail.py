"""What follows the header of a request: extension fields that are passed over, and the MAC (RFC 7822 section 3)."""

from __future__ import annotations

from appliance.dataplane.interface import Reason
from appliance.wire.errors import WireError
from appliance.wire.ntp import (
    EF_NTS_AUTHENTICATOR,
    EF_NTS_COOKIE,
    EF_NTS_COOKIE_PLACEHOLDER,
    EF_NTS_UNIQUE_IDENTIFIER,
    parse_tail,
)
from appliance.wire.ntp_mac import KEY_ID_BYTES, MAX_DIGEST, MIN_DIGEST

_NTS_FIELDS = {EF_NTS_UNIQUE_IDENTIFIER, EF_NTS_COOKIE, EF_NTS_COOKIE_PLACEHOLDER, EF_NTS_AUTHENTICATOR}


def mac_position(packet: bytes | bytearray | memoryview, version: int) -> int:
    """Where the MAC of a packet begins, 0 when it has none; or minus the reason why it is not answered.

    Unknown extension fields are passed over, and the request is answered without them; a MAC covers them. NTS fields and
    a crypto-NAK are nothing that could be verified here.
    """
    try:
        tail = parse_tail(packet, version)
    except WireError:
        return -Reason.BAD_LENGTH
    size = len(tail.mac)
    if any(field.kind in _NTS_FIELDS for field in tail.fields):
        return -Reason.AUTH
    if size and not KEY_ID_BYTES + MIN_DIGEST <= size <= KEY_ID_BYTES + MAX_DIGEST:
        return -Reason.AUTH
    return len(packet) - size if size else 0
