"""Files of shards, on a disk, in an object store or on the web: found and opened by fsspec, and
read row by row in their three forms.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from keras_kd.datasets import images
from keras_kd.datasets.readers import _tree, parquet
from keras_kd.errors import DataError

Row = tuple[bytes | None, int | str | None]  # content of an image file, and the label as it stands
# Of what stores tell of a file, that which changes with its content.
_STAMPS = ("size", "mtime", "created", "ETag", "etag", "LastModified", "updated", "md5Hash")
_IMAGES = ("image/encoded", "image")
_LABELS = ("image/class/label", "label", "image/class/text")


@dataclass(frozen=True)
class Found:
    """A shard as its store lists it.

    Attributes:
        url: a path on this machine's disks, or a URL.
        split: the split that its name or its folder tells; "" where neither does.
        stamp: what changes whenever its content does.
    """

    url: str
    split: str
    stamp: str


def form(name: str) -> str | None:
    """Return the form that a file's name tells: "parquet", "tar", "tfrecord", or None."""
    name = PurePosixPath(name).name.lower()
    if ".tfrecord" in name:
        return "tfrecord"
    return next((one for one in ("parquet", "tar") if name.endswith(f".{one}")), None)


def listed(path: str | Path) -> list[Found]:
    """Return the shards in a folder, at any depth, of a pattern or at a URL, sorted by name.

    Raises:
        DataError: the place can't be listed, or its kind of store needs a package.
    """
    # A Path has one slash where a URL has two.
    place = re.sub(r"^([a-z][a-z0-9+.-]+):/+", r"\1://", str(path))
    with _refusals(place):
        store, root = _store(place)
        is_pattern = any(sign in root for sign in "*?[")
        found = (store.glob if is_pattern else store.find)(root, detail=True)
        here = "file" in store.protocol
        return [
            Found(name if here else store.unstrip_protocol(name), _split(name), _stamp(facts))
            for name, facts in sorted(found.items())
            if form(name) and not PurePosixPath(name).name.startswith((".", "_"))
        ]


def _stamp(facts: dict[str, Any]) -> str:
    return "; ".join(f"{name} {facts[name]}" for name in _STAMPS if name in facts)


def _split(name: str) -> str:
    """The split in a file's name, before its first - or ., or else in its folder's."""
    path = PurePosixPath(name)
    words = (re.split(r"[-.]", path.name)[0].casefold(), path.parent.name.casefold())
    return next(
        (split for word in words for split, all_of in _tree.SPLIT_NAMES.items() if word in all_of),
        "",
    )


def _store(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise DataError("Shards need fsspec: pip install 'keras-kd[shards]'.") from error
    return url_to_fs(url)


@contextmanager
def _refusals(url: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"{url} needs another package ({error}): install it.") from error
    except Exception as error:  # Each kind of store raises errors of its own.
        reason = str(error) or type(error).__name__
        raise DataError(f"{url} can't be read ({reason}): check it and its permissions.") from error


@contextmanager
def on_disk(url: str) -> Iterator[Path]:
    """Yield a shard as a file: itself, or a temporary copy of one that lies elsewhere.

    Raises:
        DataError: it can't be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        with _refusals(url):
            store, inner = _store(url)
            if "file" in store.protocol:
                path = Path(inner)
            else:
                path = Path(folder, PurePosixPath(inner).name)
                store.get_file(inner, str(path))
        yield path


def text_beside(place: str | Path, name: str) -> str | None:
    """Return the text of a file beside the shards of a folder or URL; None if there is none."""
    folder = re.sub(r"^([a-z][a-z0-9+.-]+):/+", r"\1://", str(place))
    if any(sign in folder for sign in "*?[") or form(folder):
        folder = folder.rpartition("/")[0]
    with _refusals(f"{folder}/{name}"):
        store, inner = _store(f"{folder}/{name}")
        return store.cat_file(inner).decode() if store.isfile(inner) else None


def rows(path: Path, url: str) -> Iterator[Row]:
    """Yield the content of the image file and the label of every row of a shard, in order.

    Args:
        path: the file.
        url: what errors call it.

    Raises:
        DataError: the file is damaged, or of another layout.
    """
    read = {"parquet": _parquet_rows, "tar": _tar_rows, "tfrecord": _tfrecord_rows}[form(url) or ""]
    try:
        yield from read(path)
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
    with tarfile.open(path, "r:") as archive:
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
    if sample:
        yield _of_fields(sample)


def _of_fields(sample: dict[str, bytes]) -> Row:
    image = next((sample[name] for name in sample if f".{name}" in images.suffixes()), None)
    return image, _label(sample.get("cls"))


def _tfrecord_rows(path: Path) -> Iterator[Row]:
    import tensorflow as tf

    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
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
