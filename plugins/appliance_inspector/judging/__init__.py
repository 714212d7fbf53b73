# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""What the inspector's child process runs: nothing in here imports more than the standard library, or anything from outside.

The parent imports `rule` and `frames` from here too; whatever touches the bytes of a packet runs in the child alone. All of it runs beside scapy, which is GPL-2.0, so it may be used under that
licence too.
"""
