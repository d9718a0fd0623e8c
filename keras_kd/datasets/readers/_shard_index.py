"""The index of shards: what is read of each of them once, and kept in the cache by the facts that
tell whether it changed.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import WrittenMeanwhileError, write_text
from keras_kd._common.folders import cache_folder, private
from keras_kd._common.identity import identity
from keras_kd.datasets import SPLITS, decoding
from keras_kd.datasets.readers import _bad_rows, _parquet_files, _shard_files, _shard_rows
from keras_kd.datasets.readers._shard_files import Found
from keras_kd.datasets.readers._shard_rows import Row
from keras_kd.errors import DataError

VERSION = 7  # a higher one whenever an entry's facts change
_SCHEMA = {
    "content": str,
    "labels": [[(str, float, None)]],
    "channels": int,
    "names": [str],
    "unreadable": [int],
    "problems": [str],
    "groups": {str: [str]},
}


@dataclass(frozen=True)
class Entry:
    """What is known of one shard.

    Attributes:
        content: SHA-256 of the file.
        labels: each label as it stands in the file, with the number of its rows.
        channels: 1 if every image is gray, else 3; 0 of a shard without images.
        names: class names that the file states.
        unreadable: rows whose image can't be read; looked for only where they may be left out.
        problems: what is wrong with each of them.
        groups: the persons, or other groups of images, that its rows name, by the field's name.
    """

    content: str
    labels: list[tuple[int | str | None, int]]
    channels: int
    names: list[str]
    unreadable: list[int]
    problems: list[str]
    groups: dict[str, list[str]]


def entries(found: Sequence[Found], skip_bad_rows: bool) -> list[Entry]:
    """Return what is known of shards; those that are new or changed are read, several at once.

    Args:
        found: the shards.
        skip_bad_rows: decode every image of a new shard to find those that can't be read.

    Raises:
        DataError: a shard can't be read.
    """
    folder = cache_folder("shards")
    with private(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda one: _entry(one, folder, skip_bad_rows), found))


def _entry(found: Found, folder: Path, decode_all: bool) -> Entry:
    facts = {"url": found.url, "stamp": found.stamp or _digest(found.url), "decoded": decode_all}
    path = folder / f"{identity('shard', VERSION, facts)}.json"
    try:
        known = read_json(read_text(path), _SCHEMA)
        return Entry(**{**known, "labels": [tuple(pair) for pair in known["labels"]]})
    except (FileNotFoundError, ValueError, TypeError):
        made = _made(found, decode_all)
    # Processes of one training may write an entry at the same time; they write the same content.
    with suppress(WrittenMeanwhileError):
        write_text(path, json.dumps(asdict(made)) + "\n")
    return made


def _made(found: Found, decode_all: bool) -> Entry:
    url = found.url
    labels: Counter[int | str | None] = Counter()
    unreadable: dict[int, str] = {}
    channels, fields = 0, ""
    groups: dict[str, set[str]] = defaultdict(set)
    with _shard_files.on_disk(url) as path:
        content = _shard_files.digest(path, url)
        names = _parquet_files.stated(path) if _shard_files.form(url) == "parquet" else []
        for number, row in enumerate(_shard_rows.rows(path, url)):
            fields = fields or row.fields
            for name, value in row.groups.items():
                groups[name].add(value)
            try:
                if decode_all or not channels or not row.content:
                    seen = decoding.decoded(row.content or b"", called(url, number, row)).shape[2]
                    channels = max(channels, seen)
                elif channels == 1:
                    channels = decoding.channels([row.content])
            except DataError as error:
                if not decode_all:
                    raise
                unreadable[number] = str(error)
                continue
            labels[None if row.label != row.label else row.label] += 1
        groups |= _shard_rows.groups(path, url)
    # Those of a test may be secret.
    if set(labels) == {None} and found.split not in SPLITS[1:] and not decode_all:
        first = f", its first row is {fields}" if fields else ""
        folders = ", unpack it and give the folder if its folders are the classes"
        raise _bad_rows.refusal(
            f"{url} has no labels{first}: expected"
            f" {_shard_rows.LABELLED[_shard_files.form(url) or '']}",
            f"write them{folders * ('/' in fields)}",
        )
    counted = sorted(labels.items(), key=str)
    named = {name: sorted(values) for name, values in groups.items()}
    return Entry(content, counted, channels, names, [*unreadable], [*unreadable.values()], named)


def called(url: str, number: int, row: Row) -> str:
    """What messages call a row."""
    return f"{url}, row {number}{row.fields and f' ({row.fields})'}"


def _digest(url: str) -> str:
    """The SHA-256 of a shard whose store tells nothing that changes with its content."""
    with _shard_files.on_disk(url) as path:
        return _shard_files.digest(path, url)
