"""The three splits of a data set, and what of them is learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from keras_kd import datasets
from keras_kd._common.arrays import fingerprint
from keras_kd.datasets import Samples
from keras_kd.errors import ConfigError

# Of a data set: (train, validation, test) -> by name a mask of validation and one of test.
Subsets = Callable[[Samples, Samples, Samples], Mapping[str, tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Data:
    """The three splits of a data set and what tells them apart from any other.

    Attributes:
        name: of the data set: that of its folder or file where its form has none.
        train: what training sees.
        validation: what chooses the epoch.
        test: what is scored at the end.
        passed_over: a line for each kind of thing that was not read, or read by a guess.
        folder: the name of a folder that is no known data set; "" for others.
        subsets: named test sets that the field reports, as masks of validation and test; None
            where there are none.
    """

    name: str
    train: Samples
    validation: Samples
    test: Samples
    subsets: Subsets | None = None
    passed_over: tuple[str, ...] = ()
    folder: str = ""

    @property
    def called(self) -> str:
        """The data set's name for people: that of its folder where the form has no own."""
        return self.folder or self.name

    @cached_property
    def fingerprint(self) -> str:
        """Of what training sees: images, labels and values of the train and validation splits."""
        parts: list[Any] = list(self.train.class_names)
        for split in (self.train, self.validation):
            parts += [split.images, split.labels, *(split.values or {}).values()]
        return fingerprint(parts)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.train.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train.images.shape[1:]

    @property
    def value_names(self) -> tuple[str, ...]:
        return tuple(self.train.values or ())

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and class."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: dict(
                zip(
                    self.class_names,
                    np.bincount(split.hard_labels, minlength=len(self.class_names)).tolist(),
                    strict=True,
                )
            )
            for name, split in splits.items()
        }


def load(path_or_name: str, skip_bad_rows: bool = False, size: int | None = None) -> Data:
    """Load all splits of a data set, see `datasets.load`."""
    module, path = datasets.find(path_or_name)
    found = datasets.load_found(module, path, datasets.SPLITS, skip_bad_rows, size)
    train, validation, test = (found[split] for split in datasets.SPLITS)
    form, folder = form_and_folder(module, path)
    notes = datasets.passed_over_found(module, path)
    subsets = getattr(module, "subsets", None)
    return Data(form, train, validation, test, subsets, notes, folder)


def form_and_folder(module: ModuleType, path: Path | None) -> tuple[str, str]:
    """Return the name of a data set's form, and of the folder that it is called by or "", of what
    `datasets.find` returned.
    """
    form = module.__name__.rpartition(".")[2]
    return form, path.resolve().name if form == "folder" and path else ""


@dataclass(frozen=True)
class Heads:
    """What of a data set a model learns.

    Attributes:
        label: name of the classes' head, or None where only values are learnt.
        class_names: of that head; empty without it.
        values: names of continuous values.
    """

    label: str | None
    class_names: tuple[str, ...]
    values: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Whether there are classes alone: then models have one output without a name, and y is an
        array.
        """
        return not self.values

    @property
    def widths(self) -> dict[str, int | None]:
        """By name the number of classes, or None for a value, as `models.build` takes them."""
        classes: dict[str, int | None] = {self.label: len(self.class_names)} if self.label else {}
        return classes | dict.fromkeys(self.values)

    @property
    def named(self) -> dict[str, int | None] | None:
        """The widths of a model with named outputs, or None for the one output without a name."""
        return None if self.single else self.widths

    @property
    def asked(self) -> int | dict[str, int | None]:
        """What a model is asked for: the number of classes, or the widths by name."""
        return len(self.class_names) if self.single else self.widths

    def shared(self, class_names: tuple[str, ...], values: tuple[str, ...]) -> bool:
        """Whether a teacher of these outputs teaches any head."""
        return bool(self.label and class_names) or any(name in values for name in self.values)

    def targets(self, samples: Samples) -> Any:
        """What `Distiller` takes as labels."""
        if self.single:
            return samples.labels
        labels = {self.label: samples.labels} if self.label else {}
        return labels | {name: samples.values[name] for name in self.values}

    def teacher(
        self, stored: np.ndarray, class_names: tuple[str, ...], values: tuple[str, ...]
    ) -> Any:
        """What `Distiller` takes as the teacher's outputs, of a store's columns (images, views,
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
    """The heads asked for by name, or the classes and those values that teacher and data have in
    common.

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
            f"heads must be of {', '.join(available)}, what {data.name} has. Received:"
            f" heads={','.join(wanted)!r}."
        )
    label = available[0] if available[0] in wanted else None
    return Heads(
        label,
        data.class_names if label else (),
        tuple(name for name in data.value_names if name in wanted),
    )
