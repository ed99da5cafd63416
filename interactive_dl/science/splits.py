"""Which samples of a generator a split has: those from a number on, far from any other split's."""

from __future__ import annotations

SPLIT_START = {"train": 0, "val": 1 << 40, "test": 1 << 41}
"""Number of the first sample, by split."""
