"""Turns bytes into values and back, with no clock and no socket."""
