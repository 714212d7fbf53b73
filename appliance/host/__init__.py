"""Loads and supervises plugins. Private."""
