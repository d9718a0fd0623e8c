"""Images in Parquet files, as Hugging Face lays data sets out; any classes, and more images than
fit into memory.

Forms on disk: the beginning of a file's name, or its folder, tells the split; all may lie in a
folder `data`.

    train-00000-of-00002.parquet  train-00001-of-00002.parquet  test-00000-of-00001.parquet
    train/any.parquet  validation/any.parquet  test/any.parquet     (`valid` and `val` are the same as `validation`)

Columns: `image`, the content of an image file, alone or as the field `bytes` of a struct; `label`,
    a name, or a number
whose name stands in Hugging Face's metadata or, one a line, in a `labels.txt` beside. Other columns
are passed over. A split without a file is held out of the training images as with class folders.
Images are gray if the first one is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd._common import arrays, files
from keras_kd._common.checked_files import read_json
from keras_kd.datasets import SIZE, Samples, class_names, images
from keras_kd.datasets.readers import _parquet_labels, _splitting, _tree
from keras_kd.errors import DataError

if TYPE_CHECKING:
    import pyarrow

ROWS = 256  # read at a time
# The smallest image file has some 30 bytes, and compression gains nothing on such.
LEAST_BYTES = 16
_FORM = {"info": {"features": {"label": {"names": [str]}}}}


def matches(path: Path) -> bool:
    """Whether `path` is a folder with Parquet files of a training split."""
    return path.is_dir() and "train" in _shards(path)


def load(path: Path | None, split: str, skip_bad_rows: bool = False, size: int = SIZE) -> Samples:
    """Load one split as uint8 (N, size, size, 1 or 3).

    Raises:
        DataError: the data is missing or broken; the message names the file and the row, counted
            from 0.
    """
    if path is None or not matches(path):
        raise DataError(
            "parquet needs a path: give parquet:PATH, a folder with train-….parquet or"
            " train/….parquet."
        )
    shards = _shards(path)
    names = _class_names(shards["train"], path)
    own = shards.get(split, shards["train"])
    labels, unlabelled = _parquet_labels.numbers(columns(own, "label"), names, skip_bad_rows)
    rows = np.flatnonzero(labels >= 0)
    if split == "train" or split not in shards:
        rows = rows[_splitting.held_out(labels[rows], names, shards)[split]]
    channels = _channels(shards["train"], skip_bad_rows)
    pictures, sizes, kept, skipped = _read(own, rows, size, channels, skip_bad_rows)
    # A row that is of no split is listed once, with the file's own.
    lost = unlabelled if split == "train" or split in shards else ()
    return Samples(pictures, labels[rows[kept]], names, None, (*lost, *skipped), sizes)


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from."""
    return [
        *(file for shards in _shards(path).values() for file in shards),
        path / class_names.LABELS_FILE,
    ]


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
            found.setdefault(file.stem.partition("-")[0].casefold(), []).append(file)
        for child in listed.folders:
            found.setdefault(child.name.casefold(), []).extend(_tree.listed(child).files)
    shards = {
        split: [file for name in names for file in found.get(name, ()) if file.suffix == ".parquet"]
        for split, names in _tree.SPLIT_NAMES.items()
    }
    return {split: listed for split, listed in shards.items() if listed}


def _opened(file: Path) -> pyarrow.parquet.ParquetFile:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError("Parquet files need pyarrow: pip install 'keras-kd[parquet]'.") from error
    try:
        files.refuse_special(file)
        opened = pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{file} can't be read as Parquet ({error}): replace it.") from error
    size, rows = file.stat().st_size, opened.metadata.num_rows
    if size < LEAST_BYTES * rows:
        raise DataError(
            f"{file} declares {rows:,} rows in {size:,} bytes, fewer than {LEAST_BYTES} an image: "
            "it is damaged, or repeats a few images; replace it."
        )
    missing = {"image", "label"} - set(opened.schema_arrow.names)
    if missing:
        raise DataError(
            f"{file} has no column {' and no column '.join(sorted(missing))}: expected image and"
            f" label, received {', '.join(opened.schema_arrow.names)}; rename the columns."
        )
    return opened


def columns(shards: list[Path], name: str) -> Iterator[tuple[Path, int, pyarrow.Array]]:
    """Yield a column piece by piece: the file, the number of the first row in it, and some rows."""
    for file in shards:
        opened, start = _opened(file), 0
        import pyarrow

        try:
            for batch in opened.iter_batches(ROWS, columns=[name]):
                yield file, start, batch.column(0)
                start += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(
                f"{file} can't be read after row {start} ({error}): replace it."
            ) from error


def _class_names(shards: list[Path], path: Path) -> tuple[str, ...]:
    """The names in the metadata, in labels.txt, or the labels themselves, sorted."""
    schema = _opened(shards[0]).schema_arrow
    listed = path / class_names.LABELS_FILE
    try:
        names = class_names.read(listed) if listed.is_file() else _described(schema.metadata or {})
    except ValueError as error:
        raise DataError(
            f"{listed} can't be read as text ({error}): write one class name a line."
        ) from error
    labels = columns(shards, "label")
    if not names and _parquet_labels.is_text(schema.field("label").type):
        names = _parquet_labels.texts(labels)
    if len(names) < 2:
        known = _parquet_labels.known_numbers(labels)
        raise DataError(
            f"{shards[0]} does not name its classes, two or more: write them to {listed}, one a "
            f"line{known}."
        )
    if wrong := class_names.problem(names):
        raise DataError(f"In {path} {wrong}: rename the class.")
    return tuple(map(class_names.plain, names))


def _described(metadata: dict[bytes, bytes]) -> list[str]:
    """What Hugging Face's metadata calls the classes; nothing where there is none of the form."""
    try:
        return read_json(metadata.get(b"huggingface", b""), _FORM)["info"]["features"]["label"][
            "names"
        ]
    except ValueError:
        return []


def _channels(shards: list[Path], skip_bad_rows: bool) -> int:
    """Those of the first training image, for the images of all splits."""
    count = sum(_opened(file).metadata.num_rows for file in shards)
    for name, content in _contents(shards, np.arange(count)):
        try:
            return images.decoded(content or b"", name).shape[2]
        except DataError:
            if not skip_bad_rows:
                raise
    return 1


def _read(
    shards: list[Path], rows: np.ndarray, size: int, channels: int, skip_bad_rows: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Decode the given rows, sorted: images, sizes on disk, which of them were readable, one line
    for each other.
    """
    fitted = arrays.large_array((len(rows), size, size, channels))
    sizes, kept, skipped = np.empty((len(rows), 2), np.int64), np.zeros(len(rows), bool), []
    for number, (name, content) in enumerate(_contents(shards, rows)):
        try:
            picture = images.decoded(content or b"", name)
            if picture.shape[2] > channels:
                raise DataError(
                    f"{name} is in colour but the first training image is gray: convert one or"
                    " remove the row."
                )
        except DataError as error:
            if not skip_bad_rows:
                raise
            skipped.append(str(error))
            continue
        # Rows move up to where unreadable ones would have been.
        fitted[number - len(skipped)] = images.fitted(picture[None], fitted.shape[1:])[0]
        sizes[number], kept[number] = picture.shape[:2], True
    if len(rows) and not kept.any():
        raise DataError(
            f"None of the {len(rows)} images can be read; the first problem: {''.join(skipped[:1])}"
        )
    return fitted[: int(kept.sum())], sizes[kept], kept, tuple(skipped)


def _contents(shards: list[Path], rows: np.ndarray) -> Iterator[tuple[str, bytes | None]]:
    """Yield what an error may call it, and the content of the image file, of each of the given
    rows.
    """
    before = 0
    for file, start, part in columns(shards, "image"):
        first, last = np.searchsorted(rows, (before, before + len(part)))
        for row in rows[first:last] - before:
            value = part[int(row)].as_py()
            content = value.get("bytes") if isinstance(value, dict) else value
            if isinstance(content, str) or (isinstance(value, dict) and "bytes" not in value):
                raise DataError(
                    f"{file} has images as {part.type}: expected the content of image files, alone"
                    " or as the field bytes of a struct; write their content, not their paths."
                )
            yield f"{file}, row {start + row}", content
        before += len(part)
