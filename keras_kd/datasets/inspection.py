"""A report on a data set and its faults, to be read before training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from keras_kd import datasets
from keras_kd.datasets import SPLITS, Samples, decoding
from keras_kd.datasets.duplicates import Looks


@dataclass(frozen=True)
class _Split:
    """What is reported of a split."""

    looks: Looks
    labels: np.ndarray
    class_names: tuple[str, ...]
    soft: bool
    channels: int
    sizes: Counter[str]
    skipped: tuple[str, ...]

    def counts(self) -> list[int]:
        return np.bincount(self.labels, minlength=len(self.class_names)).tolist()


def inspect(path_or_name: str | Path, skip_bad_rows: bool = False) -> dict:
    """Read every split of a data set and describe it in terms that JSON can hold.

    Copies are images with exactly the same pixels at the 64x64 pixels of training. On FER2013 these
    are the same images as at its own 48x48.

    Args:
        path_or_name: as for `datasets.load`.
        skip_bad_rows: leave out unreadable rows and list them, instead of raising.

    Returns:
        data: the argument.
        data_set: the name of the module that reads it.
        class_names: in the order of the class numbers.
        channels: 1 (gray) or 3 (RGB).
        soft_labels: whether labels are shares of votes; the counts are then of the classes with
            most votes.
        sizes: number of images by their size on disk, as "width x height", the most frequent first.
        splits: for each split `images`, `classes` (images by class name), `blank` (images whose
            pixels are all equal) and `copies` (images that repeat an earlier one of the same
            split).
        copies_across: for each pair of splits "later of earlier", the number of images of the later
            one that are also in the earlier.
        near_copies_across: likewise, of those that are not, the number that look almost like one of
            the earlier, see `duplicates`; blank images are not counted.
        contradictions: `groups` of images with the same pixels but different classes, and the
            number of `images` in them.
        published: None if no counts are published, else `equal` and `differences` (a sentence
            each).
        traits: number of images by what is done with them, see `decoding.traits`.
        passed_over: one line for each kind of file that is not read, see `datasets.passed_over`.
        skipped: one line for every row or file left out; only with `skip_bad_rows`.

    Raises:
        DataError: the data is missing or, without `skip_bad_rows`, broken. The message names file
            and row.
    """
    source = datasets.DataSet(path_or_name, skip_bad_rows)
    splits = {name: _examined(samples) for name, samples in source.load(SPLITS).items()}
    first = splits["train"]
    return {
        "data": str(path_or_name),
        "data_set": source.form,
        "class_names": list(first.class_names),
        "channels": first.channels,
        "soft_labels": first.soft,
        "sizes": dict(sum((split.sizes for split in splits.values()), Counter()).most_common()),
        "splits": {name: _described(split) for name, split in splits.items()},
        "copies_across": _across(splits, Looks.copies_of),
        "near_copies_across": _across(splits, Looks.near_copies_of),
        "contradictions": _contradictions(splits.values()),
        "published": _compared(source.module, splits),
        "traits": dict(
            Counter(trait for file in source.sources() for trait in decoding.traits(file))
        ),
        "passed_over": [*source.notes],
        "skipped": [line for split in splits.values() for line in split.skipped],
    }


def _examined(samples: Samples) -> _Split:
    height, width = samples.images.shape[1:3]
    sizes = np.full((len(samples), 2), (height, width)) if samples.sizes is None else samples.sizes
    return _Split(
        looks=Looks(samples.images),
        labels=samples.hard_labels,
        class_names=samples.class_names,
        soft=samples.labels.ndim == 2,
        channels=samples.images.shape[3],
        sizes=Counter(f"{width}x{height}" for height, width in sizes.tolist()),
        skipped=samples.skipped,
    )


def _described(split: _Split) -> dict:
    return {
        "images": len(split.labels),
        "classes": dict(zip(split.class_names, split.counts(), strict=True)),
        "blank": int(split.looks.blank.sum()),
        "copies": len(split.looks.digests) - len(set(split.looks.digests)),
    }


def _across(
    splits: Mapping[str, _Split], repeated: Callable[[Looks, Looks], np.ndarray]
) -> dict[str, int]:
    """How many images of the later split of each pair are repeated from the earlier."""
    return {
        f"{later} of {earlier}": int(repeated(splits[later].looks, splits[earlier].looks).sum())
        for number, earlier in enumerate(SPLITS)
        for later in SPLITS[number + 1 :]
    }


def _contradictions(splits: Iterable[_Split]) -> dict[str, int]:
    labels = defaultdict(list)
    for split in splits:
        for digest, label in zip(split.looks.digests, split.labels.tolist(), strict=True):
            labels[digest].append(label)
    groups = [group for group in labels.values() if len(set(group)) > 1]
    return {"groups": len(groups), "images": sum(map(len, groups))}


def _compared(module: ModuleType, splits: Mapping[str, _Split]) -> dict | None:
    """Compare with the module's COUNTS; without a published validation split it belongs to
    train.
    """
    published = getattr(module, "COUNTS", None)
    if published is None:
        return None
    found = {name: np.array(splits[name].counts()) for name in SPLITS}
    if "validation" not in published:
        found["train"] += found["validation"]
    differences = [
        f"{split} {name}: {count} images, published are {expected}"
        for split, row in published.items()
        for name, count, expected in zip(
            module.CLASS_NAMES, found[split].tolist(), row, strict=True
        )
        if count != expected
    ]
    return {"equal": not differences, "differences": differences}
