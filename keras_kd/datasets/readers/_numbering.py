"""The numbers that known data sets give to their classes, for messages about labels that are only
numbers.
"""

from __future__ import annotations

from collections.abc import Collection

from keras_kd.datasets import class_names
from keras_kd.datasets.readers import _affectnet, _fer2013_csv, ferplus, rafdb

# Name of the data set, its first number, the classes from there on.
KNOWN = (
    ("FER2013", 0, _fer2013_csv.CLASS_NAMES),
    ("FER+", 0, ferplus.CLASS_NAMES),
    ("RAF-DB", 1, rafdb.CLASS_NAMES),
    ("AffectNet", 0, _affectnet.CLASS_NAMES),
)


def offered(numbers: Collection[int]) -> str:
    """Say which known data sets number their classes exactly so; "" where none does."""
    return "; ".join(
        f"{name} numbers {class_names.numbered(classes, first)}"
        for name, first, classes in KNOWN
        if set(numbers) == set(range(first, first + len(classes)))
    )
