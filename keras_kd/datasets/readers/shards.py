"""Any classes in many Parquet, WebDataset or TFRecord files, read in place: for more images than
fit on this machine. Needs the extra `shards`.

Forms on disk: `shards:PLACE` is a folder, a pattern with * or a URL (s3://, gs://, http:// …) of
`.parquet`, `.tar` or `.tfrecord` files at any depth, the last two also packed (`.gz`; tar files
also `.bz2` and `.xz`); a URL or a pattern alone is read so, too. A word in a file's name, or a
folder's, tells the split, as `train-00000.tar`, `faces_val_3.tar` or `test/0.tar`.

Parquet has the columns of the data set `parquet`. A sample in a tar file is an image and, of the
same name, `.cls`, its class, or `.json` with the field `label`. A TFRecord holds `tf.train.Example`
with `image/encoded` and `image/class/label`, or `image` and `label`. Classes are names, or numbers
whose names stand in Parquet's metadata or, one a line, in a `labels.txt` beside. Of a split without
files, or without a label in any row, every tenth training shard is taken, up to 10,000 images, or
every tenth row of each class where there are too few shards. Each start lists the shards and reads
new ones alone; training reads them again in every epoch, one group at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from keras_kd.datasets import SIZE, SPLITS, Samples, class_names, images
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import (
    _bad_rows,
    _image_files,
    _numbering,
    _parquet_labels,
    _shard_files,
    _shard_index,
    _splitting,
    _table_files,
    _tree,
)
from keras_kd.datasets.readers._shard_files import Found
from keras_kd.datasets.readers._shard_index import Entry
from keras_kd.datasets.sharded import TENTHS, Shard, Shards
from keras_kd.errors import DataError

HELD_OUT_OF = 10  # shards, one is validation and one is test
MOST_HELD_OUT = 10_000  # images of a split
TFDS_LABELS = "label.labels.txt"  # what TensorFlow Datasets calls it

Indexed = tuple[Found, Entry]
# Of splits that share shards, as `Shard.tenths`.
Tenths = dict[str, tuple[int, ...]]


def matches(path: Path) -> bool:
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for a folder that holds .tar or TFRecord files directly or in its folders of splits,
        and neither class folders nor a folder of images and their table, which a .tar beside them
        may be the archive of.
    """
    if not path.is_dir():
        return False
    places = [path, *(child for child in path.iterdir() if child.is_dir())]
    files = chain.from_iterable(place.iterdir() for place in places[:100])
    are_shards = (
        file.suffix == ".tar" or _shard_files.form(file.name) == "tfrecord" for file in files
    )
    if not any(are_shards):
        return False
    holding: set[Path] = set()
    for place in places[1:]:
        holding |= {file.parent for file in _image_files.image_files(place)}
        if len(holding) > 1:  # No need to list the other classes.
            return False
    return not holding or not _table_files.listed(path)


def load(path: Path | None, split: str, skip_bad_rows: bool = False, size: Size = SIZE) -> Samples:
    """Load a split whole. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 1 or 3). Messages count rows from 0.
    """
    return shards(path, skip_bad_rows, size)[split].all()


def shards(path: Path | None, skip_bad_rows: bool, size: Size) -> dict[str, Shards]:
    """Return the splits, which stay where they are. Arguments: see `datasets`."""
    if path is None:
        raise DataError("shards needs a place: give shards:PLACE, a folder, a pattern or a URL.")
    listed, others = _shard_files.listed(path)
    if not listed:
        beside = f", but {others[0]}" if others else ""
        raise DataError(
            f"No .parquet, .tar or .tfrecord files at {_shard_files.spelled(path)}{beside}: check"
            " the place."
        )
    every = list(zip(listed, _shard_index.entries(listed, skip_bad_rows), strict=True))
    indexed = [one for one in every if one[1].labels or one[1].problems]
    secret = [split for split in SPLITS[1:] if _are_unlabelled(split, indexed)]
    indexed = [one for one in indexed if one[0].split not in secret]
    parts, tenths = _divided(indexed, path)
    _parquet_labels.require_same_names([(found.url, entry.names) for found, entry in indexed])
    stated = next((entry.names for _, entry in indexed if entry.names), [])
    names = _class_names([entry for _, entry in parts["train"]], stated, path, indexed)
    shape = (*images.height_width(size), max(1, *(entry.channels for _, entry in indexed)))
    empty = [found.url for found, entry in every if not (entry.labels or entry.problems)]
    notes = (
        *class_names.doubts(names),
        *_tree.lacking(found.url for found in listed),
        *_noted(others, "no shard, not read"),
        *_noted(empty, "without images"),
        *_noted(_repeated(parts), "shards whose bytes are those of another one"),
        *_splitting.without_labels(secret),
        *_splitting.in_several(_groups(parts, tenths)),
        *_of_rows(parts, tenths),
    )
    made = {
        split: _shards(part, tenths.get(split, ()), names, shape, skip_bad_rows, notes)
        for split, part in parts.items()
    }
    for split, own in made.items():
        _require_classes(split, own, parts[split][0][0].split == split, split in tenths, path)
    return made


def _noted(urls: list[str], what: str) -> list[str]:
    shown = ", ".join(urls[:3]) + f" and {len(urls) - 3:,} more" * (len(urls) > 3)
    return [f"{shown}: {what}"] if urls else []


def _repeated(parts: dict[str, list[Indexed]]) -> list[str]:
    """Shards whose content was there before; those of another split make its scores untrue."""
    seen: dict[str, tuple[str, str]] = {}
    repeated = []
    for split, part in parts.items():
        for found, entry in part:
            first, of = seen.setdefault(entry.content, (found.url, split))
            # Where splits share a shard, it is not repeated.
            if first != found.url:
                repeated.append(f"{found.url} of {split} and {first} of {of}")
    return repeated


def _are_unlabelled(split: str, indexed: Sequence[Indexed]) -> bool:
    """Whether a split has shards, of which no row has a label."""
    labels = [
        label for found, entry in indexed if found.split == split for label, _ in entry.labels
    ]
    return _parquet_labels.are_missing(labels)


def _of_rows(parts: dict[str, list[Indexed]], tenths: Tenths) -> list[str]:
    """Say that splits are rows of the same shards, and which groups of images they may divide."""
    if not tenths:
        return []
    held_out = [split for split in tenths if split != "train"]
    names = dict.fromkeys(name for _, entry in parts["train"] for name in entry.groups)
    return [
        f"there are too few training shards to hold whole ones out for {' and '.join(held_out)},"
        " so that every tenth row of each class is taken",
        *_splitting.unread(names, [split for split in SPLITS if split not in held_out]),
    ]


def _groups(parts: dict[str, list[Indexed]], tenths: Tenths) -> _splitting.Groups:
    """The splits of each person, or other group of images, that rows name; where splits share
    shards, those of train.
    """
    groups: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, part in parts.items():
        for _, entry in () if split in tenths and split != "train" else part:
            for name, values in entry.groups.items():
                for value in values:
                    groups[name][value].add(split)
    return groups


def _require_classes(split: str, own: Shards, named: bool, of_rows: bool, path: Path) -> None:
    """A split of one class tells nothing, as whole shards make it where each has one class; who
    names it so has it so.
    """
    classes = np.count_nonzero(own.counts)
    if classes >= (1 if named else 2):
        return
    if of_rows:
        raise DataError(
            f"The training shards at {path} have too few images of each class to hold some out for"
            f" {split}: add images, or give it shards of its own."
        )
    raise DataError(
        f"The {split} shards at {path} ({', '.join(one.url for one in own.shards[:2])}) hold"
        f" images of {classes} of {len(own.class_names)} classes: mix the classes in each"
        " shard, or give each split shards of its own."
    )


def _divided(indexed: Sequence[Indexed], path: Path) -> tuple[dict[str, list[Indexed]], Tenths]:
    """The shards of each split; whole training shards where a split has none of its own, or tenths
    of each class's rows where they are too few.
    """
    parts = {split: [one for one in indexed if one[0].split == split] for split in SPLITS}
    # Shards without a split in their names are for training, unless other shards are called so.
    if not parts["train"]:
        parts["train"] = [one for one in indexed if not one[0].split]
    elif unnamed := [one[0].url for one in indexed if not one[0].split]:
        raise DataError(
            f"{path} has shards called train and {len(unnamed)} whose names tell no split"
            f" ({unnamed[0]}): call them train, validation or test, too."
        )
    training = parts["train"]
    if not training:
        raise DataError(
            f"{path} has no training shard with images: name files after the splits, as"
            " train-0.tar."
        )
    missing = [split for split in SPLITS[1:] if not parts[split]]
    if len(training) <= len(missing):
        # A class's first row is for training, as its only one must be.
        held_out = {split: (tenth,) for tenth, split in enumerate(missing, 1)}
        rest = {"train": (0, *range(len(missing) + 1, TENTHS))}
        return parts | dict.fromkeys(missing, training), rest | held_out
    for split in missing:
        held = 0
        for one in training[missing.index(split) :: HELD_OUT_OF]:
            # Always the first ones: shards that are added later, named to sort behind them, move
            # no image.
            if held >= MOST_HELD_OUT:
                break
            parts[split].append(one)
            held += sum(count for _, count in one[1].labels)
    taken = {id(one) for split in missing for one in parts[split]}
    parts["train"] = [one for one in training if id(one) not in taken]
    return parts, {}


def _class_names(
    entries: Sequence[Entry], stated: list[str], path: Path, indexed: Sequence[Indexed]
) -> tuple[str, ...]:
    """The names in labels.txt, those stated in Parquet's metadata, or the training labels, sorted;
    of these all splits must have names, since the classes of numbers are stated nowhere.
    """
    texts = (
        _shard_files.text_beside(path, name) for name in (class_names.LABELS_FILE, TFDS_LABELS)
    )
    beside = next((text for text in texts if text is not None), None)
    labels = {label for entry in entries for label, _ in entry.labels}
    written = {class_names.plain(label) for label in labels if isinstance(label, str)}
    if beside is not None:
        names = class_names.parsed(beside.splitlines())
        names = _parquet_labels.listed_names(names, stated, f"The list of labels at {path}")
        names = [*class_names.distinct(names)]
    else:
        names = [*class_names.distinct(stated)] or _numbering.ordered(written)
        every = {label for _, entry in indexed for label, _ in entry.labels}
        # A list that the data state gives texts of digits a meaning.
        numbers = (label for label in every if not (stated and isinstance(label, str)))
        if written and any(_parquet_labels.is_place(label, names) for label in numbers):
            raise _parquet_labels.numbers_beside_names(f"The shards at {path}")
    if len(names) < 2:
        raise DataError(
            f"The shards at {path} don't name their classes, two or more: write them to"
            f" {class_names.LABELS_FILE} beside, one a line."
        )
    return _numbering.checked(names, path)


def _in_tenths(count: int, tenths: tuple[int, ...]) -> int:
    """How many of a label's rows are in some tenths; () for all."""
    return sum(len(range(tenth, count, TENTHS)) for tenth in tenths) if tenths else count


def _shards(
    part: Sequence[Indexed],
    tenths: tuple[int, ...],
    names: tuple[str, ...],
    shape: tuple[int, int, int],
    skip_bad_rows: bool,
    notes: tuple[str, ...],
) -> Shards:
    made, skipped = [], []
    given = {label for _, entry in part for label, _ in entry.labels}
    if any(_parquet_labels.number(label, names) < 0 for label in given):
        _parquet_labels.require_same_numbers(part[0][0].url, given, names)
    for found, entry in part:
        counts, left_out = [0] * len(names), []
        used = ((label, _in_tenths(count, tenths)) for label, count in entry.labels)
        for label, count in (one for one in used if one[1]):
            number = _parquet_labels.number(label, names)
            if number >= 0:
                counts[number] += count
                continue
            has = "no label" if label is None else f"the label {label!r}"
            line = f"{found.url}: {count} rows have {has}"
            if not skip_bad_rows:
                advice = _parquet_labels.advice([label])
                expected = f"one of the {len(names)} classes {class_names.numbered(names)}"
                raise _bad_rows.refusal(f"{line}, expected {expected}", advice)
            skipped.append(line)
            left_out.append(repr(label))
        skipped += entry.problems
        if sum(counts):
            rows = (tuple(counts), tuple(entry.unreadable), tuple(left_out), tenths)
            made.append(Shard(found.url, entry.content, *rows))
    return Shards(tuple(made), names, shape, tuple(skipped), notes)
