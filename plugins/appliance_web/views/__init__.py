"""View models: domain values in, what a template writes out. Pure; the time is an argument."""
