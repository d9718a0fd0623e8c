"""The three splits of a data set, and the heads that a model learns from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_kd import datasets
from keras_kd._common.arrays import fingerprint, row_fingerprints
from keras_kd._common.text import encodable
from keras_kd.datasets import Samples
from keras_kd.datasets.duplicates import Looks
from keras_kd.datasets.images import Size
from keras_kd.datasets.sharded import Shards
from keras_kd.errors import ConfigError

# A data set's function of (train, validation, test): by name, masks of validation and test.
Subsets = Callable[[Samples, Samples, Samples], Mapping[str, tuple[np.ndarray, np.ndarray]]]
OF_TEST = "the test images or their labels"  # the only one of `Data.facts` that no training sees


@dataclass(frozen=True)
class Data:
    """The three splits of a data set and its identity.

    Attributes:
        name: name of the data set, or of its folder or file if its form has no name.
        train: the images of training.
        validation: the images that choose the best epoch.
        test: the images that are scored at the end.
        passed_over: one line for each kind of file that was not read, or read by a guess.
        folder: the name of a folder that is not a known data set; "" for others.
        shards: the training images where they stay on disk, of which `train` is then a sample;
            None where `train` is all of them.
        subsets: named test sets that the field reports, as masks of validation and test rows; None
            if there are none.
    """

    name: str
    train: Samples
    validation: Samples
    test: Samples
    subsets: Subsets | None = None
    passed_over: tuple[str, ...] = ()
    folder: str = ""
    shards: Shards | None = None

    @property
    def called(self) -> str:
        """The data set's name for people: that of its folder if its form has no name."""
        return encodable(self.folder or self.name)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the images, labels and values of the train and validation splits."""
        parts: list[Any] = list(self.train.class_names)
        if self.shards:
            parts.append(self.shards.fingerprint)
        for split in (self.validation,) if self.shards else (self.train, self.validation):
            parts += [split.images, split.labels, *(split.values or {}).values()]
        return fingerprint(parts)

    def facts(self) -> dict[str, str]:
        """Return fingerprints of the splits by what they are of. Each but the first, and the last
        one of the test split alone, holds those before it.

        Images are compared whatever their order on disk is, and labels image by image, so that
        classes whose folders were exchanged are other labels and not other images.
        """
        names = list(self.class_names)
        order = {"the order of classes": fingerprint(names)}
        tested = {OF_TEST: fingerprint([*names, *self._rows(self.test)])}
        if self.shards:
            return order | {"the shards or their images": self.fingerprint} | tested
        images, *labels = self._rows(self.train, self.validation)
        learnt = {
            "the images": fingerprint([*names, images]),
            "the labels": fingerprint([*names, images, *labels]),
            "the order or the splits of the images": self.fingerprint,
        }
        return order | learnt | tested

    def _rows(self, *parts: Samples) -> list[np.ndarray]:
        """Fingerprints of each image in their own order, then the labels and each value of the
        first part by it.
        """
        rows = np.concatenate([row_fingerprints(part.images) for part in parts])
        order = np.argsort(rows, kind="stable")
        labels = [np.concatenate([part.labels for part in parts])]
        names = parts[0].values or ()
        labels += [np.concatenate([part.values[name] for part in parts]) for name in names]
        return [column[order] for column in (rows, *labels)]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, in the order of the class numbers."""
        return self.train.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self.train.images.shape[1:]

    @property
    def value_names(self) -> tuple[str, ...]:
        """The names of the continuous values."""
        return tuple(self.train.values or ())

    def counts(self) -> dict[str, dict[str, int]]:
        """The number of images by split and class."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        counted = {
            name: np.bincount(split.hard_labels, minlength=len(self.class_names))
            for name, split in splits.items()
        }
        if self.shards:
            counted["train"] = self.shards.counts
        return {
            name: dict(zip(self.class_names, counts.tolist(), strict=True))
            for name, counts in counted.items()
        }

    def scored_copies(self) -> dict[str, int]:
        """The number of scored images with exactly the pixels of a training image, by split; of
        shards those that the sample shows.
        """
        return self._scored(Looks.copies_of)

    def scored_near_copies(self) -> dict[str, int]:
        """The number of scored images that look almost like a training image, exact copies and
        blank ones left out, by split. See `duplicates`.
        """
        return self._scored(Looks.near_copies_of)

    def _scored(self, repeated: Callable[[Looks, Looks], np.ndarray]) -> dict[str, int]:
        train = self._looks["train"]
        return {name: int(repeated(self._looks[name], train).sum()) for name in datasets.SPLITS[1:]}

    @cached_property
    def _looks(self) -> dict[str, Looks]:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: Looks(samples.images) for name, samples in splits.items()}

    @property
    def training_images(self) -> int:
        """The number of training images, wherever they are."""
        return len(self.shards) if self.shards else len(self.train)


def load(path_or_name: str, skip_bad_rows: bool = False, size: Size | None = None) -> Data:
    """Load all splits of a data set.

    Args:
        path_or_name: as for `datasets.load`.
        skip_bad_rows: as for `datasets.load`.
        size: as for `datasets.load`.

    Returns:
        The three splits.

    Raises:
        DataError: as for `datasets.load`.
    """
    source = datasets.DataSet(path_or_name, skip_bad_rows)
    shards = source.shards(size)
    found = source.load(datasets.SPLITS[1:] if shards else datasets.SPLITS, size)
    return Data(
        source.form,
        shards["train"].sample() if shards else found["train"],
        found["validation"],
        found["test"],
        getattr(source.module, "subsets", None),
        source.notes,
        source.folder,
        shards["train"] if shards else None,
    )


@dataclass(frozen=True)
class Heads:
    """The targets of a data set that a model learns.

    Attributes:
        label: name of the classes' head; None if only values are learnt.
        class_names: names of that head's classes; empty without it.
        values: names of the continuous values.
    """

    label: str | None
    class_names: tuple[str, ...]
    values: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Whether there are only classes. Models then have one output without a name, and y is an
        array.
        """
        return not self.values

    @property
    def widths(self) -> dict[str, int | None]:
        """The number of classes by head, or None for a value, as `models.build` expects them."""
        classes: dict[str, int | None] = {self.label: len(self.class_names)} if self.label else {}
        return classes | dict.fromkeys(self.values)

    @property
    def named(self) -> dict[str, int | None] | None:
        """The widths of a model with named outputs; None for one output without a name."""
        return None if self.single else self.widths

    @property
    def asked(self) -> int | dict[str, int | None]:
        """What a model is built for: the number of classes, or the widths by name."""
        return len(self.class_names) if self.single else self.widths

    def shared(self, class_names: tuple[str, ...], values: tuple[str, ...]) -> bool:
        """Whether a teacher with these classes and values teaches any head."""
        return bool(self.label and class_names) or any(name in values for name in self.values)

    def targets(self, samples: Samples) -> Any:
        """Return the labels as `Distiller` expects them."""
        if self.single:
            return samples.labels
        labels = {self.label: samples.labels} if self.label else {}
        return labels | {name: samples.values[name] for name in self.values}

    def teacher(
        self, stored: np.ndarray, class_names: tuple[str, ...], values: tuple[str, ...]
    ) -> Any:
        """Return the teacher's outputs as `Distiller` expects them, from a store's (images, views,
        columns).
        """
        if self.single:
            return stored[..., : len(class_names)]
        columns = (
            {self.label: stored[..., : len(class_names)]} if self.label and class_names else {}
        )
        shared = [name for name in self.values if name in values]
        return columns | {
            name: stored[..., len(class_names) + values.index(name)] for name in shared
        }


def chosen(asked: tuple[str, ...] | None, data: Data, of_teacher: tuple[str, ...]) -> Heads:
    """Choose the heads to learn.

    Args:
        asked: names that the user gave, or None.
        data: the data set.
        of_teacher: names of the teacher's heads.

    Returns:
        The heads of the given names; else the classes, and the values that teacher and data share.

    Raises:
        ConfigError: the data has no such head.
    """
    available = (data.train.label_name, *data.value_names)
    wanted = (
        asked
        if asked
        else [available[0], *(name for name in data.value_names if name in of_teacher)]
    )
    unknown = [name for name in wanted if name not in available]
    if unknown:
        raise ConfigError(
            f"heads must be among those of {data.name}, {', '.join(available)}. Received:"
            f" heads={','.join(wanted)!r}."
        )
    label = available[0] if available[0] in wanted else None
    return Heads(
        label,
        data.class_names if label else (),
        tuple(name for name in data.value_names if name in wanted),
    )
