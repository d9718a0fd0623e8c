"""The rows of a shard in its three forms: Parquet, WebDataset's tar, TFRecord."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from keras_kd.datasets import images
from keras_kd.datasets.readers import _shard_files, parquet
from keras_kd.errors import DataError

Row = tuple[bytes | None, int | str | None]  # content of an image file, and the label as it stands
_IMAGES = ("image/encoded", "image")
_LABELS = ("image/class/label", "label", "image/class/text")


def rows(path: Path, url: str) -> Iterator[Row]:
    """Yield the content of the image file and the label of every row of a shard, in order.

    Args:
        path: the file.
        url: what errors call it.

    Raises:
        DataError: the file is damaged, or of another layout.
    """
    read = {"parquet": _parquet_rows, "tar": _tar_rows, "tfrecord": _tfrecord_rows}
    try:
        yield from read[_shard_files.form(url) or ""](path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), url)) from error
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise DataError(f"{url} is damaged ({error}): replace it.") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    count = parquet.opened(path).metadata.num_rows
    labels = (
        label for _, _, part in parquet.columns([path], "label") for label in part.to_pylist()
    )
    contents = parquet.contents([path], np.arange(count))
    for (_, content), label in zip(contents, labels, strict=True):
        yield content, label


def _tar_rows(path: Path) -> Iterator[Row]:
    """WebDataset's layout: members of one sample follow each other and differ after the first dot
    of the name.
    """
    sample: dict[str, bytes] = {}
    before = None
    with tarfile.open(path, "r:gz" if path.name.endswith("gz") else "r:") as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            key, _, field = name.name.partition(".")
            if not member.isfile() or not key:
                continue
            if member.size > images.MAX_BYTES:
                raise DataError(
                    f"{path}, {member.name} is {member.size:,} bytes long: leave it out."
                )
            if sample and (name.parent, key) != before:
                yield _of_fields(sample)
                sample = {}
            before = (name.parent, key)
            content = archive.extractfile(member)
            sample[field.lower()] = content.read() if content else b""
        # Behind the last member lies an empty block. Without it Python's reader ends in silence.
        whole = archive.fileobj is not None and archive.fileobj.tell() > archive.offset
    if not whole:
        raise DataError(f"{path} is damaged (cut short, without its end mark): replace it.")
    if sample:
        yield _of_fields(sample)


def _of_fields(sample: dict[str, bytes]) -> Row:
    image = next((sample[name] for name in sample if f".{name}" in images.suffixes()), None)
    return image, _label(sample.get("cls"))


def _tfrecord_rows(path: Path) -> Iterator[Row]:
    import tensorflow as tf

    try:
        packed = "GZIP" if path.suffix == ".gz" else ""
        for record in tf.data.TFRecordDataset(str(path), packed).as_numpy_iterator():
            fields = tf.train.Example.FromString(record).features.feature
            image = next((fields[name].bytes_list.value for name in _IMAGES if name in fields), ())
            label = next((fields[name] for name in _LABELS if name in fields), None)
            values = [*label.int64_list.value, *label.bytes_list.value] if label else []
            yield next(iter(image), None), _label(values[0]) if values else None
    except Exception as error:  # TensorFlow's and protobuf's errors share no base.
        raise DataError(f"{path} is damaged as TFRecord ({error}): replace it.") from error


def _label(value: bytes | int | None) -> int | str | None:
    """A label that may be written as text: a number where it is one."""
    if not isinstance(value, bytes):
        return value
    text = value.decode("utf-8", "replace").strip()
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else text or None
