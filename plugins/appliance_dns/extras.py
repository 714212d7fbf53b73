"""The records that a person writes into the configuration, contributed as any other plugin would."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.api.contrib import AnswerRecord
from appliance.wire.dns import txt_text
from appliance_dns.config import DnsConfig

_TTL_S = 3600


def configured_records(config: DnsConfig) -> Iterator[AnswerRecord]:
    """TXT and CAA records at the zone's name."""
    for text in config.txt:
        yield AnswerRecord("@", "TXT", txt_text(text), _TTL_S)
    for caa in config.caa:
        yield AnswerRecord(
            "@", "CAA", f"{128 if caa.critical else 0} {caa.tag} {txt_text(caa.value)}", _TTL_S
        )
