"""Class names: which names mean the same, and how to reorder logits from one order to another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_kd._common.checked_files import read_text
from keras_kd.errors import ModelError

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
# Between the labels of an image that has several.
_BETWEEN = re.compile(r"[\s,;|/+&'\"\[\]]+")
_NUMBERED = re.compile(r"(\d{1,6})\s*[\s:,;=]\s*(\S.*)")
# What stands for no label in some tables.
_NO_LABELS = ("nan", "NaN", "None", "null", "NULL", "NA", "N/A")
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
        The canonical name; any other name in lower case.
    """
    lowered = plain(name).lower()
    return _CANONICAL.get(lowered, lowered)


def doubts(names: Sequence[str]) -> list[str]:
    """Say which class names mean the same and are different classes nevertheless, and which may
    mean none or several.

    Args:
        names: class names.

    Returns:
        One sentence for each meaning that several have, as Cat and cat, for each name such as nan,
            and for the first of those made of others, as `cat,dog` beside `cat` and `dog`.
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
        *(f"the class {name} may stand for no label" for name in names if name in _NO_LABELS),
        *(f"the class {name} may be several labels of one image" for name in _joined(names)[:1]),
    ]


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
    before all names that count from 0 or 1 (`0 happy` of Teachable Machine, `0: happy`, `1,happy`).

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
    # In `0 stars, 1 stars` the number is part of the name.
    return list(names) if counted and len(set(names)) == len(names) else named


def permutation(source_names: Sequence[str], target_names: Sequence[str]) -> np.ndarray:
    """Return the columns that bring logits from one order of classes into another.

    Args:
        source_names: class names in the order of the logits.
        target_names: class names in the wanted order.

    Returns:
        int64 (classes,), such that `logits[:, permutation]` is in the order of `target_names`.

    Raises:
        ModelError: a name occurs twice in one order, or the two orders hold different classes.
    """
    # Names that mean the same elsewhere, `A` and `a`, differ if both sides have both.
    same = len(set(source_names)) == len(source_names) and set(source_names) == set(target_names)
    source, target = (
        list(names) if same else _unique(names) for names in (source_names, target_names)
    )
    missing = [name for name in target if name not in source]
    extra = [name for name in source if name not in target]
    if missing or extra:
        differences = [f"lacks {', '.join(missing)}"] * bool(missing)
        differences += [f"has {', '.join(extra)} besides"] * bool(extra)
        raise ModelError(
            "The model and the data have different classes: the model"
            f" {' and '.join(differences)}; use a model trained on {', '.join(target)}, or data"
            f" with {', '.join(source)}."
        )
    return np.array([source.index(name) for name in target], np.int64)


def in_model_order(
    labels: np.ndarray, data_names: Sequence[str], model_names: Sequence[str]
) -> np.ndarray:
    """Return the labels of a data set by a model's order of classes.

    Args:
        labels: int (N,), numbers of `data_names`, or shares, float (N, classes).
        data_names: class names in the data's order.
        model_names: the same classes in the model's order.

    Returns:
        Labels of the same shape, by `model_names`.

    Raises:
        ModelError: as of `permutation`.
    """
    places = permutation(model_names, data_names)
    # argsort inverts a permutation: labels are renumbered, shares are reordered.
    return places[labels] if labels.ndim == 1 else labels[:, np.argsort(places)]


def _unique(names: Sequence[str]) -> list[str]:
    unified = [canonical(name) for name in names]
    repeated = sorted({name for name in unified if unified.count(name) > 1})
    if repeated:
        raise ModelError(
            f"{', '.join(repeated)} stands more than once in the classes {', '.join(names)}: name"
            " each once."
        )
    return unified
