"""Completion for bash, zsh and fish: click's own scripts, which ask `timeball` itself what may come next."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

#: Where each shell of Debian looks for the words of a program.
PLACES = {
    "bash": "usr/share/bash-completion/completions/timeball",
    "zsh": "usr/share/zsh/vendor-completions/_timeball",
    "fish": "usr/share/fish/vendor_completions.d/timeball.fish",
}


def scripts(root: click.Group) -> dict[str, str]:
    """Script by the place where it belongs."""
    found = {}
    for shell, place in PLACES.items():
        kind = get_completion_class(shell)
        assert kind is not None
        found[place] = kind(root, {}, "timeball", "_TIMEBALL_COMPLETE").source()
    return found
