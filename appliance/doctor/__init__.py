"""Looks at the box and says what is wrong, how that shows, why it matters, and what to do; mends only what it may undo."""
