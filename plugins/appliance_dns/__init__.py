"""Answers the pool's names with healthy members only."""
