"""Parquet files of images and labels: opened, their two columns found and read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_kd._common import files
from keras_kd._common.checked_files import read_json
from keras_kd.datasets import decoding
from keras_kd.datasets.readers import _parquet_labels
from keras_kd.errors import DataError

if TYPE_CHECKING:
    import pyarrow

# Read at a time. A file may hold an image once and name it in many rows; it is copied for each.
ROWS = {"image": 4, "label": 256}
# The smallest image file has some 30 bytes, and compression gains nothing on such.
LEAST_BYTES = 16
LONGEST_LABEL = 2000  # bytes, more than a class's name may have
# What Hugging Face's metadata calls such a column, whatever its name.
_KINDS = {"image": "Image", "label": "ClassLabel"}


def opened(file: Path) -> pyarrow.parquet.ParquetFile:
    """Open a Parquet file that has images and labels.

    Args:
        file: its path.

    Returns:
        The opened file.

    Raises:
        DataError: it is damaged, lacks a column, or declares more rows than its bytes can hold.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError("Parquet files need pyarrow: pip install 'keras-kd[parquet]'.") from error
    try:
        files.refuse_special(file)
        found = pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = (file.is_file() and decoding.mistaken(file)) or error
        raise DataError(f"{file} can't be read as Parquet ({reason}): replace it.") from error
    size, rows = file.stat().st_size, found.metadata.num_rows
    if size < LEAST_BYTES * rows:
        raise DataError(
            f"{file} declares {rows:,} rows in {size:,} bytes, fewer than {LEAST_BYTES} an image: "
            "it is damaged, or repeats a few images; replace it."
        )
    schema = found.schema_arrow
    missing = [kind for kind in _KINDS if not column(schema, kind)]
    if missing:
        raise DataError(
            f"{file} has no column {' and no column '.join(missing)}: expected image and"
            f" label, received {', '.join(schema.names)}; rename the columns."
        )
    return found


def column(schema: pyarrow.Schema, kind: str) -> str:
    """Return the name of the column of images or labels: the only one that Hugging Face's metadata
    calls so, where none has the name.

    Args:
        schema: that of a file.
        kind: "image" or "label".

    Returns:
        The name; "" where there is no such column, or several.
    """
    if kind in schema.names:
        return kind
    found = [
        name
        for name, feature in _features(schema).items()
        if feature.get("_type") == _KINDS[kind] and name in schema.names
    ]
    return found[0] if len(found) == 1 else ""


def stated(file: Path) -> list[str]:
    """Return the class names in Hugging Face's metadata.

    Args:
        file: its path.

    Returns:
        The names in the order of their numbers; none where the file states none.
    """
    schema = opened(file).schema_arrow
    names = _features(schema).get(column(schema, "label"), {}).get("names")
    whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if whole else []


def _features(schema: pyarrow.Schema) -> dict[str, dict[str, Any]]:
    text = (schema.metadata or {}).get(b"huggingface", b"")
    try:
        found = read_json(text, {"info": {"features": dict}})["info"]["features"]
    except ValueError:
        return {}
    return {name: feature for name, feature in found.items() if isinstance(feature, dict)}


def columns(shards: list[Path], name: str) -> Iterator[tuple[Path, int, pyarrow.Array]]:
    """Read a column of Parquet files piece by piece.

    Args:
        shards: the files, in order.
        name: "image" or "label".

    Yields:
        The file, the number of the first row in it, and the values of some rows.
    """
    for file in shards:
        source, start = opened(file), 0
        import pyarrow
        import pyarrow.parquet

        own = column(source.schema_arrow, name)
        kind = source.schema_arrow.field(own).type
        names = name == "label" and _parquet_labels.is_text(kind)
        try:
            if names:
                # A text that many rows name is held once.
                source = pyarrow.parquet.ParquetFile(file, read_dictionary=[own])
            for batch in source.iter_batches(ROWS[name], columns=[own]):
                part = batch.column(0)
                if name == "label":
                    _parquet_labels.require_kind(file, part.type)
                _require_short(file, name, part)
                yield file, start, part.cast(pyarrow.string()) if names else part
                start += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(
                f"{file} can't be read after row {start} ({error}): replace it."
            ) from error


def values(shards: list[Path], name: str) -> Iterator[str]:
    """Read the different values of a column of short texts or whole numbers, such as persons.

    Args:
        shards: the files, in order; those without such a column are passed over.
        name: of the column.

    Yields:
        Each value of each file, as text.
    """
    for file in shards:
        source = opened(file)
        import pyarrow
        import pyarrow.parquet
        import pyarrow.types as types

        if name not in source.schema_arrow.names:
            continue
        kind = source.schema_arrow.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        try:
            if types.is_string(kind) or types.is_large_string(kind):
                # A text that many rows name is held once.
                source = pyarrow.parquet.ParquetFile(file, read_dictionary=[name])
            elif not types.is_integer(kind):
                continue
            for batch in source.iter_batches(ROWS["label"], columns=[name]):
                for value in batch.column(0).unique().drop_null().to_pylist():
                    yield str(value)[:LONGEST_LABEL]
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{file} can't be read ({error}): replace it.") from error


def _require_short(file: Path, name: str, part: pyarrow.Array) -> None:
    """Check that no label is longer than a class's name could be."""
    import pyarrow
    import pyarrow.compute

    if name != "label" or not pyarrow.types.is_dictionary(part.type):
        return
    lengths = pyarrow.compute.binary_length(part.dictionary)
    if (longest := pyarrow.compute.max(lengths).as_py() or 0) > LONGEST_LABEL:
        raise DataError(
            f"{file} has a label of {longest:,} bytes, more than {LONGEST_LABEL}: replace it."
        )


def contents(
    shards: list[Path], rows: np.ndarray | None = None
) -> Iterator[tuple[str, str, bytes | None]]:
    """Yield the content of the image file of each of the given rows, and what errors call the row.

    Args:
        shards: the files, in order.
        rows: int (n,), sorted, counted over all files; None for all.

    Yields:
        The file and the row, what the row has in place of a content or "", and its bytes or None.
    """
    before = 0
    for file, start, part in columns(shards, "image"):
        chosen = np.arange(before, before + len(part)) if rows is None else rows
        first, last = np.searchsorted(chosen, (before, before + len(part)))
        for row in chosen[first:last] - before:
            content, instead = _content(part[int(row)].as_py(), file, part.type)
            yield f"{file}, row {start + row}", instead, content
        before += len(part)


def _content(value: Any, file: Path, kind: Any) -> tuple[bytes | None, str]:
    """The bytes of an image file, or None where the row has none; and what it has instead."""
    fields = value if isinstance(value, dict) else {"bytes": value}
    content = fields.get("bytes")
    if not isinstance(content, (bytes, type(None))) or "bytes" not in fields:
        raise DataError(
            f"{file} has images as {kind}: expected the content of image files, alone or as the"
            " field bytes of a struct; write their content, not their paths or pixels."
        )
    # Hugging Face writes paths in place of contents where it is not told to embed them.
    path = "" if content is not None else fields.get("path")
    return content, f"the path {path!r:.80} without the file's content" if path else ""
