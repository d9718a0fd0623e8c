"""Any classes in `train-*.parquet`, `validation-*` and `test-*`, or folders of them, as Hugging
Face lays data sets out. Needs the extra `parquet`.

There may be more images than fit into memory. Forms on disk: a word in a file's name, or its
folder, tells the split; all may lie in a folder `data`.

    train-00000-of-00002.parquet  train-00001-of-00002.parquet  test-00000-of-00001.parquet
    train/any.parquet  validation/any.parquet  test/any.parquet

`valid` and `val` are the same as `validation`.

Columns: `image`, the content of an image file, alone or as the field `bytes` of a struct, or its
path, alone or as the field `path`, which is followed as a table's within the folder; `label`, a
name, or a number whose name stands in Hugging Face's metadata or, one a line, in a `labels.txt`
beside. Columns of other names serve, with a note, where that metadata tells one Image and one
ClassLabel, or one has a name as in tables, such as `file_name` and `class`; others are passed over.
A split without a file, or without a label in any row, is held out of the training images as with
class folders. Images are gray if every one is, else RGB.
"""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common import arrays
from keras_kd.datasets import SIZE, SPLITS, Samples, class_names, decoding, images
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import (
    _bad_rows,
    _boxes,
    _image_files,
    _numbering,
    _parquet_files,
    _parquet_labels,
    _splitting,
    _tree,
)
from keras_kd.datasets.readers._parquet_files import Content
from keras_kd.errors import DataError


def matches(path: Path) -> bool:
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for a folder with Parquet files of a training split.
    """
    return path.is_dir() and "train" in _shards(path)


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits; those that are cut from the training files are read in one pass.
    Arguments: see `datasets`.

    Images are uint8 (N, height, width, 1 or 3). Messages count rows from 0.
    """
    if path is None or not matches(path):
        raise DataError(
            "parquet needs a path: give parquet:PATH, a folder with train-….parquet or"
            " train/….parquet."
        )
    shards = _labelled(path)
    others = [file for split in splits if split != "train" for file in shards.get(split, ())]
    stated = [(file, _parquet_files.stated(file)) for file in (*shards["train"], *others)]
    _parquet_labels.require_same_names(stated)
    names = _class_names(shards["train"], path, others)
    files = _NamedFiles(path)
    read: dict[str, _Part] = {}
    unread: dict[str, np.ndarray] = {}
    for owner in dict.fromkeys(split if split in shards else "train" for split in splits):
        labels, unlabelled = _parquet_labels.numbers(
            _parquet_files.columns(shards[owner], "label"), names, skip_bad_rows
        )
        rows = _rows_of_splits(owner, shards, labels, names)
        # A row that is of no split is listed once, with the file's own.
        parts = {
            split: _Part(
                rows[split], labels, images.height_width(size), unlabelled * (split == owner)
            )
            for split in splits
            if split in rows
        }
        _read(shards[owner], parts, functools.partial(files.source, split=owner), skip_bad_rows)
        read |= parts
        taken = np.concatenate([rows[split] for split in parts])
        unread[owner] = np.setdiff1d(np.arange(len(labels)), taken)
    channels = max(part.channels for part in read.values())
    if channels < 3:
        channels = decoding.channels(_sources(shards, files, unread))
    return {split: read[split].samples(names, channels) for split in splits}


def _rows_of_splits(
    owner: str, given: Collection[str], labels: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The labelled rows of the files of a split, by the split that they belong to: those of train
    are also of the splits that are not given.
    """
    rows = np.flatnonzero(labels >= 0)
    if owner != "train":
        return {owner: rows}
    held_out = _splitting.held_out(labels[rows], names, given)
    return {split: rows[places] for split, places in held_out.items()}


load = _splitting.one_split(load_splits, SIZE)


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from. Arguments: see `datasets`."""
    shards, files = _shards(path), _NamedFiles(path)
    every = [file for own in shards.values() for file in own]
    naming = {
        split: [file for file in own if _parquet_files.may_name_files(file)]
        for split, own in shards.items()
    }
    named = [source for source in _sources(naming, files, {}) if isinstance(source, Path)]
    return [*every, path / class_names.LABELS_FILE, *named]


def remarks(path: Path) -> list[str]:
    """Report classes that are only numbers or mean the same, columns that are not read, and missing
    files. Arguments: see `datasets`.
    """
    every, shards = _shards(path), _labelled(path)
    files = [str(file) for own in every.values() for file in own]
    names = _class_names(shards["train"], path)
    schema = _parquet_files.opened(shards["train"][0]).schema_arrow
    read = [_parquet_files.column(schema, kind) for kind in ("image", "label")]
    unread = [name for name in schema.names if name not in read]
    usual = read == ["image", "label"]
    return [
        *([] if usual else [f"images and labels are read from the columns {' and '.join(read)}"]),
        *([_numbering.remark(names, "files")] if _numbering.are_numbers(names) else []),
        *class_names.doubts(names),
        *_boxes.remarks(unread),
        *_splitting.unread(unread, shards),
        *_splitting.without_labels([split for split in every if split not in shards]),
        *_splitting.in_several(_groups(shards, unread)),
        *_tree.lacking(files),
        *(
            f"the bytes of {copy} are those of {first}: its images are read twice, leave one"
            for copy, first in _tree.copies(filter(_has_rows, map(Path, files))).items()
        ),
    ]


def _has_rows(file: Path) -> bool:
    return _parquet_files.opened(file).metadata.num_rows > 0


def _groups(shards: dict[str, list[Path]], names: list[str]) -> _splitting.Groups:
    """The splits of each person, or other group of images, by the columns that name them."""
    groups: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in _splitting.of_groups(names):
        for split, files in shards.items():
            for value in _parquet_files.values(files, name):
                groups[name][value].add(split)
    return groups


def _shards(path: Path) -> dict[str, list[Path]]:
    """The files of each split, sorted: `train.parquet`, `train-00000-of-00002.parquet` or
    `train/any.parquet`.
    """
    found: dict[str, list[Path]] = {}
    for folder in (path, path / "data"):
        if not folder.is_dir():
            continue
        listed = _tree.listed(folder)
        for file in listed.files:
            found.setdefault(_tree.split_of_file(file.name) or "", []).append(file)
        for child in listed.folders:
            found.setdefault(_tree.called(child.name) or "", []).extend(_tree.listed(child).files)
    shards = {
        split: [file for file in found.get(split, ()) if file.suffix == ".parquet"]
        for split in SPLITS
    }
    return {split: listed for split, listed in shards.items() if listed}


def _labelled(path: Path) -> dict[str, list[Path]]:
    """The files of each split of which an image has a label; those of the others are secret."""
    return {
        split: files
        for split, files in _shards(path).items()
        # Labels of train are looked at, too, so that what is wrong with them is told first.
        if not _parquet_labels.are_missing(_labels(files)) or split == "train"
    }


def _labels(files: list[Path]) -> Iterator[Any]:
    """The different labels of each part of some files."""
    for _, _, part in _parquet_files.columns(files, "label"):
        yield from part.unique().to_pylist()


def _class_names(shards: list[Path], path: Path, others: Sequence[Path] = ()) -> tuple[str, ...]:
    """The names in the metadata, in labels.txt, or the labels themselves, sorted; of these the
    `others` must have names too, since the classes of their numbers are stated nowhere.
    """
    listed = path / class_names.LABELS_FILE
    names = next(filter(None, map(_parquet_files.stated, shards)), [])
    if listed.is_file():
        names = _parquet_labels.listed_names(_numbering.read_names(listed), names, listed)
    names = [*class_names.distinct(names)]
    labels = _parquet_files.columns(shards, "label")
    if not names and any(map(_has_texts, shards)):
        names = _parquet_labels.texts(labels)
        _parquet_labels.require_named(_parquet_files.columns([*others], "label"), names)
    if len(names) < 2:
        known = _parquet_labels.known_numbers(labels)
        raise DataError(
            f"{shards[0]} does not name its classes, two or more: write them to {listed}, one a "
            f"line{known}."
        )
    return _numbering.checked(names, path)


def _has_texts(file: Path) -> bool:
    schema = _parquet_files.opened(file).schema_arrow
    return _parquet_labels.is_text(schema.field(_parquet_files.column(schema, "label")).type)


class _NamedFiles:
    """The image files that rows name in place of contents."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @functools.cached_property
    def _find(self) -> Callable[[Path, str, str], Path]:
        return _image_files.finder(self._root)  # lists the folder

    def source(self, row: Content, split: str) -> Path | bytes:
        """The file that a row of a split's Parquet file names, or else its content; DataError where
        that file can't be found.
        """
        if not row.path:
            return row.content or b""
        try:
            return self._find(row.file.parent, row.path, split)
        except ValueError as error:
            raise _bad_rows.refusal(f"{row.place}: {error}") from error


def _sources(
    shards: dict[str, list[Path]], files: _NamedFiles, rows: Mapping[str, np.ndarray]
) -> Iterator[Path | bytes]:
    """The files or contents of some rows of splits, and of all rows of the other splits, but for
    those of which the file can't be found.
    """
    for split, own in shards.items():
        chosen = rows.get(split)
        if chosen is not None and not len(chosen):
            continue
        for row in _parquet_files.contents(own, chosen):
            with contextlib.suppress(DataError):
                yield files.source(row, split)


class _Part:
    """Images of some rows, as they are read: gray until one is in colour."""

    def __init__(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        size: tuple[int, int],
        left_out: tuple[str, ...],
    ) -> None:
        self.rows, self._labels, self._size, self._left_out = rows, labels, size, left_out
        self._images: np.ndarray | None = None
        self._kept: list[tuple[int, tuple[int, int]]] = []
        self.skipped: list[str] = []

    @property
    def channels(self) -> int:
        """1 or 3; 0 before the first image."""
        return 0 if self._images is None else self._images.shape[3]

    def widen(self, channels: int) -> None:
        """Make room for images of so many channels; gray ones become RGB."""
        if channels <= self.channels:
            return
        wide = arrays.large_array((len(self.rows), *self._size, channels))
        if self._images is not None:
            wide[:] = self._images
        self._images = wide

    def add(self, row: int, picture: np.ndarray) -> None:
        self.widen(picture.shape[2])
        shape = self._images.shape[1:]
        self._images[len(self._kept)] = images.fitted(picture[None], shape)[0]
        self._kept.append((row, picture.shape[:2]))

    def require_images(self) -> None:
        if len(self.rows) and not self._kept:
            raise _bad_rows.none_readable(len(self.rows), self.skipped)

    def samples(self, names: tuple[str, ...], channels: int) -> Samples:
        """What was read, with so many channels."""
        self.widen(channels)
        kept = np.array([row for row, _ in self._kept], np.int64)
        sizes = np.array([size for _, size in self._kept], np.int64).reshape(-1, 2)
        skipped = (*self._left_out, *self.skipped)
        read = self._images[: len(kept)]
        return Samples(read, self._labels[kept], names, None, skipped, sizes)


def _read(
    shards: list[Path],
    parts: dict[str, _Part],
    source: Callable[[Content], Path | bytes],
    skip_bad_rows: bool,
) -> None:
    """Decode the rows of each split in one pass over the files."""
    splits = {row: split for split, part in parts.items() for row in part.rows.tolist()}
    ordered = sorted(splits)
    found = _parquet_files.contents(shards, np.array(ordered, np.int64))
    for row, image in zip(ordered, found, strict=True):
        part = parts[splits[row]]
        try:
            file = source(image)
            picture = (
                decoding.decoded(file, image.place)
                if isinstance(file, bytes)
                else decoding.read(file)
            )
            part.add(row, picture)
        except DataError as error:
            if not skip_bad_rows:
                raise
            part.skipped.append(str(error))
    for part in parts.values():
        part.require_images()
