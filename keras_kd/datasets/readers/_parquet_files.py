"""Parquet files of images and labels: opened, their two columns found and read piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_kd._common import files
from keras_kd._common.checked_files import read_json
from keras_kd._common.text import counted, plain_reason
from keras_kd.datasets import decoding
from keras_kd.datasets.readers import _parquet_labels, _table_rows, _tree
from keras_kd.errors import DataError

if TYPE_CHECKING:
    import pyarrow

# Read at a time. A file may hold an image once and name it in many rows; it is copied for each.
ROWS = {"image": 4, "label": 256}
# The smallest image file has some 30 bytes, and compression gains nothing on such. Rows of paths
# that count themselves are packed to a few.
LEAST_BYTES, LEAST_ROW_BYTES = 16, 1
LONGEST_LABEL = 2000  # bytes, more than a class's name may have
# What Hugging Face's metadata calls such a column, whatever its name.
_KINDS = {"image": "Image", "label": "ClassLabel"}
_NAMES = {"image": _table_rows.FILE, "label": _table_rows.LABEL}  # as in tables


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
        reason = (file.is_file() and decoding.mistaken(file)) or plain_reason(error)
        raise DataError(f"{file} can't be read as Parquet ({reason}): replace it.") from error
    _require_bytes(file, found.metadata.num_rows, LEAST_ROW_BYTES, "row")
    schema = found.schema_arrow
    missing = [kind for kind in _KINDS if not column(schema, kind)]
    if missing:
        raise DataError(
            f"{file} has no column {' and no column '.join(missing)}: expected image and"
            f" label, received {', '.join(schema.names)}; rename the columns"
            f"{_without(missing, file)}."
        )
    return found


def _without(missing: list[str], file: Path) -> str:
    """What to do with a file of validation or test that tells no classes, as a competition's."""
    split = _tree.split_of_file(file.name) or _tree.called(file.parent.name)
    if missing != ["label"] or split in (None, "train"):
        return ""
    return (
        ", or move the file away if it tells no classes: the images of"
        f" {split} are then taken from those of training"
    )


def _require_bytes(file: Path, count: int, least: int, what: str) -> None:
    size = file.stat().st_size
    if size < least * count:
        raise DataError(
            f"{file} has {counted(count, what)} or more in {size:,} bytes, fewer than {least} for"
            " each: it is damaged, or repeats a few; replace it."
        )


def column(schema: pyarrow.Schema, kind: str) -> str:
    """Return the name of the column of images or labels: where none is called so, the only one that
    Hugging Face's metadata calls so, or else the only one with such a name in tables.

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
    named = [name for name in schema.names if name.lower() in _NAMES[kind]]
    return next((own[0] for own in (found, named) if len(own) == 1), "")


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
                f"{file} can't be read after row {start} ({plain_reason(error)}): replace it."
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
            raise DataError(f"{file} can't be read ({plain_reason(error)}): replace it.") from error


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


@dataclass(frozen=True)
class Content:
    """The image of a row as it stands in its file.

    Attributes:
        file: the Parquet file.
        row: its number in the file, from 0.
        content: the bytes of an image file; None where the row has none.
        path: what the row names in place of a content; "" where it names nothing, or has one.
    """

    file: Path
    row: int
    content: bytes | None
    path: str

    @property
    def place(self) -> str:
        """What errors call the row."""
        return f"{self.file}, row {self.row}"


def contents(shards: list[Path], rows: np.ndarray | None = None) -> Iterator[Content]:
    """Yield the images of the given rows.

    Args:
        shards: the files, in order.
        rows: int (n,), sorted, counted over all files; None for all.

    Raises:
        DataError: a file can't be read, holds something else as images, or repeats a few.
    """
    before, held = 0, Counter[Path]()
    for file, start, part in columns(shards, "image"):
        chosen = np.arange(before, before + len(part)) if rows is None else rows
        first, last = np.searchsorted(chosen, (before, before + len(part)))
        for row in chosen[first:last] - before:
            content, path = _content(part[int(row)].as_py(), file, part.type)
            held[file] += content is not None
            yield Content(file, start + int(row), content, path)
        _require_bytes(file, held[file], LEAST_BYTES, "image")
        before += len(part)


def _content(value: Any, file: Path, kind: Any) -> tuple[bytes | None, str]:
    """The bytes of an image file, or None where the row has none; and its path where it has one
    instead, as Hugging Face writes it where it is not told to embed contents.
    """
    alone = {"path" if isinstance(value, str) else "bytes": value}
    fields = value if isinstance(value, dict) else alone
    content = fields.get("bytes")
    path = "" if content is not None else fields.get("path") or ""
    known = isinstance(content, (bytes, type(None))) and isinstance(path, str)
    if not known or not fields.keys() & {"bytes", "path"}:
        raise DataError(
            f"{file} has images as {kind}: expected the content of image files or their paths,"
            " alone or as the fields bytes and path of a struct; write such, not pixels."
        )
    return content, path


def may_name_files(file: Path) -> bool:
    """Whether rows of a Parquet file may have a path in place of a content, by its statistics."""
    import pyarrow.types as types

    found = opened(file)
    own = column(found.schema_arrow, "image")
    kind = found.schema_arrow.field(own).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    groups = map(found.metadata.row_group, range(found.metadata.num_row_groups))
    leaves = (group.column(number) for group in groups for number in range(group.num_columns))
    own_leaves = (leaf for leaf in leaves if leaf.path_in_schema in (own, f"{own}.bytes"))
    # Without statistics a column may be empty.
    whole = [bool(leaf.statistics) and not leaf.statistics.null_count for leaf in own_leaves]
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(is_kind(kind) for is_kind in texts) or not whole or not all(whole)
