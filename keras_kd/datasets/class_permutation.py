"""From one order of classes into another, for logits and labels, by the classes' names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_kd.datasets.class_names import are_mostly_different, canonical, distinct, shortened
from keras_kd.errors import ModelError


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
