"""The numbers that known data sets give to their classes, for messages about labels that are only
numbers.
"""

from __future__ import annotations

from collections.abc import Collection

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
    found = []
    for name, first, classes in KNOWN:
        if set(numbers) == set(range(first, first + len(classes))):
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(classes, first))
            found.append(f"{name} numbers {listed}")
    return "; ".join(found)


def of(data_set: str) -> str:
    """Say how a known data set numbers its classes."""
    name, first, classes = next(row for row in KNOWN if row[0] == data_set)
    return f"{name} numbers {', '.join(f'{number} {label}' for number, label in enumerate(classes, first))}"
