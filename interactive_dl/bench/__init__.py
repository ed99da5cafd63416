"""Runs that show what the package does: the demo of ``make demo``."""
