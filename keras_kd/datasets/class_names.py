"""Class names: which names mean the same, and how to reorder logits from one order to another."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
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
_SHOWN = 8  # names of classes in a sentence
_LEAST_DIFFERENT = 0.9  # of the names in a list of which some may be equal
_QUOTES = "\"'“”„‟‘’‚«»‹›"
# Between the labels of an image that has several.
_BETWEEN = re.compile(r"[\s,;|/+&'\"\[\]]+")
_NUMBERED = re.compile(r"(\d{1,6})\s*[\s:,;=]\s*(\S.*)")
# What stands for no label in some tables, in lower case: of pandas, R, databases and spreadsheets.
_NO_LABELS = ("nan", "none", "null", "na", "<na>", "n/a", "#n/a", "nil", "-", "?")
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
            for the first of those made of others, as `cat,dog` beside `cat` and `dog`, and for the
            first in quotation marks.
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


def permutation(source_names: Sequence[str], target_names: Sequence[str]) -> np.ndarray:
    """Return the columns that bring logits from one order of classes into another.

    Args:
        source_names: class names in the order of the logits.
        target_names: class names in the wanted order.

    Returns:
        int64 (classes,), such that `logits[:, permutation]` is in the order of `target_names`.

    Raises:
        ModelError: as of `columns`, or the logits are of other classes besides.
    """
    found = columns(source_names, target_names)
    others = np.setdiff1d(np.arange(len(source_names)), found)
    if len(others):
        extra = [distinct(source_names)[number] for number in others]
        raise ModelError(_different([], extra, source_names, target_names))
    return found


def columns(source_names: Sequence[str], target_names: Sequence[str]) -> np.ndarray:
    """Return the columns of logits that are those of some classes.

    Names that mean the same, as anger and angry, are one class, unless both sides have both. Equal
    names are told apart by their class number (`distinct`), so that lists with equal names fit
    where they are the same, or where all wanted classes stand one after the other in the other
    list, as ImageNet's 1,000 behind a class for the background.

    Args:
        source_names: class names in the order of the logits.
        target_names: the wanted classes in their order; the logits may be of others besides.

    Returns:
        int64 (wanted classes,), such that `logits[:, columns]` is in the order of `target_names`.

    Raises:
        ModelError: the logits lack a wanted class, or several of them have names that mean it.
    """
    source_names, target_names = distinct(source_names), distinct(target_names)
    if (start := _start(source_names, target_names)) is not None:
        return np.arange(start, start + len(target_names))
    source, target = _places(source_names), _places(target_names)
    missing = [name for name in target if name not in source]
    if missing:
        extra = [name for name in source if name not in target]
        raise ModelError(_different(missing, extra, source_names, target_names))
    found = np.empty(len(target_names), np.int64)
    for name, places in target.items():
        found[places] = _matched(name, source[name], places, source_names, target_names)
    return found


def _start(source_names: Sequence[str], target_names: Sequence[str]) -> int | None:
    """The only place from which the source has all wanted classes in their order, where some of
    these have equal names; else None.
    """
    source, target = _without_numbers(source_names), _without_numbers(target_names)
    count = len(target)
    if len(set(target)) == count or not are_mostly_different(target):
        return None
    starts = [n for n in range(len(source) - count + 1) if source[n : n + count] == target]
    return starts[0] if len(starts) == 1 else None


def _without_numbers(names: Sequence[str]) -> list[str]:
    """Canonical names as they were before `distinct`."""
    return [canonical(name.removesuffix(f" ({number})")) for number, name in enumerate(names)]


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    """The numbers of the classes by the name that they have in common."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(canonical(name), []).append(number)
    return found


def _matched(
    name: str,
    source: list[int],
    target: list[int],
    source_names: Sequence[str],
    target_names: Sequence[str],
) -> list[int]:
    """The place in the source of each class of one meaning."""
    if len(source) == len(target) == 1:
        return source
    # Names that mean the same elsewhere, `A` and `a`, differ if both sides have both.
    exact = {source_names[number]: number for number in source}
    wanted = [target_names[number] for number in target]
    if exact.keys() != set(wanted):
        several = source_names if len(source) > 1 else target_names
        raise ModelError(
            f"{name} stands more than once in the classes {shortened(several)}: name each once."
        )
    return [exact[one] for one in wanted]


def shortened(names: Sequence[str]) -> str:
    """Return the first names for a message, and how many there are besides.

    Args:
        names: class names.

    Returns:
        One line of text.
    """
    others = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + f" and {others} more" * (others > 0)


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


def in_model_order(
    labels: np.ndarray, data_names: Sequence[str], model_names: Sequence[str]
) -> np.ndarray:
    """Return the labels of a data set by a model's order of classes.

    Args:
        labels: int (N,), numbers of `data_names`, or shares, float (N, data's classes).
        data_names: class names in the data's order.
        model_names: class names in the model's order, which may be more.

    Returns:
        Labels by `model_names`, int (N,) or float (N, model's classes); classes that the data lack
            have no share.

    Raises:
        ModelError: as of `columns`.
    """
    places = columns(model_names, data_names)
    if labels.ndim == 1:
        return places[labels]
    shares = np.zeros((len(labels), len(model_names)), labels.dtype)
    shares[:, places] = labels
    return shares


def _different(
    missing: Sequence[str],
    extra: Sequence[str],
    source_names: Sequence[str],
    target_names: Sequence[str],
) -> str:
    differences = [f"lacks {shortened(missing)}"] * bool(missing)
    differences += [f"has {shortened(extra)} besides"] * bool(extra)
    return (
        "The model and the data have different classes: the model"
        f" {' and '.join(differences)}; use a model trained on {shortened(target_names)}, or data"
        f" with {shortened(source_names)}."
    )
