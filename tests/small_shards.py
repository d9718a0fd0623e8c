"""Shards of small gray pictures in the three forms, for tests."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import parquet_files

NAMES = ("dark", "bright")
SUFFIXES = (".parquet", ".tar", ".tfrecord")


def pictures(count: int, seed: int = 0, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Pictures whose brightness tells their class: uint8 (count, side, side, 1), int64 (count,)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    shown = random.integers(0, 128, (count, side, side, 1)) + 127 * labels[:, None, None, None]
    return shown.astype(np.uint8), labels


def png(picture: np.ndarray) -> bytes:
    return parquet_files.png(picture[:, :, 0])


def write(path: Path, shown: np.ndarray, labels: np.ndarray) -> None:
    """Write a shard in the form of its suffix; labels are names."""
    write_files(path, [png(picture) for picture in shown], [NAMES[label] for label in labels])


def write_files(path: Path, files: list[bytes], names: list[str] | list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    {".parquet": _parquet, ".tar": _tar, ".tfrecord": _tfrecord}[path.suffix](path, files, names)


def row_files(seed: int = 0) -> tuple[list[bytes], list[str]]:
    """Six PNG files and names for them."""
    return [png(picture) for picture in pictures(6, seed)[0]], ["dark", "bright"] * 3


def _parquet(path: Path, files: list[bytes], names: list[str] | list[int]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"image": files, "label": names}), path)


def write_metadata(path: Path, names: list[str]) -> None:
    """State the names of the class numbers in a Parquet file, as Hugging Face does."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(parquet_files.with_names(table, names), path)


def _tar(path: Path, files: list[bytes], names: list[str]) -> None:
    members = []
    for row, (file, name) in enumerate(zip(files, names, strict=True)):
        members += [(f"{row:06d}.png", file), (f"{row:06d}.cls", name.encode())]
    write_members(path, members)


def write_members(path: Path, members: list[tuple[str, bytes]]) -> None:
    """Write a tar file of names and contents."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _tfrecord(path: Path, files: list[bytes], names: list[str]) -> None:
    import tensorflow as tf

    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for file, name in zip(files, names, strict=True):
            fields = {"image": feature(file), "label": feature(name.encode())}
            example = tf.train.Example(features=tf.train.Features(feature=fields))
            writer.write(example.SerializeToString())


def write_splits(folder: Path, suffix: str, train: int = 4, rows: int = 24, side: int = 16) -> Path:
    """Write `train` shards of training images and one of each other split."""
    names = [f"train-{number:03d}" for number in range(train)] + ["validation-0", "test-0"]
    for seed, name in enumerate(names):
        write(folder / f"{name}{suffix}", *pictures(rows, seed, side))
    return folder
