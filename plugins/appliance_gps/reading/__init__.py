"""What the receiver's own process runs: nothing in here imports more than the standard library, or anything from outside."""
