"""HTTPS by itself: a small authority of this box, certificates that renew themselves, and an own certificate instead."""
