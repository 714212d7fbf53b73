"""What a codec raises: one exception, whatever the bytes were."""

from __future__ import annotations


class WireError(ValueError):
    """These bytes are not what they should be; the message says what is wrong with them."""
