"""Class names: how they are read and shown, and which of them mean the same."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_kd._common.checked_files import read_text
from keras_kd._common.text import quoted

_SAME = {
    "angry": ("anger",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "happy": ("happiness",),
    "sad": ("sadness",),
    "surprise": ("surprised",),
    "contempt": ("contemptuous",),
    "neutral": ("neutrality",),
}
LONGEST = 200
_SHOWN = 8  # names of classes in a sentence
_LEAST_DIFFERENT = 0.9  # of the names in a list of which some may be equal
_QUOTES = "\"'“”„‟‘’‚«»‹›"
# Between the labels of an image that has several.
_BETWEEN = re.compile(r"[\s,;|/+&'\"\[\]]+")
_NUMBERED = re.compile(r"(\d{1,6})\s*[\s:,;=]\s*(\S.*)")
# Whole numbers that were stored as floats, as 1.0, have no fraction.
_NUMBER = re.compile(r"[-+]?\d+([.,](0+|(?P<fraction>\d+)))?")
# What stands for no label, in lower case: of pandas, R, databases and spreadsheets, and in folders.
_NO_LABELS = (
    "nan", "none", "null", "na", "<na>", "n/a", "#n/a", "nil", "-", "?",
    "unannotated", "unassigned", "unlabeled", "unlabelled", "unsorted",
)  # fmt: skip
LABELS_FILE = "labels.txt"  # one name a line, beside images or a model
_CANONICAL = {other: name for name, others in _SAME.items() for other in others}


def plain(name: str) -> str:
    """Return a name as it is displayed.

    Args:
        name: a class name. File names of a Mac have decomposed letters.

    Returns:
        The name with composed letters and without surrounding blanks.
    """
    return unicodedata.normalize("NFC", name).strip()


def by_number(pairs: Iterable[tuple[int | str, str]]) -> list[str]:
    """Return names in the order of their numbers, as they are displayed.

    Args:
        pairs: number, from 0 or from 1, and name; the number may be text.

    Returns:
        The names.

    Raises:
        ValueError: the numbers are others.
    """
    names = list(pairs)
    found = {int(number): name for number, name in names}
    first = min(found, default=0)
    counted = range(first, first + len(names))
    if first not in (0, 1) or set(found) != set(counted):
        raise ValueError(f"its {len(names)} classes are not numbered from 0 to {len(names) - 1}")
    return [plain(found[number]) for number in counted]


def canonical(name: str) -> str:
    """Return the one name of a class, e.g. angry for anger and happy for Happiness.

    Args:
        name: a class name.

    Returns:
        The canonical name; any other name in lower case and without quotation marks around it.
    """
    lowered = plain(name).lower()
    lowered = lowered[1:-1].strip() if _is_quoted(lowered) else lowered
    return _CANONICAL.get(lowered, lowered)


def _is_quoted(name: str) -> bool:
    return len(name) > 2 and name[0] in _QUOTES and name[-1] in _QUOTES


def doubts(names: Sequence[str]) -> list[str]:
    """Say which class names mean the same and are different classes nevertheless, and which may
    mean none or several, or have quotation marks by mistake.

    Args:
        names: class names.

    Returns:
        One sentence for each meaning that several have, as Cat and cat, for each name such as nan,
            for the first of those made of others, as `cat,dog` beside `cat` and `dog`, for the
            first in quotation marks, and for numbers of which some have fractions.
    """
    means: dict[str, list[str]] = {}
    for name in names:
        means.setdefault(canonical(name), []).append(name)
    return [
        *(
            f"{' and '.join(same)} are different classes here"
            for same in means.values()
            if len(same) > 1
        ),
        *(
            f"the class {name} may stand for no label"
            for name in names
            if name.lower() in _NO_LABELS
        ),
        *(f"the class {name} may be several labels of one image" for name in _joined(names)[:1]),
        *[f"the class {name} has quotation marks" for name in names if _is_quoted(name)][:1],
        *[
            f"the {len(names)} classes are numbers with fractions, each a class of its own: values"
            " are not learnt from here"
        ]
        * _are_values(names),
    ]


def _are_values(names: Sequence[str]) -> bool:
    """Whether all are numbers, and some have fractions; `0,1` beside `0` and `1` is two labels."""
    if _joined(names):
        return False
    found = [_NUMBER.fullmatch(name) for name in names]
    return all(found) and any(number and number["fraction"] for number in found)


def _joined(names: Sequence[str]) -> list[str]:
    """Those made of two or more other names."""
    parts = {name: set(filter(None, _BETWEEN.split(name))) for name in names}
    known = set(names)
    return [name for name, own in parts.items() if len(own) > 1 and own <= known - {name}]


def are_expressions(names: Sequence[str]) -> bool:
    """Whether all classes are expressions of faces.

    Args:
        names: class names.

    Returns:
        True if every name is that of an expression.
    """
    return bool(names) and all(canonical(name) in _SAME for name in names)


def problem(names: Sequence[str]) -> str | None:
    """Describe what is wrong with the class names that a file states.

    Class names appear in tables, pages and code, where characters that are not printable could
    break lines or control a terminal.

    Args:
        names: class names.

    Returns:
        A description; None if all names are 1 to LONGEST printable characters.
    """
    bad = next(
        (name for name in names if not (1 <= len(name) <= LONGEST and name.isprintable())), None
    )
    return (
        None
        if bad is None
        else f"the class name {bad[:40]!r} is not 1 to {LONGEST} printable characters"
    )


def repeated(names: Sequence[str]) -> str | None:
    """Describe the first class name that a list states more than once.

    Args:
        names: class names.

    Returns:
        A description; None if all are different.
    """
    shown = [*map(plain, names)]
    twice = next((name for name in shown if shown.count(name) > 1), None)
    return None if twice is None else f"the class name {twice} stands {shown.count(twice)} times"


def are_mostly_different(names: Sequence[str]) -> bool:
    """Whether nine tenths or more of a list's names differ, so that equal ones may be meant.

    Args:
        names: class names; of ImageNet's 1,000 two pairs are equal.

    Returns:
        True or False.
    """
    return len(set(names)) >= _LEAST_DIFFERENT * len(names)


def numbered(names: Sequence[str], first: int = 0) -> str:
    """Return names with their numbers for a message: 0 angry, 1 disgust, ...

    Args:
        names: class names in order.
        first: the number of the first name.

    Returns:
        One line of text.
    """
    return ", ".join(f"{number} {name}" for number, name in enumerate(names, first))


def read(path: Path) -> list[str]:
    """Read the names in a labels.txt, one a line in the order of the class numbers.

    A byte-order mark, empty lines at the end and Windows' line ends are ignored. So are numbers
    before all names that count from 0 or 1 (`0 happy` of Teachable Machine, `0: happy`, `1,happy`),
    unless less than nine tenths of the names differ without them.

    Args:
        path: the file.

    Returns:
        The names in order.

    Raises:
        ValueError: the file is not text, or is too large.
        OSError: the file can't be read.
    """
    return parsed(read_text(path).splitlines())


def parsed(lines: Sequence[str]) -> list[str]:
    """Return the names in the lines of a labels.txt, as `read` does.

    Args:
        lines: the lines of the file.

    Returns:
        The names in order.
    """
    named = [plain(line) for line in lines]
    while named and not named[-1]:
        named.pop()
    numbered = [_NUMBERED.fullmatch(line) for line in named]
    if not named or not all(numbered):
        return named
    numbers, names = zip(*(match.groups() for match in numbered if match), strict=True)
    first = int(numbers[0])
    counted = first in (0, 1) and [*map(int, numbers)] == [*range(first, first + len(named))]
    # In `0 stars, 1 stars` the number is part of the name; of ImageNet's 1,000 names two are equal.
    return list(names) if counted and are_mostly_different(names) else named


def of_numbers(lines: Sequence[str], numbers: Sequence[str]) -> list[str]:
    """Return the names of classes that are numbers, where each line begins with its class's number,
    as `10 happy` for the class 10.

    Args:
        lines: as `parsed` returned them.
        numbers: the classes in their order.

    Returns:
        The names in that order, without the numbers unless two names are the same without; the
            lines as they are where their numbers are others.
    """
    found = {
        int(match[1]): (match[2], line) for line in lines if (match := _NUMBERED.fullmatch(line))
    }
    values = [*map(int, numbers)]
    if len(found) != len(lines) or sorted(found) != sorted(values):
        return list(lines)
    names = [found[value][0] for value in values]
    return names if len(set(names)) == len(names) else [found[value][1] for value in values]


def shortened(names: Sequence[str]) -> str:
    """Return the first names for a message, and how many there are besides.

    Args:
        names: class names.

    Returns:
        One line of text.
    """
    others = len(names) - _SHOWN
    return as_typed(names[:_SHOWN]) + f" and {others} more" * (others > 0)


def as_typed(names: Iterable[str]) -> str:
    """Return names in one line as `--classes` takes them, those with a comma in double quotes.

    Args:
        names: class names.

    Returns:
        One line of text.
    """
    return ", ".join(map(quoted, names))


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names by which all classes can be told apart, as keys of tables and JSON need.

    Args:
        names: class names in order, of which some may be equal.

    Returns:
        The names; equal ones with their class number, as `crane (134)`.
    """
    counts = Counter(names)
    return tuple(
        f"{name} ({number})" if counts[name] > 1 else name for number, name in enumerate(names)
    )
