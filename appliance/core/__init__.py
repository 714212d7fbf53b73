"""Serves everybody: cells, bus, services, configuration, clock."""
