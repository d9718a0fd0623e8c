"""Classes that are only numbers: their order, their names in labels.txt, and the numbers of known
data sets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from keras_kd._common.text import plain_reason
from keras_kd.datasets import class_names
from keras_kd.datasets.readers import _affectnet, _fer2013_csv, ferplus, rafdb
from keras_kd.errors import DataError

# Name of the data set, its first number, the classes from there on.
KNOWN = (
    ("FER2013", 0, _fer2013_csv.CLASS_NAMES),
    ("FER+", 0, ferplus.CLASS_NAMES),
    ("RAF-DB", 1, rafdb.CLASS_NAMES),
    ("AffectNet", 0, _affectnet.CLASS_NAMES),
)

_DIGITS = 200  # as many as a class name may have letters


def offered(numbers: Collection[int]) -> str:
    """Say which known data sets number their classes exactly so; "" where none does."""
    return "; ".join(
        f"{name} numbers {class_names.numbered(classes, first)}"
        for name, first, classes in KNOWN
        if set(numbers) == set(range(first, first + len(classes)))
    )


def are_numbers(labels: Collection[str]) -> bool:
    """Whether all labels are whole numbers; of thousands of digits Python makes none."""
    return all(label.isdecimal() and len(label) <= _DIGITS for label in labels)


def ordered(labels: Collection[str]) -> list[str]:
    """Return labels by their number if all are numbers, else in the alphabet's order."""
    numbers = are_numbers(labels)
    # 01 and 1 are one number and two labels.
    return sorted(labels, key=lambda label: (int(label), label) if numbers else (0, label))


def read_names(file: Path) -> list[str]:
    """Return the names in a labels.txt, one a line.

    Raises:
        DataError: it is not text.
    """
    try:
        return class_names.read(file)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{file} can't be read as text ({plain_reason(error)}): write one class name a line."
        ) from error


def checked(names: Sequence[str], place: Path) -> tuple[str, ...]:
    """Return class names as they are displayed.

    Args:
        names: the names in the order of the class numbers.
        place: of the data set, for errors.

    Raises:
        DataError: a name can't be displayed, or stands twice.
    """
    if wrong := class_names.problem(names) or class_names.repeated(names):
        raise DataError(f"In {place} {wrong}: rename the class.")
    return tuple(map(class_names.plain, names))


def names_of(numbers: Sequence[str], file: Path) -> list[str]:
    """Return the names in a labels.txt of classes that are numbers: each by the number before it,
    if these are the classes', else in the order of the lines. Equal ones get their number.

    Args:
        numbers: the numbers in their order.
        file: the labels.txt.

    Raises:
        DataError: it is not text, or has not one name for each number.
    """
    names = read_names(file)
    if len(names) != len(numbers):
        raise DataError(
            f"{file} has {len(names)} lines, not a name for each of the {len(numbers)} classes"
            f" {', '.join(numbers[:12])}: write one name a line, in this order."
        )
    return [*class_names.distinct(class_names.of_numbers(names, numbers))]


def remark(numbers: Collection[str], beside: str) -> str:
    """Say that classes are numbers, where their names belong, and which data sets number so."""
    values = [*map(int, numbers)]
    known = offered(values)
    same = [number for number in numbers if values.count(int(number)) > 1]
    alike = f"; {' and '.join(same)} are different classes here" if same else ""
    return (
        f"the classes are numbers; write their names to {class_names.LABELS_FILE} beside the"
        f" {beside}, one a line{known and '; '}{known}{alike}"
    )
