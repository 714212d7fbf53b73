"""Starts images in QEMU and asks them from outside, as a user's machine would."""
