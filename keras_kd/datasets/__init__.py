"""Labelled images from the forms they have on disk; one module a data set in `readers`, found by
its name.

A data set's module has a docstring whose first paragraph says what it is and which forms it has on
disk, for help and the README; and

    matches(path) -> bool                       whether the file or folder looks like this data set
    SIZE                                        height and width of the images, where none is
                                                asked for
    load(path, split, skip_bad_rows, size) -> Samples
                                                size: the side of a square, or (height, width)
    load_splits(path, splits, skip_bad_rows, size) (optional)
                                                {split: Samples}, where one file or listing has
                                                several;
                                                `load` is then
                                                `_splitting.one_split(load_splits, SIZE)`
    sources(path) (optional)                    the files that `load` reads
    shards(path, skip_bad_rows, size) (optional)
                                                {split: sharded.Shards}, of training images that
                                                stay where they are
    remarks(path) (optional)                    sentences on what was taken to be what
    COUNTS (optional)                           published images per split and class, checked by
                                                `inspect`; without "validation" those of "train"
                                                include what is held out of it
    subsets(train, validation, test) (optional) named test sets that the field reports, as masks

`path` is a file or folder, `split` one of "train", "validation" and "test". `skip_bad_rows` leaves
out unreadable rows and lists them in `Samples.skipped`, instead of raising. `size` is that of the
images in pixels. DataError: the data is missing or broken; the message names the file and the row.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from keras_kd._common.modules import module as named_module
from keras_kd._common.modules import module_names
from keras_kd._common.modules import summaries as module_summaries
from keras_kd._common.paths import advice
from keras_kd._common.system_errors import reading_error
from keras_kd._common.text import encodable, printable, sides
from keras_kd._common.vocabulary import SPLITS as SPLITS
from keras_kd.datasets import _labels, readers
from keras_kd.datasets.images import Size, height_width
from keras_kd.errors import DataError

if TYPE_CHECKING:
    from keras_kd.datasets.sharded import Shards

ENTRY_POINTS = "keras_kd.datasets"  # of other packages, each a module as above
SIZE = 64
_LOOKED_AT = 20  # files and folders in one that has no known form
DRAWN = "faces"  # the data set that needs no path
# Patterns of shards. In the names of other files, ? and [ stand for themselves.
_PATTERN = re.compile(r"\*|[?\[].*\.(tar|tfrec|parquet)")


@dataclass(frozen=True)
class Samples:
    """Images with their labels; row i of every field belongs to the same image.

    Attributes:
        images: uint8 (N, H, W, C); C is 1 (gray) or 3 (RGB).
        labels: int64 (N,) class numbers, or float32 (N, classes) shares of votes that sum to 1.
        class_names: the name of each class number.
        values: continuous targets by name, each float32 (N,), e.g. valence and arousal in -1..1,
            and NaN where unknown; None if there are none.
        skipped: one line for every row left out by `skip_bad_rows`.
        sizes: int64 (N, 2), height and width on disk before resizing; None for drawn images.
        label_name: the name of the classes' head in a model with several heads.

    Raises:
        DataError: a class number has no name, or there are shares of another number of classes.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    values: dict[str, np.ndarray] | None = None
    skipped: tuple[str, ...] = ()
    sizes: np.ndarray | None = None
    label_name: str = "label"

    def __post_init__(self) -> None:
        _labels.require_named(np.asarray(self.labels), len(self.class_names))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        """One line: how many images of which shape, and what is known of them."""
        shape = sides(self.images.shape[1:])
        classes = f"{len(self.class_names)} classes ({', '.join(self.class_names)})"
        values = f", values {', '.join(self.values)}" if self.values else ""
        return f"<Samples: {len(self):,} images {shape}, {classes}{values}>"

    @property
    def hard_labels(self) -> np.ndarray:
        """The class numbers, int64 (N,); for shares of votes, the class with most votes."""
        return self.labels if self.labels.ndim == 1 else self.labels.argmax(axis=1)

    def among(self, class_names: tuple[str, ...]) -> Samples:
        """The same samples where there are more classes, of which they have no images.

        Args:
            class_names: the samples' own classes first, then the others.

        Returns:
            The samples; shares of votes have a column of 0 for each other class.
        """
        more = len(class_names) - len(self.class_names)
        labels = self.labels if self.labels.ndim == 1 else np.pad(self.labels, ((0, 0), (0, more)))
        return replace(self, labels=labels, class_names=class_names)

    def __getitem__(self, rows: slice | np.ndarray) -> Samples:
        """The samples of some rows, in their order."""
        values = self.values and {name: column[rows] for name, column in self.values.items()}
        sizes = self.sizes if self.sizes is None else self.sizes[rows]
        images, labels = self.images[rows], self.labels[rows]
        return replace(self, images=images, labels=labels, values=values, skipped=(), sizes=sizes)


def names() -> list[str]:
    """Return the names of all data sets, sorted."""
    return module_names(readers, ENTRY_POINTS)


def summaries() -> dict[str, str]:
    """Return what each data set is and the forms it has on disk, one line by name, for help."""
    return module_summaries(readers, ENTRY_POINTS)


def _reader(name: str) -> ModuleType:
    return named_module(readers, name, ENTRY_POINTS)


def is_elsewhere(path: str) -> bool:
    """Return whether a path is a URL or a pattern of shards, of which the disk knows nothing.

    Args:
        path: as for `load`, without the name of a form.

    Returns:
        True or False.
    """
    pattern = _PATTERN.search(path) and not Path(path).exists()
    return "://" in path or bool(pattern)


@contextmanager
def _refusals_named() -> Iterator[None]:
    """Turn what the operating system refuses (a folder without permission, a path too long) into a
    DataError.
    """
    try:
        yield
    except OSError as error:
        raise reading_error(error.filename, error) from error


@_refusals_named()
def find(path_or_name: str | Path) -> tuple[ModuleType, Path | None]:
    """Find the module that reads a data set.

    Args:
        path_or_name: `faces`, a name and path such as `fer2013:PATH`, or a PATH that is recognised.

    Returns:
        The module of the data set, and the path to read or None.

    Raises:
        DataError: there is no such data set or path, or no module recognises the path.
    """
    text = str(path_or_name)
    # `Path` would take it for the working folder.
    if not text.strip():
        raise DataError("The data's path is empty: give a file, a folder or a name.")
    if path_or_name == DRAWN and Path(text).exists():
        raise DataError(
            f"{text} names the drawn faces, but a file or folder here has that name, too: write"
            f" ./{text} for it, or work in another folder for the drawn faces."
        )
    name, _, rest = text.partition(":")
    named = name in names() and not Path(text).exists()
    path = Path(rest if named else text)
    if re.search(r"\{.*(\.\.|,).*\}", path.name) and not path.exists():
        raise DataError(f"No data at {path}: write * in place of {{first..last}} or {{a,b}}.")
    if is_elsewhere(rest if named else text):
        return _reader(name if named else "shards"), path
    near = difflib.get_close_matches(name, names(), 1)
    if near and not named and rest and Path(rest).exists() and not path.exists():
        raise DataError(f"No form of data is called {name}: did you mean {near[0]}:{rest}?")
    if (rest or not named) and not path.exists():
        usual = f"give a file, a folder or one of {', '.join(names())}"
        raise DataError(f"No data at {path}: {advice(path, usual)}.")
    if named:
        return _reader(name), path if rest else None
    module = _recognised(path)
    if module is None:
        holds = _inside(path) or _reader("_survey").described(path)
        raise DataError(
            f"{path} has none of the known forms ({', '.join(names())}); {holds}. "
            "See `kerakd data inspect --help` for the forms."
        )
    return module, path


def _recognised(path: Path) -> ModuleType | None:
    # Any class folders match `folder`, so a more specific form goes before it.
    modules = map(_reader, sorted(names(), key=lambda name: name == "folder"))
    return next((module for module in modules if module.matches(path)), None)


def _inside(path: Path) -> str:
    """Say what in a folder has a known form; "" where nothing has."""
    found = []
    for child in sorted(path.iterdir())[:_LOOKED_AT] if path.is_dir() else ():
        with suppress(DataError, OSError):
            if not child.name.startswith(".") and (module := _recognised(child)):
                found.append(f"{child} of the form {module.__name__.rpartition('.')[2]}")
    return f"it holds {' and '.join(found[:3])}: give that one" if found else ""


class DataSet:
    """A data set where it lies, looked up once.

    Args:
        path_or_name: as for `find`.
        skip_bad_rows: as for `load`.

    Attributes:
        module: the module that reads it.
        path: the path to read, or None.
        form: the module's name.

    Raises:
        DataError: as for `find`.
    """

    def __init__(self, path_or_name: str | Path, skip_bad_rows: bool = False) -> None:
        self.module, self.path = find(path_or_name)
        self.form = self.module.__name__.rpartition(".")[2]
        self._skip_bad_rows = skip_bad_rows

    @property
    def folder(self) -> str:
        """The name of a folder that is not a known data set; "" for others."""
        # Resolved: a path such as . has no name of its own.
        return self.path.resolve().name if self.form == "folder" and self.path else ""

    @property
    def called(self) -> str:
        """The data set's name for people: that of its folder if its form has no name."""
        return encodable(self.folder or self.form)

    @_refusals_named()
    def sources(self) -> list[Path]:
        """Return the files that the splits are read from; none if the module has no `sources`.

        Raises:
            DataError: a folder can't be read.
        """
        known = self.path is not None and hasattr(self.module, "sources")
        return self.module.sources(self.path) if known else []

    @cached_property
    def _shards(self) -> dict[str, Shards]:
        return self.module.shards(self.path, self._skip_bad_rows, self.module.SIZE)

    @_refusals_named()
    def shards(self, size: Size | None = None) -> dict[str, Shards] | None:
        """Return the splits of data that stay in shards, which are indexed once.

        Args:
            size: as for `datasets.load`.

        Returns:
            The shards by split; None for other data.

        Raises:
            DataError: a shard can't be read.
        """
        if not hasattr(self.module, "shards"):
            return None
        own = self.module.SIZE if size is None else size
        return {split: shards.at(own) for split, shards in self._shards.items()}

    @_refusals_named()
    def load(self, splits: Sequence[str], size: Size | None = None) -> dict[str, Samples]:
        """Load several splits, and read each file once.

        Args:
            splits: names of splits.
            size: as for `datasets.load`.

        Returns:
            Samples by split, each as `datasets.load` returns them.

        Raises:
            DataError: as for `datasets.load`; or a split is empty.
        """
        module, path = self.module, self.path
        given = (self._skip_bad_rows, module.SIZE if size is None else height_width(size))
        if shards := self.shards(size):
            found = {split: shards[split].all() for split in splits}
        elif hasattr(module, "load_splits"):
            found = module.load_splits(path, splits, *given)
        else:
            found = {split: module.load(path, split, *given) for split in splits}
        for split, samples in found.items():
            if not len(samples):
                first = f"; the first problem: {samples.skipped[0]}" if samples.skipped else ""
                raise DataError(
                    f"The {split} split of {path or module.__name__} has no images: add some, or"
                    f" remove its files so that images of train are held out for it{first}."
                )
        return found

    @cached_property
    @_refusals_named()
    def notes(self) -> tuple[str, ...]:
        """One line for each kind of file or folder that is not read, or read by a guess.

        Raises:
            DataError: a folder or shard can't be read.
        """
        module, path = self.module, self.path
        if path is None:
            return ()
        lines = module.remarks(path) if hasattr(module, "remarks") else []
        if shards := self.shards():
            lines = [*lines, *shards["train"].notes]
        if path.is_dir() and hasattr(module, "sources"):
            lines = [*lines, *_reader("_survey").passed_over(path, module.sources(path))]
        return tuple(map(printable, lines))


def sources(path_or_name: str | Path) -> list[Path]:
    """Return the files that the splits of a data set are read from.

    Args:
        path_or_name: as for `load`.

    Returns:
        The paths; empty if the module of the data set has no `sources`.
    """
    return DataSet(path_or_name).sources()


def passed_over(path_or_name: str | Path) -> tuple[str, ...]:
    """Report what `load` does not read in a data set's folder, or reads by a guess.

    Args:
        path_or_name: as for `load`.

    Returns:
        One line for each kind of file or folder.

    Raises:
        DataError: there is no such data set, or a folder or shard can't be read.
    """
    return DataSet(path_or_name).notes


def load(
    path_or_name: str | Path, split: str, skip_bad_rows: bool = False, size: Size | None = None
) -> Samples:
    """Load one split of a data set as images of one size.

    Args:
        path_or_name: a file or folder whose form is recognised, the name of a data set that needs
            no path (`faces`), or `name:path` to choose the form.
        split: "train", "validation" or "test".
        skip_bad_rows: leave out unreadable rows and list them in `Samples.skipped`, instead of
            raising.
        size: of the images in pixels, the side of a square or (height, width), to which each is
            stretched; None for the data set's own, mostly 64.

    Returns:
        Samples with images uint8 (N, height, width, C).

    Raises:
        DataError: the data is missing, not recognised or broken. The message names file and row.
    """
    if split not in SPLITS:
        raise DataError(f"Unknown split {split!r}: expected one of {', '.join(SPLITS)}.")
    return DataSet(path_or_name, skip_bad_rows).load((split,), size)[split]
