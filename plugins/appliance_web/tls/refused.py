"""Why a certificate that somebody brings along is not used."""

from __future__ import annotations

#: More is no chain.
MOST_BYTES = 64 * 1024


class BadChain(Exception):
    """It cannot be used.

    Attributes:
        errors: what is wrong, by field: "certificate", "key".
    """

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = errors
