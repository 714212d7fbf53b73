"""What a person can do about a build that fails."""

from __future__ import annotations


class BuildError(Exception):
    """The image cannot be made; the message says what a person can do."""
