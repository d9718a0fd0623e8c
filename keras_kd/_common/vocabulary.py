"""Words that options and data sets share; help shows them without importing NumPy."""

from __future__ import annotations

SPLITS = ("train", "validation", "test")
