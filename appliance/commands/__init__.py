"""The host's own commands. Private; plugins add theirs through the `commands` hook."""
