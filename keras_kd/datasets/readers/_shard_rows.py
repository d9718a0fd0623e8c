"""The rows of a shard in its three forms: Parquet, WebDataset's tar, TFRecord."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from keras_kd._common import quiet
from keras_kd._common.text import plain_reason
from keras_kd.datasets import decoding
from keras_kd.datasets.readers import _parquet_files, _shard_files, _splitting
from keras_kd.errors import DataError

_IMAGES = ("image/encoded", "image")
LABELS = ("image/class/label", "label", "class", "image/class/text")
# Where each form has the class of an image.
LABELLED = {
    "parquet": "a class in the column label of each row",
    "tar": ".cls, or the field label of .json, beside each image",
    "tfrecord": f"the feature {' or '.join(LABELS)} in each row",
}
_CHUNK = 2**20  # bytes
# Members of tar files that hold the names and attributes of the next one, read as a whole.
_ATTRIBUTES = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
# What Python's readers raise of damaged files; RecursionError of headers that follow each other.
_DAMAGES = (
    tarfile.TarError, OSError, ValueError, EOFError, RecursionError, lzma.LZMAError, zlib.error,
)  # fmt: skip
_SPARSE = "a member with holes: write the archive without tar's option --sparse"


@dataclass(frozen=True)
class Row:
    """A row as it stands in a shard.

    Attributes:
        content: of an image file; None where the row has none.
        label: a number, a text, or None.
        fields: what the row is made of, for messages; "" where the shard tells it itself.
        groups: persons, or other groups of images, that the row names, by the field's name.
    """

    content: bytes | None
    label: int | str | None
    fields: str
    groups: Mapping[str, str]


def rows(path: Path, url: str) -> Iterator[Row]:
    """Yield every row of a shard, in order.

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
    except _DAMAGES as error:
        raise DataError(f"{url} is damaged ({plain_reason(error)}): replace it.") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    labels = (
        label
        for _, _, part in _parquet_files.columns([path], "label")
        for label in part.to_pylist()
    )
    contents = _parquet_files.contents([path])
    for image, label in zip(contents, labels, strict=True):
        fields = f"the path {image.path!r:.80} without the file's content" if image.path else ""
        yield Row(image.content, label, fields, {})


def groups(path: Path, url: str) -> dict[str, set[str]]:
    """Return the persons, or other groups of images, that columns of a Parquet shard name; those of
    other forms stand in their rows.

    Args:
        path: the file.
        url: its name.

    Raises:
        DataError: the file is damaged.
    """
    if _shard_files.form(url) != "parquet":
        return {}
    names = _parquet_files.opened(path).schema_arrow.names
    return {name: {*_parquet_files.values([path], name)} for name in _splitting.of_groups(names)}


class _Member(tarfile.TarInfo):
    """A member whose header takes no more memory than names need, however well it is packed."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _ATTRIBUTES and member.size > _CHUNK:
            raise ValueError(f"names or attributes of {member.size:,} bytes")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise ValueError(_SPARSE)
        return member

    def _proc_gnusparse_10(self, *_: object) -> None:
        # The map of such a member has no bound: it is not in the header, but at the start of the
        # content.
        raise ValueError(_SPARSE)


def _tar_rows(path: Path) -> Iterator[Row]:
    """WebDataset's layout: members of one sample follow each other and differ after the first dot
    of the name.
    """
    seen: set[str] = set()
    name, sample, size = "", dict[str, bytes](), 0
    with _tar_opened(path) as archive:
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # kept for access by name
            own, field = _place(member)
            if not own:
                continue
            if own != name:
                yield from _of_fields(path, name, sample)
                if own in seen:
                    raise DataError(
                        f"{path} has files of the sample {own} in two places: write the files of a"
                        " sample one behind the other, as tar --sort=name does."
                    )
                seen.add(own)
                name, sample, size = own, {}, 0
            if field in sample:
                raise DataError(f"{path} has {member.name} twice: write the file anew.")
            size += member.size
            if size > decoding.MAX_BYTES:
                raise DataError(
                    f"{path}: {member.name} and what belongs to it are {size:,} bytes long, more"
                    f" than {decoding.MAX_BYTES:,}: leave it out."
                )
            content = archive.extractfile(member)
            sample[field] = content.read() if content else b""
        _require_end(path, archive)
    yield from _of_fields(path, name, sample)


def _tar_opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:*", tarinfo=_Member)
    except tarfile.ReadError as error:
        what = (
            decoding.mistaken(path) or "it is no tar file" if path.stat().st_size else "it is empty"
        )
        raise DataError(f"{path} is damaged ({what}): replace it.") from error


def _place(member: tarfile.TarInfo) -> tuple[str, str]:
    """The sample and the field that a member belongs to; the sample is "" where to none."""
    name = PurePosixPath(member.name)
    key, _, field = name.name.partition(".")
    if not (member.isfile() and key):
        return "", ""
    return str(name.with_name(key)), field.lower()


def _require_end(path: Path, archive: tarfile.TarFile) -> None:
    """Behind the last member lie blocks of zeros alone. Python's reader also ends in silence where
    the file does, at a damaged block, and before the members of an archive that was appended.
    """
    if (file := archive.fileobj) is None:
        return
    file.seek(archive.offset)
    rest = file.read(_CHUNK)
    if len(rest) < tarfile.BLOCKSIZE:
        raise DataError(f"{path} is damaged (cut short, without its end mark): replace it.")
    while rest:
        if rest.strip(b"\0"):
            raise DataError(
                f"{path} is damaged after byte {archive.offset:,}, or several archives joined:"
                " replace it, or write one archive."
            )
        rest = file.read(_CHUNK)


def _of_fields(path: Path, name: str, sample: dict[str, bytes]) -> Iterator[Row]:
    """The row of a sample; none of files without an image and a class, as a README."""
    pictures = {suffix[1:] for suffix in decoding.suffixes()}
    # Those that this installation can't read are rows without an image, which are refused.
    unread = {suffix[1:] for suffix in decoding.HEIC_SUFFIXES}
    if not any(field.rpartition(".")[2] in pictures | unread | {"cls"} for field in sample):
        return
    description = f"{name} with {', '.join(sample)[:80]}"
    place = f"{path}, {description}"
    if len(pictures & sample.keys()) > 1:
        raise DataError(f"{place} has several images of one name: write one image a sample.")
    image, label = _only(sample, pictures), _only(sample, {"cls"})
    fields = _json_fields(_only(sample, {"json"}), place, has_label=label is not None)
    own = _label(label, place) if label is not None else _described_label(fields, place)
    yield Row(image, own, description, _named_groups(fields))


def _json_fields(content: bytes | None, place: str, has_label: bool) -> dict[str, Any]:
    """The fields of a sample's JSON; none where its label stands elsewhere and it is damaged, or
    longer than a description is.
    """
    if content is None or (has_label and len(content) > _CHUNK):
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        if has_label:
            return {}
        raise DataError(f"{place}: its JSON is damaged ({error}): mend it.") from error
    return found if isinstance(found, dict) else {}


def _named_groups(fields: Mapping[str, Any]) -> dict[str, str]:
    """The texts and whole numbers of the fields that name persons, or other groups of images."""
    named = {name: fields[name] for name in _group_names(tuple(fields))}
    return {
        name: str(value)[: _parquet_files.LONGEST_LABEL]
        for name, value in named.items()
        if isinstance(value, (str, int)) and not isinstance(value, bool)
    }


@lru_cache(256)  # Most rows have the same fields.
def _group_names(fields: tuple[str, ...]) -> list[str]:
    return _splitting.of_groups(fields)


def _only(sample: dict[str, bytes], ends: set[str]) -> bytes | None:
    """The field that is called so, or the only one whose name ends so, as `left.png`."""
    named = [field for field in sample if field.rpartition(".")[2] in ends]
    plain = [field for field in named if field in ends]
    chosen = plain or (named if len(named) == 1 else [])
    return sample[chosen[0]] if chosen else None


def _described_label(fields: Mapping[str, Any], place: str) -> int | str | None:
    """The field `label` of a sample's JSON; None where there is none."""
    label = fields.get("label")
    if isinstance(label, (bool, float, list, dict)):
        raise DataError(f"{place} has the label {label!r:.40}: expected a whole number or a name.")
    return _label(label.encode(), place) if isinstance(label, str) else label


def _tfrecord_rows(path: Path) -> Iterator[Row]:
    tf = quiet.tensorflow()
    packed = "GZIP" if path.suffix == ".gz" else ""
    mistaken = decoding.mistaken(path)
    if packed and mistaken:
        if not mistaken.startswith("a gzip"):
            raise DataError(f"{path} is no TFRecord but {mistaken}.")
        mistaken = None  # it is packed, as it should be
    _require_short(path, mistaken)
    records = tf.data.TFRecordDataset(str(path), packed).as_numpy_iterator()
    number = 0
    while True:
        try:
            if (record := next(records, None)) is None:
                return
            fields = tf.train.Example.FromString(record).features.feature
        except Exception as error:  # TensorFlow's and protobuf's errors share no base.
            reason = mistaken or re.sub(r"\{\{.*\}\} | \[Op:.*", "", str(error))
            raise DataError(f"{path} is damaged as TFRecord ({reason}): replace it.") from error
        yield _of_example(fields, f"{path}, row {number}")
        number += 1


def _require_short(path: Path, mistaken: str | None) -> None:
    """Check the length that each record declares: TensorFlow takes that much memory at once, and
    is ended by it.
    """
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        # Eight bytes of length, four of checksum, the record and four of its checksum.
        while len(length := file.read(8)) == 8:
            size = int.from_bytes(length, "little")
            if size > decoding.MAX_BYTES:
                raise ValueError(mistaken or f"a record declares {size:,} bytes")
            file.seek(size + 8, os.SEEK_CUR)


def _of_example(fields: Any, place: str) -> Row:
    image = next((fields[name].bytes_list.value for name in _IMAGES if name in fields), ())
    label = next((fields[name] for name in LABELS if name in fields), None)
    values = [*label.int64_list.value, *label.bytes_list.value] if label else []
    if len(values) > 1 or (label and label.float_list.value):
        raise DataError(
            f"{place} has {len(values)} whole numbers or names as its label: expected one class an"
            " image; write its number or its name."
        )
    description = f"with the features {', '.join(sorted(fields))[:200]}"
    names = _group_names(tuple(sorted(fields)))
    named = _named_groups({name: _only_value(fields[name]) for name in names})
    own = _label(values[0], place) if values else None
    return Row(next(iter(image), None), own, description, named)


def _only_value(feature: Any) -> str | int | None:
    """The text or whole number of a TFRecord's feature; None of several and of others."""
    values = [*feature.int64_list.value, *feature.bytes_list.value]
    if len(values) != 1:
        return None
    return values[0].decode(errors="replace") if isinstance(values[0], bytes) else values[0]


def _label(value: bytes | int | None, place: str) -> int | str | None:
    """A label that may be written as text: a number where it is one."""
    if not isinstance(value, bytes):
        return value
    try:
        text = value.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{place} has a label that is no UTF-8 ({error}): mend it.") from error
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else text or None
